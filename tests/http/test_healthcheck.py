"""The health of a container, asked from inside it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from exporter.http import Listener, MetricsEndpoints, WebAuth, pages
from tests.http.authority import PASSWORD, authority, furnished, hashed
from tests.http.client import SITE, body, fine
from tests.kit.processes import environment
from tests.kit.waiting import HANG_SECONDS

MUTUAL = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
"""


async def healthcheck(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run it as a container would; its exit code and what it said."""
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


async def test_it_follows_what_the_page_says(tmp_path: Path) -> None:
    """0 while it is healthy, else 1 with the reason; no proxy of the environment is asked."""
    reasons = [""]
    async with Listener(["127.0.0.1:0"], pages(MetricsEndpoints(body, lambda: reasons[0], fine))) as listener:
        url = f"http://{listener.addresses[0]}/-/healthy"
        assert await healthcheck(tmp_path, url) == (0, "")
        reasons[0] = "the loops stand still"
        assert await healthcheck(tmp_path, url) == (1, "not healthy: 503: the loops stand still\n")
    code, said = await healthcheck(tmp_path, url)
    assert (code, said.startswith("not healthy: no answer: ")) == (1, True)


@pytest.mark.parametrize("missing", ["", "--ca-file", "--cert-file", "--password-file"])
async def test_it_shows_what_the_listener_asks_for(tmp_path: Path, missing: str) -> None:
    """A certificate, a password from a file, and trust in the server's certificate: all are needed."""
    text = f"{MUTUAL}basic_auth_users: {{probe: {hashed()}}}\n"
    (furnished(tmp_path) / "web.yml").write_text(text)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    leaf: trustme.LeafCert = authority().issue_cert("probe.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "probe.pem"))
    shown = {"--ca-file": "ca.pem", "--cert-file": "probe.pem", "--password-file": "password"}
    with WebAuth(tmp_path / "web.yml") as guard:
        async with Listener(["127.0.0.1:0"], pages(SITE), guard) as listener:
            url = f"https://localhost:{listener.addresses[0].rpartition(':')[2]}/-/healthy"
            given = [f"{flag}={value}" for flag, value in shown.items() if flag != missing]
            code, _ = await healthcheck(tmp_path, "--user=probe", *given, url)
    assert code == (1 if missing else 0)
