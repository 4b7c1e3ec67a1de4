"""Inputs for the fuzz campaign: good ones, damaged in the ways that find mistakes in parsers."""

from __future__ import annotations

import random
from collections.abc import Sequence

LONGEST_BYTES = 200_000
_TOKENS = (
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\r\n",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-1",
    b"0",
    b"9" * 40,
    b"1e-400",
    b"null",
    b"true",
    b"\t",
    b" ",
    b"+",
    b"-",
    b"380501234567",
    b"..",
    b"%2e",
    b"/",
    b"?",
    b"#",
    b"&a",
    b"*a",
    b"!!python/object",
    b"${A}",
    b"$",
    b"- ",
    b": ",
    "Ї".encode(),
    b"\xf0\x9f\x98\x80",
    b"\x1b[31m",
    b"Fri, 31 Feb 9999 25:61:61 GMT",
)


def damaged(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One input: noise at times, else one of the corpus after some accidents."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(200))
    data = rng.choice(corpus)
    for _ in range(1 + int(rng.expovariate(0.7))):
        data = _accident(rng, data, corpus)
    return data[:LONGEST_BYTES]


def _accident(  # noqa: PLR0911 - one return for each kind of accident
    rng: random.Random, data: bytes, corpus: Sequence[bytes]
) -> bytes:
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + int(rng.expovariate(0.1)))
    match rng.randrange(8):
        case 0:
            return data[:at] + data[to:]
        case 1:
            return data[:at] + rng.choice(_TOKENS) + data[at:]
        case 2:
            return data[:at] + rng.choice(_TOKENS) + data[to:]
        case 3:
            flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at : at + 1])
            return data[:at] + flipped + data[at + 1 :]
        case 4:
            other = rng.choice(corpus)
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case 5:
            # Now and then thousands of times: what grows with the square of it takes seconds.
            times = rng.choice((2, 3, 10, 100)) if rng.random() < 0.99 else 5_000
            return data[:at] + data[at:to] * times + data[to:]
        case 6:
            return data[:at]
        case _:
            begin = rng.randrange(len(data) + 1)
            return data[:at] + data[begin : begin + 20] + data[at:]
