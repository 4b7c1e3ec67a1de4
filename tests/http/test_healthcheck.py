"""The health check of a container, run inside it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from exporter.http import Listener, MetricsEndpoints, WebAuth, build_routes
from tests.http.authority import PASSWORD, get_authority, hash_password, write_certificates
from tests.http.client import ENDPOINTS, report_fine, scrape_body
from tests.kit.processes import environment, kill_afterwards
from tests.kit.waiting import HANG_SECONDS

MUTUAL = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
"""


async def run_healthcheck(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run it as a container would; returns its exit code and its output."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "exporter.healthcheck", *arguments],
        cwd=folder,
        env=environment(HTTPS_PROXY="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert "Traceback" not in ended.stderr
    assert PASSWORD not in ended.stderr
    return ended.returncode, ended.stderr


async def test_its_exit_code_follows_the_health_of_the_exporter(tmp_path: Path) -> None:
    """0 while it is healthy, else 1 with the reason; proxies of the environment are not used."""
    reasons = [""]
    async with Listener(
        ["127.0.0.1:0"], build_routes(MetricsEndpoints(scrape_body, lambda: reasons[0], report_fine))
    ) as listener:
        url = f"http://{listener.addresses[0]}/-/healthy"
        assert await run_healthcheck(tmp_path, url) == (0, "")
        reasons[0] = "the loops stand still"
        assert await run_healthcheck(tmp_path, url) == (1, "not healthy: 503: the loops stand still\n")
    code, said = await run_healthcheck(tmp_path, url)
    assert (code, said.startswith("not healthy: no answer: ")) == (1, True)


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    """Also while it waits for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/-/healthy"
        argv = [sys.executable, "-m", "exporter.healthcheck", url]
        started = subprocess.Popen(argv, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
        with kill_afterwards(started) as process:
            connection, _ = mute.accept()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=HANG_SECONDS)
        connection.close()
    assert (process.returncode, said) == (-signal.SIGINT, b"")


@pytest.mark.parametrize("missing", ["", "--ca-file", "--cert-file", "--password-file"])
async def test_it_has_a_certificate_a_password_and_an_authority(tmp_path: Path, missing: str) -> None:
    """A listener may require all three; without any of them the check fails."""
    text = f"{MUTUAL}basic_auth_users: {{probe: {hash_password()}}}\n"
    (write_certificates(tmp_path) / "web.yml").write_text(text)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    leaf: trustme.LeafCert = get_authority().issue_cert("probe.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "probe.pem"))
    shown = {"--ca-file": "ca.pem", "--cert-file": "probe.pem", "--password-file": "password"}
    with WebAuth(tmp_path / "web.yml") as web_auth:
        async with Listener(["127.0.0.1:0"], build_routes(ENDPOINTS), web_auth) as listener:
            url = f"https://localhost:{listener.addresses[0].rpartition(':')[2]}/-/healthy"
            given = [f"{flag}={value}" for flag, value in shown.items() if flag != missing]
            code, _ = await run_healthcheck(tmp_path, "--user=probe", *given, url)
    assert code == (1 if missing else 0)
