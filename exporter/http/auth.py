"""What the web configuration requires of every request; its files are read again when they change.

A request must pass the rate limit, then have a user's password; routes with a
token of their own need no password. A changed file or certificate is used once
two checks in a row see the same content; a bad one changes nothing, and is
logged once.
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
from exporter.http.webconfig import Report, Tls, WebConfig, check_web_config, compute_fingerprint
from exporter.runtime.errors import ConfigProblems

_log = logging.getLogger("smsbat.http")

CHECK_SECONDS = 2.0
"""Time between two checks of the files."""
CHALLENGE = 'Basic realm="smsbat-exporter", charset="UTF-8"'

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebAuth:
    """The web configuration in force; checks passwords until the context is left."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`; raises ConfigProblems with all its problems."""
        self.path = path
        report = check_web_config(path)
        if report.config is None:
            raise ConfigProblems(list_problems(report.problems, path), code=report.problems[0].code)
        self._files = report.files
        self._checked = self._seen = report.fingerprint
        self._executor = ThreadPoolExecutor(1, "passwords")
        self._apply(report.config, report)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def tls(self) -> Tls | None:
        """The TLS of new connections."""
        return self._config.tls

    async def follow_files(self) -> NoReturn:
        """Check the files again and again."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check_files()

    async def check_files(self) -> None:
        """Apply the files when they have changed and are the same as at the last check."""
        now = await asyncio.to_thread(compute_fingerprint, self._files)
        seen, self._seen = self._seen, now
        # Certificate and key are two files: while they are replaced they don't match.
        if now == self._checked or now != seen:
            return
        report = await asyncio.to_thread(check_web_config, self.path)
        self._files = report.files
        self._checked = self._seen = report.fingerprint
        if report.config is None:
            fields = {"code": report.problems[0].code, "problems": list_problems(report.problems, self.path)}
            message = "The web configuration has errors; the old one stays in force"
            _log.error(message, extra={"event": "web_config_failed", "fields": fields})
            return
        self._apply(report.config, report)
        _log.info("Web configuration reloaded", extra={"event": "web_config_reloaded"})

    def _apply(self, config: WebConfig, report: Report) -> None:
        self.warnings = report.warnings
        for warning in report.warnings:
            fields = warning.build_log_fields(str(self.path))
            more = {"event": "web_config_warning", "fields": fields, "unlimited": True}
            _log.warning("The web configuration works, but this should be fixed", extra=more)
        self._config = config
        self._passwords = Passwords(config.users, self._executor)
        interval_us, burst = config.rate_limit.interval, config.rate_limit.burst
        self._bucket = (
            TokenBucket(SECOND_US / interval_us, burst_tokens=burst, full=True) if interval_us else None
        )

    def make_middleware(
        self, skip_basic_auth: Container[web.AbstractRoute]
    ) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Check every request; routes in `skip_basic_auth` need their own token instead of a password."""

        @web.middleware
        async def check_request(request: web.Request, handler: _Handler) -> web.StreamResponse:
            close_if_tls_changed(request, self._config.tls)
            now = int(asyncio.get_running_loop().time() * SECOND_US)
            if self._bucket is not None and not self._bucket.try_take_token(now):
                return text_response(HTTPStatus.TOO_MANY_REQUESTS)
            if self._config.users and request.match_info.route not in skip_basic_auth:
                refused = await self._refuse(request)
                if refused is not None:
                    return refused
            return await handler(request)

        return check_request

    async def _refuse(self, request: web.Request) -> web.Response | None:
        """The answer to a request without a valid password; None for one with it."""
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

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Add the configured headers, replacing those of the response."""
        response.headers.update(self._config.headers)
