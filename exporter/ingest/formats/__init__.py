"""The formats of ids: `decoding` bytes into lines, finding records (`formats`), reading their `fields`."""
