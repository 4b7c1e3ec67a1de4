"""What the web configuration asks of every request, and the file that says so, read again when it changes.

A request passes the rate limit first, then shows a user's password; routes that
have a token of their own are left to it. A file or a certificate that changes
is taken once two looks agree on it; a bad one changes nothing, and is told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from aiohttp import hdrs, web

from exporter.config.load import list_problems
from exporter.domain.model import SECOND_US
from exporter.domain.token_bucket import TokenBucket
from exporter.http.connections import close_if_tls_changed, text_response
from exporter.http.passwords import BusyError, Passwords
from exporter.http.webconfig import Report, Tls, WebConfig, check, fingerprint
from exporter.runtime.errors import ConfigProblems

_log = logging.getLogger("smsbat.server")

LOOK_SECONDS = 2.0
"""Between two looks at the files."""
CHALLENGE = 'Basic realm="smsbat-exporter", charset="UTF-8"'

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebAuth:
    """The web configuration in force, while the context is entered."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`; raises ConfigProblems with every problem of it."""
        self._path = path
        report = check(path)
        if report.config is None:
            raise ConfigProblems(list_problems(report.problems, path), code=report.problems[0].code)
        self._files = report.files
        self._judged = self._seen = report.fingerprint
        self._executor = ThreadPoolExecutor(1, "passwords")
        self._take(report.config, report)

    def __enter__(self) -> Self:
        """It holds already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Check no more passwords."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def tls(self) -> Tls | None:
        """How a connection that comes now is encrypted."""
        return self._config.tls

    async def follow(self) -> NoReturn:
        """Look at the files again and again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take what the files say when it is new and the same as at the last look."""
        now = await asyncio.to_thread(fingerprint, self._files)
        seen, self._seen = self._seen, now
        # Certificate and key are two files: in between they don't fit.
        if now == self._judged or now != seen:
            return
        report = await asyncio.to_thread(check, self._path)
        self._files = report.files
        self._judged = self._seen = report.fingerprint
        if report.config is None:
            fields = {"problems": list_problems(report.problems, self._path)}
            message = "The web configuration has errors; the old one stays"
            _log.error(message, extra={"event": "web_config_failed", "fields": fields})
            return
        self._take(report.config, report)
        _log.info("The web configuration was read again", extra={"event": "web_config_reloaded"})

    def _take(self, config: WebConfig, report: Report) -> None:
        for warning in report.warnings:
            fields = {"problem": warning.render(str(self._path))}
            _log.warning("The web configuration", extra={"event": "web_config_warning", "fields": fields})
        self._config = config
        self._passwords = Passwords(config.users, self._executor)
        interval_us, burst = config.rate_limit.interval, config.rate_limit.burst
        self._bucket = (
            TokenBucket(SECOND_US / interval_us, burst_tokens=burst, full=True) if interval_us else None
        )

    def middleware(
        self, skip_basic_auth: Container[web.AbstractRoute]
    ) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Let pass what may; `skip_basic_auth` are the routes that ask for a token themselves."""

        @web.middleware
        async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
            close_if_tls_changed(request, self._config.tls)
            now = int(asyncio.get_running_loop().time() * SECOND_US)
            if self._bucket is not None and not self._bucket.try_take(now):
                return text_response(HTTPStatus.TOO_MANY_REQUESTS)
            if self._config.users and request.match_info.route not in skip_basic_auth:
                refusal = await self._refusal(request)
                if refusal is not None:
                    return refusal
            return await handler(request)

        return guarded

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that shows no user's password."""
        try:
            if await self._passwords.accept(request.headers.get(hdrs.AUTHORIZATION, "")):
                return None
        except BusyError:
            response = text_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many passwords are being checked")
            response.headers[hdrs.RETRY_AFTER] = "1"
            return response
        response = text_response(HTTPStatus.UNAUTHORIZED)
        response.headers[hdrs.WWW_AUTHENTICATE] = CHALLENGE
        return response

    async def decorate(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Give an answer the configured headers, over its own."""
        response.headers.update(self._config.headers)
