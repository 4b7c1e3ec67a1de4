"""What started us and wants to hear how we are: systemd, by the datagrams of sd_notify(3); or nobody.

Podman speaks it too. The protocol is one socket and one word, so no library
is needed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

_log = logging.getLogger("smsbat.supervisor")


class Notifier:
    """Hears two kinds of news from us; where nobody listens, they are kept."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Who listens stands in `NOTIFY_SOCKET`; whether signs of life are wanted, in `WATCHDOG_USEC`."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watches = "WATCHDOG_USEC" in environ
        self._deaf = False

    def ready(self) -> None:
        """The state is loaded and `/metrics` answers: `systemctl start` may return."""
        self._tell(b"READY=1")

    def alive(self) -> None:
        """The loops go round; who hears nothing for `WatchdogSec=` starts the process again."""
        if self._watches:
            self._tell(b"WATCHDOG=1")

    def _tell(self, news: bytes) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                # A listener that doesn't read must not stop the event loop.
                out.settimeout(0)
                out.sendto(news, address)
        except OSError as error:
            self._missed(error.strerror or str(error))
        else:
            self._deaf = False

    def _missed(self, reason: str) -> None:
        """Say once that nobody hears us; what follows from it is up to the supervisor."""
        if not self._deaf:
            message = "The supervisor can't be told how we are"
            _log.warning(message, extra={"event": "supervisor_deaf", "fields": {"reason": reason}})
        self._deaf = True
