"""A web configuration as operators use it: the flag, its environment variable, and bad files."""

from __future__ import annotations

import ssl
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.http.authority import PASSWORD, get_authority, hash_password, write_certificates
from tests.kit.daemon import Home, address_of
from tests.kit.processes import environment, once
from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask, encode_basic

GOOD = f"""\
tls_server_config: {{cert_file: server.crt, key_file: server.key}}
basic_auth_users: {{prometheus: {hash_password()}}}
"""
BAD = """\
tls_server_config: {cert_file: nowhere.crt, key_file: server.key}
basic_auth_users: {prometheus: hunter2}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A daemon's folder with certificates."""
    home = Home(tmp_path / "home", "http://127.0.0.1:9")
    write_certificates(home.folder)
    return home


def request_status(address: str, password: str) -> int:
    """Scrape over TLS; returns the status."""
    context = ssl.create_default_context()
    get_authority().configure_trust(context)
    connection = HTTPSConnection(
        "localhost", int(address.rpartition(":")[2]), timeout=HANG_SECONDS, context=context
    )
    try:
        connection.request("GET", "/metrics", headers={"Authorization": encode_basic("prometheus", password)})
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_daemon_serves_over_tls_with_a_password(home: Home) -> None:
    """And uses a new file while it runs; no secret is in its log."""
    web = home.folder / "web.yml"
    web.write_text(GOOD)
    with home.start(f"--web.config.file={web}") as daemon:
        address = address_of(daemon)
        assert (request_status(address, PASSWORD), request_status(address, "wrong")) == (200, 401)
        assert ask(address, "/metrics").text == "this port speaks HTTPS\n"
        web.write_text(GOOD.replace(hash_password(), hash_password("new")))
        until(lambda: request_status(address, "new") == 200, "the new password is accepted")
        assert request_status(address, PASSWORD) == 401
        web.write_text(BAD)
        problems = daemon.event("web_config_failed")["problems"]
        assert f"{web}:2:20: basic_auth_users.prometheus: is not a bcrypt hash [SMSBAT-C009]\n" in problems
        assert request_status(address, "new") == 200
        said = daemon.said()
        assert not [
            secret
            for secret in (PASSWORD, hash_password(), hash_password("new"), "hunter2")
            if secret in said
        ]


@pytest.mark.parametrize("command", ["run", "demo", "check-config"])
def test_a_bad_file_ends_with_78_and_all_its_problems(home: Home, command: str) -> None:
    """Each with its place and a hint, before anything listens; also by the environment variable."""
    web = home.folder / "web.yml"
    web.write_text(BAD)
    arguments = {"run": [f"--config.file={home.config}"], "demo": [], "check-config": [str(home.config)]}
    flags, env = [f"--web.config.file={web}"], environment()
    if command == "demo":
        flags, env = [], environment(SMSBAT_WEB_CONFIG_FILE=str(web))
    ended = once(command, *arguments[command], *flags, cwd=home.folder, env=env)
    assert ended.returncode == 78
    said = ended.stdout + ended.stderr
    assert (
        f"{web}:1:21: tls_server_config.cert_file: no such file or directory [SMSBAT-W002]\n  hint: " in said
    )
    assert f"{web}:2:20: basic_auth_users.prometheus: is not a bcrypt hash [SMSBAT-C009]\n  hint: " in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_check_config_says_when_both_files_are_fine(home: Home) -> None:
    """0, and a line for each."""
    (home.folder / "web.yml").write_text(GOOD)
    ended = once("check-config", "config.yaml", "--web.config.file=web.yml", cwd=home.folder)
    assert (ended.returncode, ended.stdout) == (0, "config.yaml: fine\nweb.yml: fine\n")


def test_an_empty_flag_requires_nothing(home: Home) -> None:
    """No TLS and no password, as without the flag."""
    with home.start("--web.config.file=") as daemon:
        assert ask(address_of(daemon), "/-/healthy").status == 200
