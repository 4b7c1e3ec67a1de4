"""The OpenAPI document of all HTTP endpoints: the server does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exporter.domain import message_ids
from exporter.ingest import http_api, webhook_listener, webhook_processor
from exporter.ingest.formats.fields import REASONS
from exporter.ingest.formats.formats import FAULTS
from exporter.status import page
from exporter.status.page.rendering import REFUSALS
from tests.kit.processes import EXPORTER, ROOT, Running, environment
from tests.kit.waiting import HANG_SECONDS
from tests.status.page.schema import build_schemas

DOCUMENT = resources.files("exporter") / "openapi.json"
TOKEN = "a-token-of-some-length-1234567890"
CONFIG = """\
accounts:
  - {name: main, base_url: 'http://127.0.0.1:9', auth: {api_key_file: token}}
profiles:
  default: {first_poll: 10h}
storage: {path: state}
webhook: {listen: '127.0.0.1:0', token_file: token}
intake: {token_file: token}
"""
INTAKE_CHECKS = """
# Which accounts there are, and what can be a label, no schema says: those are 400 too.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400]
"""
LOOKUP_CHECKS = """
# No message is tracked here: every id is answered with 404.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 404]
"""
WEBHOOK_CHECKS = f"""
[parameters]
"path.token" = "{TOKEN}"
"""
NOT_FOR_WEBHOOKS = "--exclude-checks=ignored_auth,missing_required_header"
"""Requests without the token get 404 on purpose, where these expect 401."""


class Served(NamedTuple):
    """Where a daemon listens."""

    metrics: str
    webhook: str


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document in the package."""
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon that polls nothing."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "config.yaml").write_text(CONFIG, "ascii")
    (folder / "token").write_text(TOKEN, "ascii")
    argv = [*EXPORTER, "run", f"--config.file={folder / 'config.yaml'}"]
    argv += ["--web.listen-address=127.0.0.1:0", "--log.format=json"]
    with Running(argv, folder / "daemon.log") as daemon:
        ready = daemon.event("ready")
        yield Served(ready["listen"], ready["webhook"])
        assert daemon.runs
        assert [line for line in daemon.events() if line["event"] == "request_failed"] == []


def assert_conforms(folder: Path, *arguments: str, checks: str) -> None:
    """Run schemathesis; fail with all that it finds."""
    config = folder / "schemathesis.toml"
    config.write_text(checks, "ascii")
    program = str(Path(sys.executable).with_name("schemathesis"))
    fixed = [f"--config-file={config}", "run", str(DOCUMENT), "--checks=all", "--seed=1", "--max-examples=25"]
    fixed += [f"--request-timeout={HANG_SECONDS}", "--suppress-health-check=too_slow"]
    done = subprocess.run(
        [program, *fixed, "--generation-database=none", "--no-color", *arguments],
        cwd=folder,
        env=environment(SCHEMATHESIS_HOOKS="tests.ingest.intake.media", PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_the_server_takes_ids_as_the_document_says(served: Served, tmp_path: Path) -> None:
    """Schemathesis finds nothing wrong with the intake."""
    bearer = f"--header=Authorization: Bearer {TOKEN}"
    only = f"--include-path={http_api.PATH}"
    assert_conforms(tmp_path, f"--url=http://{served.metrics}", bearer, only, checks=INTAKE_CHECKS)


def test_the_server_accepts_webhooks_as_the_document_says(served: Served, tmp_path: Path) -> None:
    """Schemathesis finds nothing wrong with webhooks, with the token in the path or as a password."""
    where = [f"--url=http://{served.webhook}", f"--auth=any:{TOKEN}", "--include-path-regex=^/webhook"]
    assert_conforms(tmp_path, *where, NOT_FOR_WEBHOOKS, checks=WEBHOOK_CHECKS)


def test_the_server_shows_its_status_as_the_document_says(served: Served, tmp_path: Path) -> None:
    """Schemathesis finds nothing wrong with the status and the lookup of a message."""
    only = [f"--include-path={page.STATUS_PATH}", f"--include-path={page.MESSAGE_PATH}"]
    assert_conforms(tmp_path, f"--url=http://{served.metrics}", *only, checks=LOOKUP_CHECKS)


def test_what_is_shown_has_the_schema_of_the_code(document: dict[str, Any]) -> None:
    """Each key with its type and its words, as `python -m tests.status.page.schema` prints them."""
    made = build_schemas()
    assert {name: document["components"]["schemas"].get(name) for name in made} == made
    reasons = {"busy", *REFUSALS}
    assert set(document["components"]["schemas"]["Refusal"]["properties"]["error"]["enum"]) == reasons


def test_the_document_lists_what_the_code_has(document: dict[str, Any]) -> None:
    """Paths, formats, reasons, faults and limits are those of the code."""
    shown = {page.STATUS_PATH, page.MESSAGE_PATH}
    taken = {http_api.PATH, webhook_listener.PATH, f"{webhook_listener.PATH}/{{token}}"}
    assert set(document["paths"]) == shown | taken
    post = document["paths"][http_api.PATH]["post"]
    assert set(post["requestBody"]["content"]) == set(http_api.SUFFIXES)
    assert f"{http_api.MAX_BODY_BYTES // 2**20} MiB" in post["requestBody"]["description"]
    report = document["components"]["schemas"]["Report"]["properties"]
    assert report["rejects"]["maxItems"] == http_api.REPORTED_REJECTS
    assert report["rejects"]["items"]["properties"]["reason"]["enum"] == sorted(REASONS)
    assert report["fault"]["enum"] == sorted(FAULTS)
    assert (
        f"{webhook_listener.BODY_SECONDS:g} s"
        in document["components"]["requestBodies"]["WebhookEvent"]["description"]
    )
    assert (
        f"{{1,{message_ids.MAX_ID_LENGTH}}}"
        in document["components"]["schemas"]["WebhookEvent"]["properties"]["messageId"]["pattern"]
    )
    assert webhook_processor.MAX_WAITING == 10_000
