"""Whether a request shows the password of a user, at a cost that tells nothing.

bcrypt is slow on purpose, so it runs in a thread of its own, one check at a
time, with few waiting; a password that was right is remembered by a keyed
digest, and costs a scraper nothing from then on. A name that nobody has is
checked against a hash that no password has: it takes as long to refuse.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor

import bcrypt

from exporter.runtime.secrets import Secret, parse_basic_credentials

MAX_CHECKS = 8
"""Checks that run or wait; more requests with unknown passwords are told to come back."""
MAX_PASSWORD_BYTES = 72
"""bcrypt looks at no more of a password, in every exporter."""


class BusyError(Exception):
    """Too many passwords are being checked."""


class Passwords:
    """The users of one web configuration."""

    def __init__(self, users: Mapping[str, Secret], executor: Executor) -> None:
        """`users` have bcrypt hashes; `executor` checks them, and has one thread."""
        self._hashes = {name.encode(): password.reveal().encode() for name, password in users.items()}
        cost = max((found[4:6] for found in self._hashes.values()), default=b"10")
        self._nobodys = b"$2b$%b$%b" % (cost, b"." * 53)
        self._executor = executor
        self._seal = secrets.token_bytes(32)
        self._verified: dict[bytes, bytes] = {}
        self._checks = 0

    async def accept(self, authorization: str) -> bool:
        """Whether this header names a user and shows the password; raises BusyError."""
        credentials = parse_basic_credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        digest = hmac.digest(self._seal, password, "sha256")
        if hmac.compare_digest(self._verified.get(name, b""), digest):
            return True
        if self._checks >= MAX_CHECKS:
            raise BusyError
        known = self._hashes.get(name, self._nobodys)
        self._checks += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(
                self._executor, bcrypt.checkpw, password[:MAX_PASSWORD_BYTES], known
            )
        finally:
            self._checks -= 1
        if not right or name not in self._hashes:
            return False
        self._verified[name] = digest
        return True
