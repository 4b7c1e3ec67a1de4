"""`/metrics` as bytes: the state, rendered once for each published snapshot, and what this process counts.

Everything is rendered in a thread of its own: not in the event loop, which
it would block, and not in the shared pool, where a hanging file system could
take every thread. Scrapes that arrive during a rendering share it, so that any
number of them costs at most two renderings; they wait for nothing else.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from exporter.domain.snapshot import Snapshot
from exporter.metrics.exposition import Format, Renderer, Rendering, negotiate

COMPRESSION_LEVEL = 1
"""Labels repeat so much that higher levels take two to three times as long for a tenth fewer bytes."""
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, no system: equal content is equal bytes."""


class Collector:
    """Renders the latest snapshot and a registry; a context manager that owns the rendering thread."""

    def __init__(self, registry: CollectorRegistry, *, created: bool, exemplars: bool = False) -> None:
        """Append the metrics of `registry`; for `created` and `exemplars` see `Renderer`."""
        self._own = _WithoutCreated(registry)
        self._published: _Published | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._states = {form: _State(Renderer(form, created=created, exemplars=exemplars)) for form in Format}
        self._variants = {(form, gzipped): _Variant() for form in Format for gzipped in (False, True)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def publish(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on; it is rendered at the next scrape."""
        number = 0 if self._published is None else self._published.number + 1
        self._published = _Published(number, snapshot)

    async def render(self, accept: str, accept_encoding: str) -> Rendering | None:
        """Answer a scrape with these headers; None before the first snapshot."""
        wanted = self._published
        if wanted is None:
            return None
        form, gzipped = negotiate(accept), accepts_gzip(accept_encoding)
        variant = self._variants[form, gzipped]
        made_before = variant.renderings_made
        async with variant.lock:
            made = variant.rendering
            # One that was made while we waited is ours too, unless it shows a snapshot before `wanted`.
            if made is not None and variant.renderings_made > made_before and variant.number >= wanted.number:
                return made
            latest = self._published or wanted
            loop = asyncio.get_running_loop()
            rendering = await loop.run_in_executor(self._thread, self._render, latest, form, gzipped)
            variant.rendering, variant.number = rendering, latest.number
            variant.renderings_made += 1
            return rendering

    def _render(self, published: _Published, form: Format, gzipped: bool) -> Rendering:  # noqa: FBT001 - an executor passes no keywords
        """Render in the rendering thread, the only one that uses `_State`."""
        state = self._states[form]
        state.follow(published)
        own = _OWN_PART[form](self._own)
        if not gzipped:
            return Rendering((state.text, own), form.value)
        deflated, checksum = state.deflate()
        size_bytes = len(state.text) + len(own)
        trailer = struct.pack("<II", zlib.crc32(own, checksum), size_bytes & 0xFFFF_FFFF)
        return Rendering(
            (_GZIP_HEADER, deflated, _deflate(own, zlib.Z_FINISH) + trailer), form.value, gzipped=True
        )


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip without forbidding it."""
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.replace(" ", "").partition(";")
        if coding == "gzip":
            return parameters.rstrip("0") not in {"q=", "q=0."}
    return False


class _Published(NamedTuple):
    """A snapshot, and how many were published before it."""

    number: int
    snapshot: Snapshot


class _Variant:
    """One variant: the lock of the rendering that is being made, and the latest result."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.renderings_made = 0
        self.number = -1
        self.rendering: Rendering | None = None


class _State:
    """The state in one format, shared by all renderings of one published snapshot."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._number = -1
        self._deflated: tuple[bytes, int] | None = None
        self.text = b""

    def follow(self, published: _Published) -> None:
        """Render `published`, unless that was done."""
        if published.number != self._number:
            self.text = self._renderer.render(published.snapshot)
            self._number = published.number
            self._deflated = None

    def deflate(self) -> tuple[bytes, int]:
        """Return the text as the beginning of a deflate stream that goes on, and its CRC-32."""
        if self._deflated is None:
            # Prometheus reads two gzip members in a row, but not every client does: so this is one member,
            # whose stream is flushed to the end of a byte here and is continued by another compressor.
            self._deflated = _deflate(self.text, zlib.Z_SYNC_FLUSH), zlib.crc32(self.text)
        return self._deflated


class _WithoutCreated:
    """A registry without the `_created` samples of direct instruments, which would double their series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.name != f"{metric.name}_created"]
            yield metric


def _render_own_text(own: _WithoutCreated) -> bytes:
    return generate_latest(own)


def _render_own_openmetrics(own: _WithoutCreated) -> bytes:
    """Render the instruments, and the `# EOF` that ends the whole."""
    text: bytes = openmetrics.generate_latest(own)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return text


_OWN_PART = {Format.TEXT: _render_own_text, Format.OPENMETRICS: _render_own_openmetrics}


def _deflate(content: bytes, ending: int) -> bytes:
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush(ending)
