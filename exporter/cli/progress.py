"""How far long work is: a line on a terminal while it lasts, and nothing anywhere else."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self, TextIO

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import Clock

REDRAW_US = SECOND_US // 10
_CLEAR = "\r\x1b[2K"


class Progress:
    """A line with what is done, how fast, and how long the rest will take; gone when its block ends."""

    def __init__(self, total: int, clock: Clock, stream: TextIO | None = None) -> None:
        """Draw on `stream` (standard error), if it is a terminal that can take a line back."""
        self._stream = stream or sys.stderr
        self._drawn = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._total = total
        self._clock = clock
        self._began_at = self._redrawn_at = clock.monotonic()
        self.done = 0

    def __enter__(self) -> Self:
        """Draw the beginning."""
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing on the terminal."""
        self._wipe()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self._clock.monotonic() - self._redrawn_at >= REDRAW_US:
            self._draw()

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Print a line above it, on standard output unless another stream is given."""
        self._wipe()
        # At once, also into a pipe: its reader waits for it.
        print(text, file=stream or sys.stdout, flush=True)
        self._draw()

    def _draw(self) -> None:
        if self._drawn:
            self._redrawn_at = self._clock.monotonic()
            self._stream.write(
                _CLEAR + progress_text(self.done, self._total, self._redrawn_at - self._began_at)
            )
            self._stream.flush()

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()


def progress_text(done: int, total: int, took_us: int) -> str:
    """`37 of 300, 9.8/s, 27 s left`; without a rate before there is one."""
    text = f"{done} of {total}"
    if not done or took_us <= 0:
        return text
    per_second = done * SECOND_US / took_us
    return f"{text}, {per_second:.3g}/s, {(total - done) / per_second:.0f} s left"
