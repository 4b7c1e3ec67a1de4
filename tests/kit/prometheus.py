"""A real Prometheus that scrapes every second, and its answers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.kit.processes import Running
from tests.kit.web import ask, free_port


class Prometheus:
    """What a test asks of a Prometheus that runs."""

    def __init__(self, address: str, process: Running) -> None:
        """Talk to the server at `address`, which `process` is."""
        self.address = address
        self._process = process

    def query(self, expression: str, **parameters: str) -> list[dict[str, Any]]:
        """The result of an instant query: a list of {metric, value} or, for a range, {metric, values}."""
        return self._query("query", {"query": expression, **parameters})

    def over_time(self, expression: str, *, begun_at: float, ended_at: float) -> list[dict[str, Any]]:
        """The result of a range query, second by second; times are Unix seconds."""
        span = {"start": f"{begun_at}", "end": f"{ended_at}", "step": "1"}
        return self._query("query_range", {"query": expression, **span})

    def _query(self, kind: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = ask(self.address, f"/api/v1/{kind}?{urlencode(parameters)}")
        assert answer.status == 200, f"{parameters}: {answer.text}"
        body = answer.json()
        assert not body.get("warnings"), body["warnings"]
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The result of an instant query as numbers, by the values of `labels`."""
        return {
            tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1])
            for one in self.query(expression)
        }

    def warnings(self) -> list[str]:
        """What it has logged; it is told to log warnings and errors only."""
        return [line for line in self._process.said().splitlines() if line.strip()]


@contextmanager
def scraping(folder: Path, jobs: Mapping[str, str]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes each job's target (host:port) every second, until the block ends."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target], "labels": {"instance": "daemon"}}]}
            for job, target in jobs.items()
        ],
    }
    with prometheus(folder, config) as running:
        yield running


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any], *flags: str) -> Iterator[Prometheus]:
    """A Prometheus with this configuration, which lies in `folder`, until the block ends."""
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config), "ascii")
    address = f"127.0.0.1:{free_port()}"
    argv = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        *flags,
    ]
    with Running(argv, folder / "prometheus.log") as process:
        process.wait_until_ready(address, "Prometheus")
        yield Prometheus(address, process)


@contextmanager
def asked_for_text(target: str) -> Iterator[str]:
    """An address that forwards scrapes to `target` as a Prometheus without OpenMetrics would make them.

    Which format a Prometheus asks for can't be set in every version.
    """

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Ask for the text format, whatever was asked for."""
            answer = ask(target, self.path, headers={"Accept": "text/plain;version=0.0.4"})
            if answer.status == 0:
                self.close_connection = True
                return
            body = answer.text.encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
