"""docs/http.md describes what is served."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.engine.request_history import KEPT_FAILURES, KEPT_REQUESTS
from exporter.status.page.rendering import SHOWN_CAMPAIGNS
from tests.kit.daemon import Home
from tests.kit.live import asked, daemon_of, live_provider
from tests.status.page.documented import PAGE, write_tables


def test_every_key_is_in_its_table() -> None:
    """With the docstrings of the code: `python -m tests.status.page.documented` writes them."""
    page = PAGE.read_text("utf-8")
    assert page == write_tables(page)
    assert "|  |" not in page


def test_its_numbers_are_those_of_the_code() -> None:
    """How much is remembered, and shown."""
    page = PAGE.read_text("utf-8")
    assert f"The {SHOWN_CAMPAIGNS} campaigns" in page
    assert f"latest {KEPT_REQUESTS:,} requests" in page
    assert f"latest {KEPT_FAILURES} failed ones" in page


async def test_every_documented_path_exists(tmp_path: Path) -> None:
    """Each answers its method, and names it in the answer to any other."""
    paths = re.findall(r"^\| `(GET|POST) (/\S*?)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(paths) == 9
    async with live_provider() as provider, daemon_of(Home(tmp_path, provider.url)) as daemon:
        for method, path in paths:
            answer = await asked(daemon, path, "DELETE")
            assert (answer.status, method in answer.headers["Allow"]) == (405, True), path
