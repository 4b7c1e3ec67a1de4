"""A real Alertmanager, and somebody who is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit.processes import Running
from tests.kit.web import free_port

PROGRAM = "prometheus-alertmanager"


class Told(NamedTuple):
    """One alert in one notification."""

    at_seconds: float
    """By the monotonic clock."""
    status: str
    """`firing` or `resolved`."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Receiver:
    """Takes notifications at `url`, and keeps them."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.told: list[Told] = []
        self.url = ""

    def first(self, status: str, after_seconds: float = 0.0, **labels: str) -> Told | None:
        """The first alert with this status and these labels that was told after that moment."""
        for one in list(self.told):
            if (
                one.at_seconds > after_seconds
                and one.status == status
                and labels.items() <= one.labels.items()
            ):
                return one
        return None

    def fires(self, **labels: str) -> bool:
        """Whether an alert with these labels fires, by the latest notification of it."""
        latest = {
            frozenset(one.labels.items()): one.status
            for one in list(self.told)
            if labels.items() <= one.labels.items()
        }
        return "firing" in latest.values()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port, until the block ends."""
    receiver = Receiver()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep what is told."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            now_seconds = time.monotonic()
            receiver.told += [
                Told(now_seconds, alert["status"], alert["labels"], alert["annotations"])
                for alert in body["alerts"]
            ]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """The address (host:port) of an Alertmanager with this configuration, until the block ends."""
    file = folder / "alertmanager.yml"
    file.write_text(json.dumps(config), "ascii")
    address = f"127.0.0.1:{free_port()}"
    argv = [
        PROGRAM,
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        # Alone: without this it looks for others, and waits for them.
        "--cluster.listen-address=",
    ]
    with Running(argv, folder / "alertmanager.log") as process:
        process.wait_until_ready(address, "Alertmanager")
        yield address
