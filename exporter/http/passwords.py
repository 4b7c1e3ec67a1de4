"""Checks of passwords, in a time that does not reveal which users exist.

bcrypt is slow on purpose, so it runs in a thread of its own, one check at a
time, with few waiting. A correct password is remembered by a keyed digest, so
that a scraper pays for one check only. An unknown user name is checked against
a hash that matches no password: refusing it takes as long.
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
"""Checks that run or wait; further requests with unknown passwords get 503."""
MAX_PASSWORD_BYTES = 72
"""bcrypt ignores the rest of a password, in every exporter."""


class BusyError(Exception):
    """Too many passwords are being checked."""


class Passwords:
    """The users of one web configuration."""

    def __init__(self, users: Mapping[str, Secret], executor: Executor) -> None:
        """`users` have bcrypt hashes; `executor` checks them, and has one thread."""
        self._hashes = {name.encode(): password.reveal().encode() for name, password in users.items()}
        cost = max((found[4:6] for found in self._hashes.values()), default=b"10")
        self._unmatched = b"$2b$%b$%b" % (cost, b"." * 53)
        self._executor = executor
        self._seal = secrets.token_bytes(32)
        self._verified: dict[bytes, bytes] = {}
        self._checks = 0

    async def accept(self, authorization: str) -> bool:
        """Whether this header has a user and the correct password; raises BusyError."""
        credentials = parse_basic_credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        digest = hmac.digest(self._seal, password, "sha256")
        if hmac.compare_digest(self._verified.get(name, b""), digest):
            return True
        if self._checks >= MAX_CHECKS:
            raise BusyError
        known = self._hashes.get(name, self._unmatched)
        self._checks += 1
        try:
            loop = asyncio.get_running_loop()
            correct = await loop.run_in_executor(
                self._executor, bcrypt.checkpw, password[:MAX_PASSWORD_BYTES], known
            )
        finally:
            self._checks -= 1
        if not correct or name not in self._hashes:
            return False
        self._verified[name] = digest
        return True
