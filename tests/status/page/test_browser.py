"""The page in a real browser: nothing is blocked, nothing overflows, everything is readable."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kit.browser import PROGRAM, Tab, browser
from tests.kit.processes import EXPORTER, Running
from tests.kit.waiting import until
from tests.kit.web import ask

pytestmark = pytest.mark.needs(PROGRAM)
PHONE_WIDTH, DESK_WIDTH = 360, 1280
LEAST_CONTRAST = 4.5
DARK_GROUND = "rgb(16, 20, 24)"

UNREADABLE = """
(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("svg, style")) continue;
    const colours = [getComputedStyle(element).color, ground(element)].map(light).sort();
    const contrast = (Math.max(...colours) + 0.05) / (Math.min(...colours) + 0.05);
    if (contrast < LEAST) found.push(`${contrast.toFixed(2)}: ${texts.currentNode.data}`);
  }
  return found;
})()
""".replace("LEAST", str(LEAST_CONTRAST))
"""The texts of a page with too little contrast, by WCAG's formula."""

OVERFLOWING = """
(() => {
  const inside = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")]
    .filter((element) => !element.closest("pre, thead"))
    .filter((element) => element.getBoundingClientRect().right > inside + 0.5)
    .map((element) => `${element.tagName} ${element.className}: ${element.textContent.slice(0, 40)}`);
})()
"""


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A browser."""
    async with browser(tmp_path) as opened:
        yield opened


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address of a demo that has campaigns and failures."""
    argv = [*EXPORTER, "demo", "--speed=60", "--web.listen-address=127.0.0.1:0"]
    with Running(argv, tmp_path / "demo.log") as demo:

        def opened() -> tuple[str, str] | None:
            assert demo.runs, demo.said()
            found = re.search(r"page +http://(\S+)/\n +provider +http://(\S+?)/-/", demo.printed())
            return (found[1], found[2]) if found and "Ctrl-C" in demo.printed() else None

        printed = until(opened, "the demo prints the address of its page")
        assert printed is not None
        address, provider = printed

        def has_any(what: str) -> bool:
            return bool(ask(address, "/api/v1/status").json()[what])

        until(lambda: has_any("campaigns"), "there are campaigns")
        assert ask(provider, "/-/scenario/key-revoked", method="POST").status == 200
        until(lambda: has_any("failures"), "there are failures")
        yield f"http://{address}/"


async def test_a_page_in_a_browser(tab: Tab, page: str) -> None:
    """Wide and narrow, light and dark: it loads only itself, fits, and can be read; so does a message."""
    for width in (DESK_WIDTH, PHONE_WIDTH):
        for scheme in ("light", "dark"):
            await tab.look(width=width, scheme=scheme)
            await tab.open(page)
            assert await tab.value("document.documentElement.scrollWidth") <= width
            assert await tab.value(OVERFLOWING) == []
            assert await tab.value(UNREADABLE) == []
    assert await tab.value("getComputedStyle(document.body).backgroundColor") == DARK_GROUND
    message_id = await tab.value("document.querySelector('a.id').textContent")
    await tab.value(f"document.querySelector('#id').value = {json.dumps(message_id)}")
    await tab.press("button")
    assert await tab.value("location.search") == f"?id={message_id}"
    assert "Requests about it" in await tab.value("document.body.textContent")
    assert await tab.value(OVERFLOWING) == []
    assert await tab.value(UNREADABLE) == []
    assert tab.complaints == []
    assert {url for url in tab.requested if not url.startswith((page, "data:"))} == set()


async def test_the_checks_of_a_page_find_what_they_should(tab: Tab, tmp_path: Path) -> None:
    """A blocked script, an overflowing text, and an unreadable one are found."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\"><body style='background: #fff'><script>1</script>"
        "<p style='color: #999; width: 500px'>pale",
        "ascii",
    )
    await tab.look(width=PHONE_WIDTH)
    await tab.open(bad.as_uri())
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
    assert await tab.value(OVERFLOWING) == ["P : pale"]
    assert await tab.value(UNREADABLE) == ["2.85: pale"]
