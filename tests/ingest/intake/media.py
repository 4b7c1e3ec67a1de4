"""For schemathesis: how bodies of text formats that it doesn't know are written. It imports this by name."""

from __future__ import annotations

import schemathesis


@schemathesis.serializer("text/csv", "application/x-ndjson", "application/jsonl")
def as_text(_context: object, value: object) -> bytes:
    """Text as it is."""
    return str(value).encode("utf-8", "surrogatepass")
