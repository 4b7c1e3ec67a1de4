"""Decodes bytes, piece by piece, into text and lines: byte order marks, line ends, the cap on a line.

Knows nothing of ids. A file whose first bytes show that it is no text (a
NUL), or text in an encoding that it doesn't announce, gets a `fault` and yields
nothing. Bytes that are not UTF-8 become lone surrogates, so that one bad
column or line costs only itself (see `is_undecodable`).
"""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 4096
"""How much of a file is checked before any of it is used."""
LINE_CHARACTERS = 4096
"""Longer lines are refused; what is kept of one is only enough to see that it is too long."""

_KEPT_BYTES = 4 * LINE_CHARACTERS + 4  # a character is at most four bytes: what is cut off stays too long
_WIDE_NULS = (0.4, 0.8)
"""The share of NULs in Latin text as UTF-16 (a half) or UTF-32 (three quarters)."""
_MARKS = (
    # The longer first: the mark of UTF-32-LE begins with that of UTF-16-LE.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_undecodable(text: str) -> bool:
    """Whether bytes of `text` were no UTF-8."""
    return _SURROGATE.search(text) is not None


class Decoder:
    """Turns pieces of any size into UTF-8 without a byte order mark, once the head of the file is known."""

    def __init__(self) -> None:
        self.fault = ""
        """Why the file can't be used: `binary`, `encoding`, or "" so far."""
        self._head = bytearray()
        self._started = False
        self._wide: codecs.IncrementalDecoder | None = None

    def feed(self, piece: bytes, *, final: bool = False) -> bytes:
        """The UTF-8 that `piece` adds; `final` says that no more will come."""
        if not self._started:
            self._head += piece
            if len(self._head) < HEAD_BYTES and not final:
                return b""
            piece = self._detect_encoding(bytes(self._head))
            self._head.clear()
        if self.fault:
            return b""
        if self._wide is None:
            return piece
        return self._wide.decode(piece, final).encode("utf-8")

    def _detect_encoding(self, head: bytes) -> bytes:
        """Find out the encoding; return `head` without its mark."""
        self._started = True
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                if encoding:
                    # "replace": what is broken becomes U+FFFD, which no id can hold.
                    self._wide = codecs.getincrementaldecoder(encoding)("replace")
                    return head[len(mark) :]
                head = head[len(mark) :]
                break
        checked = head[:HEAD_BYTES]
        nuls = checked.count(0)
        if nuls:
            least, most = _WIDE_NULS
            self.fault = "encoding" if least <= nuls / len(checked) <= most else "binary"
        return head


class Lines:
    """Splits pieces of any size into whole lines, terminated by LF, CRLF or a lone CR."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._carry = b""

    @property
    def fault(self) -> str:
        """Why the file can't be used: `binary`, `encoding`, or "" so far."""
        return self._decoder.fault

    def feed(self, piece: bytes, *, final: bool = False) -> list[str]:
        """The lines that `piece` completes, without their ends; with `final` also the last one."""
        data = self._carry + self._decoder.feed(piece, final=final)
        held = b""
        if b"\r" in data:
            if data.endswith(b"\r") and not final:
                # Half of a CRLF, perhaps: ending a line here would make the LF an empty line of its own.
                data, held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.decode("utf-8", "surrogateescape").split("\n") if final else self._take_lines(data)
        if final:
            self._carry = b""
            if not lines[-1]:
                lines.pop()
        else:
            self._carry += held
        return lines

    def _take_lines(self, data: bytes) -> list[str]:
        """The terminated lines of `data`; the rest is kept for the next piece."""
        end = data.rfind(b"\n")
        self._carry = data[end + 1 :][:_KEPT_BYTES]
        return data[:end].decode("utf-8", "surrogateescape").split("\n") if end >= 0 else []
