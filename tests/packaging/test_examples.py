"""The examples to look at: paths, ports, addresses and names fit each other, with and without containers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import program
from tests.kit.processes import ROOT, Running, environment
from tests.kit.waiting import until
from tests.kit.web import ask, free_port
from tools.dashboards import build_rule_groups, render_files
from tools.dashboards.constants import DELIVERY, JOB

EXAMPLES = ROOT / "examples"
SERVICES: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))["services"]
STACK_NEEDS = (
    *("bash", "cat", "cp", "dirname", "grep", "mktemp", "rm", "sed", "sleep"),
    *("curl", "prometheus", "setsid"),
)


def _mounts(service: str) -> dict[str, Path]:
    """Where the files of the checkout are seen in a container."""
    split = (mount.split(":") for mount in SERVICES[service]["volumes"])
    assert all(mode == "ro" for _, _, mode in (mount.split(":") for mount in SERVICES[service]["volumes"]))
    return {inside: (EXAMPLES / outside).resolve() for outside, inside, _ in split}


def _in_container(service: str, path: str) -> Path:
    """The file of the checkout that a container sees at `path`."""
    for inside, outside in _mounts(service).items():
        if path == inside or path.startswith(f"{inside}/"):
            return outside / path.removeprefix(inside).lstrip("/")
    raise AssertionError(path)


def test_everything_mounted_exists_and_nothing_listens_to_the_world() -> None:
    """No path is made up, and each published port is for this machine only."""
    for name, service in SERVICES.items():
        assert all(path.exists() for path in (_mounts(name).values() if "volumes" in service else ()))
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (EXAMPLES / SERVICES["exporter"]["build"] / "Dockerfile").is_file()


def test_prometheus_reads_the_rules_and_knows_the_others() -> None:
    """The rules are where the configuration looks, and its addresses are services with their ports."""
    config = yaml.safe_load(_in_container("prometheus", "/etc/prometheus/prometheus.yml").read_text("utf-8"))
    (pattern,) = config["rule_files"]
    rules = _in_container("prometheus", f"/etc/prometheus/{Path(pattern).parent}")
    assert {path.name for path in rules.glob(Path(pattern).name)} == {
        f"smsbat.{name}.yaml" for name in build_rule_groups()
    }
    shipped = yaml.safe_load(render_files()["prometheus/prometheus.example.yaml"])
    assert config["global"] == shipped["global"]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == JOB
    managers = config["alerting"]["alertmanagers"]
    for target in (*job["static_configs"][0]["targets"], *managers[0]["static_configs"][0]["targets"]):
        name, port = target.split(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]


def test_grafana_begins_with_the_delivery_dashboard() -> None:
    """Dashboards are where their provider looks, home is one of them, and the data source is Prometheus."""
    grafana = SERVICES["grafana"]["environment"]
    provider = yaml.safe_load(
        _in_container("grafana", "/etc/grafana/provisioning/dashboards/smsbat.yaml").read_text("utf-8")
    )
    folder = provider["providers"][0]["options"]["path"]
    home = grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/{DELIVERY.uid}.json"
    assert _in_container("grafana", home).is_file()
    assert (grafana["GF_AUTH_ANONYMOUS_ENABLED"], grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"]) == ("true", "Viewer")
    sources = yaml.safe_load(
        _in_container("grafana", "/etc/grafana/provisioning/datasources/smsbat.yaml").read_text("utf-8")
    )
    url = re.fullmatch(r"http://(\w+):(\d+)", sources["datasources"][0]["url"])
    assert url
    assert f"127.0.0.1:{url[2]}:{url[2]}" in SERVICES[url[1]]["ports"]


def _path_with(folder: Path, alertmanager: str) -> str:
    """A PATH with what the stack needs and no more, Alertmanager under that name."""
    needed = {name: name for name in STACK_NEEDS} | {alertmanager: "prometheus-alertmanager"}
    folder.mkdir()
    for name, installed in needed.items():
        (folder / name).symlink_to(program(installed) or installed)
    return str(folder)


@pytest.mark.needs("prometheus", "prometheus-alertmanager", "curl", "setsid")
@pytest.mark.parametrize(
    ("alertmanager", "interrupt"),
    [("prometheus-alertmanager", os.kill), ("alertmanager", os.killpg)],
    ids=["Debian's names, one signal", "upstream's names, a terminal's Ctrl-C"],
)
def test_the_stack_without_containers_runs_and_leaves_nothing(
    tmp_path: Path, alertmanager: str, interrupt: Callable[[int, int], None]
) -> None:
    """Prometheus scrapes the demo, has all rules and knows Alertmanager; Ctrl-C ends all, files included.

    At a terminal it reaches every process of the group.
    """
    ports = {name: free_port() for name in ("EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT")}
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = environment(
        TMPDIR=str(temporary),
        PATH=_path_with(tmp_path / "bin", alertmanager),
        **{name: str(port) for name, port in ports.items()},
    )
    argv = [program("setsid") or "setsid", str(ROOT / "scripts" / "stack")]
    with Running(argv, tmp_path / "stack.log", env=env) as stack:

        def printed() -> bool:
            assert stack.runs, stack.said()
            return "Ctrl-C ends it" in stack.printed()

        until(printed, "the stack says where to look")
        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        assert all(address in stack.printed() for address in addresses.values())
        prometheus = addresses["PROMETHEUS_PORT"]

        def scrapes() -> bool:
            targets = ask(prometheus, "/api/v1/targets").json()["data"]["activeTargets"]
            return [target["health"] for target in targets] == ["up"]

        until(scrapes, "Prometheus scrapes the demo")
        groups = ask(prometheus, "/api/v1/rules").json()["data"]["groups"]
        assert {group["name"] for group in groups} == {f"smsbat-{name}" for name in build_rule_groups()}
        managers = ask(prometheus, "/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
        assert [one["url"].split("/")[2] for one in managers] == [addresses["ALERTMANAGER_PORT"]]
        interrupt(stack.pid, signal.SIGINT)
        assert stack.ends() == 0
        assert all(ask(address, "/-/ready").status == 0 for address in addresses.values())
        assert list(temporary.iterdir()) == []
