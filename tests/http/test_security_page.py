"""The example of docs/security.md works as it is, with a real Prometheus too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.http.webconfig import check_web_config
from exporter.http.webconfig.sections import TlsServer, WebFile
from tests.kit.daemon import Home, address_of
from tests.kit.processes import ROOT
from tests.kit.prometheus import prometheus
from tests.kit.waiting import until

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
HASH = re.compile(r"\$2y\$\S+")


def find_blocks(language: str) -> list[str]:
    """The code blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def find_commands(first: str) -> str:
    """The indented block that begins with `first`."""
    found = re.search(rf"(?:^    {re.escape(first)}.*\n)(?:^    .*\n)*", PAGE, re.MULTILINE)
    assert found is not None
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


def test_every_key_of_the_format_is_explained() -> None:
    """What is supported and what is refused, key by key."""
    known = set(TlsServer.model_fields) | {"http2", "headers"} | set(WebFile.model_fields)
    named = {word for word in re.findall(r"`(\w+)`", PAGE) if word in known}
    assert known - named == {"tls_server_config", "http_server_config"}


def test_every_named_test_exists() -> None:
    """A threat without its test would be only a claim."""
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.needs("openssl", "htpasswd", "prometheus")
def test_the_example_accepts_prometheus_and_nobody_else(tmp_path: Path) -> None:
    """The commands write the files, the check finds no problem, and Prometheus scrapes with the example."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    made = home.folder
    shown = ""
    for first in ("cd /etc", "openssl rand"):
        script = find_commands(first).replace("/etc/smsbat-exporter", str(made))
        shown = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=made, capture_output=True, text=True, check=True
        ).stdout
    web, scrape = find_blocks("yaml")
    (made / "web.yml").write_text(web)
    assert check_web_config(made / "web.yml").problems == ()
    (made / "web.yml").write_text(HASH.sub(lambda _: shown, web))
    report = check_web_config(made / "web.yml")
    assert (report.problems, report.warnings) == ((), ())
    with home.start(f"--web.config.file={made / 'web.yml'}") as daemon:
        port = address_of(daemon).rpartition(":")[2]
        text = scrape.replace("10978", port).replace("/etc/prometheus", str(made))
        config: dict[str, Any] = yaml.safe_load(text) | {"global": {"scrape_interval": "1s"}}
        (job,) = config["scrape_configs"]
        without: list[dict[str, Any]] = [
            {key: value for key, value in job.items() if key != "basic_auth"} | {"job_name": "no password"},
            job | {"job_name": "no certificate", "tls_config": {"ca_file": job["tls_config"]["ca_file"]}},
            {"job_name": "in the clear", "static_configs": job["static_configs"]},
        ]
        config["scrape_configs"] += without
        with prometheus(tmp_path, config) as running:
            until(
                lambda: len(running.values("up", "job")) == 1 + len(without),
                "all are up or not",
            )
            until(lambda: running.values("up == 1", "job"), "one is up")
            assert running.values("max_over_time(up[1h])", "job") == {
                ("smsbat",): 1,
                ("no password",): 0,
                ("no certificate",): 0,
                ("in the clear",): 0,
            }
