"""Message ids that carry their own index, so that a million of them need no table.

An index is scrambled by a multiplication modulo 2**60 and written either as 12
characters of base 36 or as a UUID, a mix like the provider's. Reading one back
undoes that; what this seed can't have written is no message's id.
"""

from __future__ import annotations

import re
from hashlib import blake2b

_BITS = 60
_MASK = (1 << _BITS) - 1
_MASK_48 = (1 << 48) - 1
_MASK_12 = (1 << 12) - 1
_MASK_62 = (1 << 62) - 1
_LETTER_FIRST = 10 * 36**11
"""Added to every number: a leading letter keeps an id from ever looking like a phone number."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)
_SHORT = re.compile(r"[a-i][0-9a-z]{11}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_LONGEST_SEED_BYTES = 64
"""What a BLAKE2 key may hold."""


def derive_key(seed: int) -> bytes:
    """Return the key under which everything drawn from `seed` is hashed."""
    return str(seed).encode()[-_LONGEST_SEED_BYTES:]


class IdCodec:
    """Index to id and back; two seeds practically never share an id."""

    def __init__(self, seed: int) -> None:
        """Derive the scrambling from `seed`."""
        digest = blake2b(b"message ids", key=derive_key(seed), digest_size=24).digest()
        # Odd, so that the multiplication modulo a power of two can be undone.
        self._multiplier = int.from_bytes(digest[:8], "little") & _MASK | 1
        self._inverse = pow(self._multiplier, -1, 1 << _BITS)
        self._offset = int.from_bytes(digest[8:16], "little") & _MASK
        self._tail = int.from_bytes(digest[16:], "little") | 1

    def write(self, index: int) -> str:
        """Return the id of the message number `index` (0 and up)."""
        number = (index * self._multiplier + self._offset) & _MASK
        return self._write_uuid(number) if _is_uuid(number) else _write_short(number)

    def read(self, message_id: str) -> int:
        """Return the index of `message_id`, sent or yet to be sent; -1 when it is not of our making."""
        if _SHORT.fullmatch(message_id) is not None:
            number = int(message_id, 36) - _LETTER_FIRST
            if number > _MASK or _is_uuid(number):
                return -1
        elif _UUID.fullmatch(message_id) is not None:
            value = int(message_id.replace("-", ""), 16)
            number = value >> 80 << 12 | value >> 64 & _MASK_12
            if not _is_uuid(number) or self._write_uuid(number) != message_id:
                return -1
        else:
            return -1
        return (number - self._offset) * self._inverse & _MASK

    def _write_uuid(self, number: int) -> str:
        head = number >> 12 & _MASK_48
        tail = number * self._tail & _MASK_62
        text = f"{head << 80 | 4 << 76 | (number & _MASK_12) << 64 | 2 << 62 | tail:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _is_uuid(number: int) -> bool:
    return (number >> 20) % 5 in (0, 1)


def _write_short(number: int) -> str:
    rest = number + _LETTER_FIRST
    text = ""
    for _ in range(6):
        rest, pair = divmod(rest, 1296)
        text = _PAIRS[pair] + text
    return text
