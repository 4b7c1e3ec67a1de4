"""Notifications to systemd, or to Podman, by sd_notify(3).

The protocol is one socket and one word, so no library is needed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

_log = logging.getLogger("smsbat.systemd")


class Notifier:
    """Sends notifications; does nothing when the process was not started by systemd."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`NOTIFY_SOCKET` is the address; `WATCHDOG_USEC` is set when a watchdog wants signs of life."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._has_watchdog = "WATCHDOG_USEC" in environ
        self._failing = False

    def notify_ready(self) -> None:
        """The state is loaded and `/metrics` answers: `systemctl start` may return."""
        self._send(b"READY=1")

    def notify_alive(self) -> None:
        """The loops make progress; without this for `WatchdogSec=`, systemd restarts the process."""
        if self._has_watchdog:
            self._send(b"WATCHDOG=1")

    def _send(self, notification: bytes) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                # A receiver that doesn't read must not stop the event loop.
                out.settimeout(0)
                out.sendto(notification, address)
        except OSError as error:
            self._log_failure(error.strerror or str(error))
        else:
            self._failing = False

    def _log_failure(self, reason: str) -> None:
        """Log the first of several failures in a row."""
        if not self._failing:
            fields = {"reason": reason}
            _log.warning(
                "systemd notification failed",
                extra={"event": "systemd_notification_failed", "fields": fields},
            )
        self._failing = True
