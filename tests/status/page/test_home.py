"""The page as HTML: its content, and that no value can become markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.status.model import ConfigurationWarning, DropView, Hours, Overview, Problem, Severity, State
from exporter.status.page.rendering import SHOWN_CAMPAIGNS, SHOWN_FAILURES, render_home
from exporter.status.page.sparkline import describe_hours
from tests.status.example import CAMPAIGN, FAILURE, HOURS, NOW, OVERVIEW

HOSTILE = "<script>alert('x')</script>\"&' onload=x"
MAX_PAGE_BYTES = 160 * 1024


class Page(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element that was opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the begin of an element."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Record the end of an element."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record a text."""
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text of the page."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def parse_home(view: Overview, target: str = "exporter:10978", *, tls: bool = False) -> Page:
    """Render and parse the page of a view."""
    return Page(render_home(view, target, tls=tls))


def test_the_state_is_first_and_in_words() -> None:
    """As the first heading after the name, with its advice, and in the title."""
    problem = Problem(State.KEY_REFUSED, Severity.ERROR, "The key is refused.", "Put another.", "main")
    other = Problem(State.BEHIND, Severity.WARNING, "It is behind.", "Raise it.", "main")
    view = replace(
        OVERVIEW,
        state=State.KEY_REFUSED,
        summary="The key is refused.",
        advice="Put another.",
        problems=(problem, other),
    )
    page = parse_home(view)
    assert "Key refused · smsbat-exporter" in page.texts
    assert page.text.index("Error The key is refused. Put another.") < page.text.index("Campaigns")
    assert "Warning It is behind. Raise it." in page.text
    assert "Fine" in parse_home(OVERVIEW).text


def test_what_should_be_fixed_in_the_configuration_is_shown() -> None:
    """Where, what and how; without any, nothing of it is on the page."""
    warning = ConfigurationWarning("config.yaml", 7, "accounts[0].auth", HOSTILE, "move it", "SMSBAT-C015")
    page = parse_home(replace(OVERVIEW, configuration_warnings=(warning,)))
    assert f"config.yaml, line 7: accounts[0].auth: {HOSTILE} [SMSBAT-C015] move it" in page.text
    assert "Warnings about the configuration" not in parse_home(OVERVIEW).text


def test_the_numbers_of_a_campaign_stand_with_what_they_are_of() -> None:
    """Shares with their counts, the objective, times, each currency of its own, pending and the oldest."""
    text = parse_home(OVERVIEW).text
    for words in (
        "1h: 97 % of 100",
        "24h: 97.1 % of 2,300",
        "30m: 100 % of 50",
        "wanted: 95 % in 30 s",
        "p50 7.5 s p95 23 s of 2,200",
        "0.06 EUR 1,234.50 UAH",
        "60 oldest sent 1 min 24 s ago",
    ):
        assert words in text


def test_a_screen_reader_finds_its_way() -> None:
    """A language, a title, one main heading, headings in order, and tables with labels and headers."""
    page = parse_home(OVERVIEW)
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)] == ["h1"] + ["h2"] * 7
    assert all(header["scope"] in {"col", "row"} for header in page.all("th"))
    assert all(table["aria-label"] for table in page.all("table"))
    assert all(drawing["role"] == "img" for drawing in page.all("svg"))
    assert len(page.all("main")) == len(page.all("nav")) == 1
    assert page.all("label")[0]["for"] == page.all("input")[0]["id"]


def test_it_loads_nothing_and_runs_nothing() -> None:
    """No script, no external address."""
    page = parse_home(OVERVIEW)
    assert not page.all("script") + page.all("img") + page.all("iframe")
    addresses = [attributes.get("href") for attributes in page.all("a")]
    assert all(address is not None and address.startswith("/") for address in addresses)
    assert {"/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/messages?id=abc123def456"} <= set(
        addresses
    )
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any("style" in attributes for _, attributes in page.tags)


def test_a_name_with_markup_is_shown_as_text() -> None:
    """Campaigns, accounts, directories, details of failures: all of them are external input."""
    view = replace(
        OVERVIEW,
        summary=HOSTILE,
        campaigns=(replace(CAMPAIGN, campaign=HOSTILE, account=HOSTILE, cost={HOSTILE: 1.0}),),
        accounts=(replace(OVERVIEW.accounts[0], account=HOSTILE), *OVERVIEW.accounts),
        failures=(replace(FAILURE, campaign=HOSTILE, detail=HOSTILE, message_id=HOSTILE),),
        drop=DropView({HOSTILE: None}, blocked=False, files={HOSTILE: 1}, lines={}),
    )
    page = parse_home(view, HOSTILE)
    assert page.all("script") == []
    assert {f"/messages?id={HOSTILE}"} < {link["href"] for link in page.all("a")}
    assert {name for name, _ in page.tags} == {name for name, _ in parse_home(OVERVIEW).tags}
    assert page.text.count("<script>alert('x')</script>\"&' onload=x") >= 9


def test_many_campaigns_are_cut_and_counted() -> None:
    """The page stays small, also with long names that need escaping."""
    campaigns = tuple(
        replace(CAMPAIGN, campaign=f"{number:03}" + "&" * 61, cost={"UAH": 1.0, "EUR": 2.0})
        for number in range(500)
    )
    failures = (replace(FAILURE, message_id="a" * 128, detail="&" * 200),) * 20
    text = render_home(replace(OVERVIEW, campaigns=campaigns, failures=failures), "e", tls=False)
    assert len(text.encode()) < MAX_PAGE_BYTES
    page = Page(text)
    assert f"And {500 - SHOWN_CAMPAIGNS} more campaigns" in page.text
    assert len(page.all("svg")) == SHOWN_CAMPAIGNS
    assert sum("/messages?id=" in (link["href"] or "") for link in page.all("a")) == SHOWN_FAILURES


def test_a_fresh_start_says_that_there_is_nothing_yet() -> None:
    """No empty table, and no zero for an unknown value."""
    account = replace(OVERVIEW.accounts[0], up=None, last_success_timestamp_seconds=None, lag_seconds={})
    text = parse_home(replace(OVERVIEW, campaigns=(), failures=(), accounts=(account,))).text
    assert "None yet: a campaign begins with its first message." in text
    assert "main Not polled yet none" in text
    assert "Last failed requests None." in text


@pytest.mark.parametrize(
    ("speed", "words"), [(None, ""), (1.0, "DEMO a simulated provider"), (60.0, "60 times as fast")]
)
def test_the_demo_says_that_it_is_one(speed: float | None, words: str) -> None:
    """And how fast its time passes."""
    text = parse_home(replace(OVERVIEW, demo_speed=speed)).text
    assert words in text
    assert ("DEMO" in text) == (speed is not None)


def test_the_snippet_is_a_scrape_configuration() -> None:
    """With the given address, and with https where TLS is used."""
    assert (
        'scrape_configs: - job_name: smsbat static_configs: - targets: ["e:1"]'
        in parse_home(OVERVIEW, "e:1").text
    )
    assert "job_name: smsbat scheme: https static_configs:" in parse_home(OVERVIEW, tls=True).text


def test_a_chart_has_a_description_in_words() -> None:
    """Sums, and the worst hour that can be judged."""
    hours = replace(HOURS, delivered=(*HOURS.delivered[:5], 20, *HOURS.delivered[6:]))
    words = describe_hours(hours)
    assert words == (
        "Last 24 hours: 2,400 sent, 2,194 delivered, 146 not, 60 may still be. "
        "Worst hour: 14:00 UTC, 20 % of 100 delivered."
    )
    assert words in parse_home(replace(OVERVIEW, campaigns=(replace(CAMPAIGN, hours=hours),))).texts


def find_bars(page: Page, kind: str) -> list[tuple[float, float]]:
    """Top and height of each bar of a kind, in the only chart of a page."""
    (path,) = (drawn["d"] for drawn in page.all("path") if drawn["class"] == kind)
    assert path
    return [(float(y), float(h)) for y, h in re.findall(r"M[\d.]+ ([\d.]+)h[\d.]+v([\d.]+)h", path)]


@pytest.mark.parametrize("sent", [1, 7, 1_000_000])
def test_bars_stay_inside_their_chart(sent: int) -> None:
    """Whatever the counts; an hour without deliveries is entirely below the line."""
    hours = Hours(NOW, (sent,) * 3, (0, sent, 0), judged=2)
    drawing = parse_home(replace(OVERVIEW, campaigns=(replace(CAMPAIGN, hours=hours),)))
    ((top, height),) = find_bars(drawing, "undelivered")
    assert (top, height <= 15) == (29.0, True)
    ((top, height),) = find_bars(drawing, "delivered")
    assert (top >= 0, top + height) == (True, 28.0)
    assert len(find_bars(drawing, "open")) == 1
