"""What the pages say exists: links, anchors, keys, flags, metrics, files; and what they show is right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from exporter.cli.flags import PROGRAM
from exporter.config import Settings, check
from exporter.config.models import Account
from exporter.http.webconfig.sections import TlsServer, WebFile
from exporter.metrics import catalogue
from exporter.metrics.catalogue import Family, Type
from exporter.status.page import LOOKUP, OVERVIEW
from tests.config.files import ACCOUNT
from tests.dashboards import test_promql as promql
from tests.docs import metrics
from tests.docs.keys import every_key
from tests.docs.pages import PAGES, Page
from tests.kit.processes import ROOT, once

EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
BY_NAME = {page.name: page for page in PAGES}
SECRETS = ("api_key_file", "password_file", "token_file")
OTHER_WORDS = frozenset({"client_ca", "dashboard_url", "histogram_quantile", "rule_files", "sent_at"})
"""Words with an underscore that are no key, metric, label or value."""


# --- links --------------------------------------------------------------------------------------------


def broken(page: Page, link: str) -> bool:
    """Whether a link within the checkout leads nowhere."""
    target, _, anchor = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    name = str(path.relative_to(ROOT))
    if not path.exists():
        return True
    return bool(anchor) and anchor not in (BY_NAME.get(name) or Page(name)).anchors


@EVERY_PAGE
def test_links_lead_somewhere(page: Page) -> None:
    """Every link to a file of the checkout, and to a heading in it, has a target."""
    assert [link for link in page.links if "://" not in link and broken(page, link)] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    """Whoever reads the index finds all pages; nothing lies about unseen."""
    index = BY_NAME["docs/index.md"]
    linked = {str((index.path.parent / link).resolve().relative_to(ROOT)) for link in index.links}
    assert {page.name for page in PAGES} - linked == {"README.md", "docs/index.md"}
    assert any(link == "docs/index.md" for link in BY_NAME["README.md"].links)


# --- what is shown ------------------------------------------------------------------------------------


OF_OTHERS = (
    {"global", "rule_files", "alerting", "scrape_configs"},
    {"tls_server_config", "basic_auth_users", "http_server_config", "rate_limit"},
)
"""Keys of Prometheus' configuration, and of the web configuration: the quickstart tries both."""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block.text, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in page.of_language("yaml")
    ],
)
def test_blocks_of_yaml_can_be_used(text: str, tmp_path: Path) -> None:
    """Each parses; a piece of the configuration has no problems once the rest stands around it."""
    tree = yaml.safe_load(text)
    assert isinstance(tree, dict)
    if any(tree.keys() <= keys for keys in OF_OTHERS):
        return
    if tree.keys() <= Account.model_fields.keys():
        text = ACCOUNT.partition("    auth:")[0] + text
    elif "accounts" not in tree:
        text += ACCOUNT
    for secret in SECRETS:
        text = re.sub(rf"({secret}: )(\"[^\"]*\"|[^,}}\s]+)", rf"\1{tmp_path}/secret", text)
    (tmp_path / "secret").write_text("made-up\n", "ascii")
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    check_text = check(path, {})
    assert (check_text.problems, check_text.warnings) == ((), ())


def queries() -> Iterator[promql.Query]:
    """Every query in a block, and those in a line of text."""
    for page in PAGES:
        for block in page.of_language("promql"):
            yield promql.Query(f"{page.name}:{block.line}", block.text, in_dashboard=False)
        for code in page.inline_code:
            if re.search(r"\(.*smsbat_", code):
                yield promql.Query(f"{page.name}: {code[:30]}", code.replace("\\|", "|"), in_dashboard=False)


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.place)
def test_queries_keep_the_rules_of_the_dashboards(query: promql.Query) -> None:
    """They parse, ask for what exists, read counters as rates, and have gaps where there is nothing."""
    promql.test_a_query_parses(query)
    promql.test_a_query_asks_for_what_exists(query)
    promql.test_counters_are_read_as_rates_and_gauges_never_are(query)
    promql.test_a_ratio_has_a_gap_where_there_is_nothing(query)
    promql.test_shares_within_a_bucket_name_a_bound_that_exists(query)


# --- what is named ------------------------------------------------------------------------------------


@cache
def said_by_help(*command: str) -> str:
    """What the command line itself says of its commands and flags."""
    ended = once(*command, "--help", cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@cache
def flags() -> dict[str, set[str]]:
    """The flags of each command."""
    list_problems = said_by_help().partition("COMMAND\n")[2].partition("\n\n")[0]
    names = re.findall(r"^ {4}([a-z][a-z-]*)", list_problems, re.MULTILINE)
    return {name: set(re.findall(r"--[a-z][a-z.-]*", said_by_help(name))) for name in names}


SHOWN = {
    key
    for page in PAGES
    for block in page.of_language("yaml")
    for key in re.findall(r"\b([a-z_]+):", block.text)
}
"""Keys of all files that the pages show, others' too."""
KEYS = {key.name for key in every_key()} | WebFile.model_fields.keys() | TlsServer.model_fields.keys()
ANSWERED = set(re.findall(r'"([a-z_]+)"', json.dumps([OVERVIEW.json_schema(), LOOKUP.json_schema()])))
"""Keys and words of the answers of the API."""
LABELS = {label for family in catalogue.ALL for label in family.labels}
VALUES = {value for values in metrics.label_values().values() for value in values}
PARTS = {Type.HISTOGRAM: ("", "_bucket", "_count", "_sum")}


def family_of(name: str) -> Family | None:
    """The metric that has a sample of this name."""
    for family in catalogue.ALL:
        if name in {family.name + part for part in PARTS.get(family.type, ("",))}:
            return family
    return None


@EVERY_PAGE
def test_metrics_that_are_named_exist(page: Page) -> None:
    """Each with the labels that it is given, wherever it stands in the page."""
    text = page.path.read_text("utf-8")
    for name, labels in re.findall(r"\b(?<!:)(smsbat_[a-z_]*[a-z])\b(?!:)(?:\{([^}]*)\})?", text):
        family = family_of(name)
        assert family is not None or f"{name}_*" in text, name
        if family is not None:
            assert set(re.findall(r"(\w+)=", labels)) <= {*family.labels, "le"}, name


@EVERY_PAGE
def test_flags_that_are_named_exist(page: Page) -> None:
    """A flag in backquotes that looks like one of Prometheus' family is one of a command's."""
    named = {flag for code in page.inline_code for flag in re.findall(r"(?<!\S)--[a-z]+[.][a-z.-]*", code)}
    assert named <= set().union(*flags().values())


@EVERY_PAGE
def test_commands_that_are_named_can_be_called_so(page: Page) -> None:
    """`smsbat-exporter COMMAND --flag` in a text or a block is a command that has this flag."""
    called = [code for code in page.inline_code if code.startswith(f"{PROGRAM} ")]
    called += re.findall(rf"^ *({PROGRAM} .*)", page.path.read_text("utf-8"), re.MULTILINE)
    for call in called:
        name, *words = call.split("#")[0].split()[1:]
        if not name.startswith("-") and not name.isupper():
            written = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert written <= flags()[name], call


@EVERY_PAGE
def test_keys_and_words_that_are_named_exist(page: Page) -> None:
    """What looks like a key is one, in the section that it is said to be in; other words are known ones."""
    known = KEYS | ANSWERED | LABELS | VALUES | SHOWN | OTHER_WORDS
    for code in page.inline_code:
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", code):
            assert code in known or family_of(code) is not None, code
        section, _, key = code.partition(".")
        if section in Settings.model_fields and re.fullmatch(r"[a-z_]+", key):
            assert key in {k.name for k in every_key()}, code


@EVERY_PAGE
def test_files_that_are_named_exist(page: Page) -> None:
    """A path in backquotes that begins in the checkout is there."""
    folders = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir())
    for code in page.inline_code:
        if code.startswith(folders) and re.fullmatch(r"[\w./*-]+", code):
            assert list(ROOT.glob(code)), code


@EVERY_PAGE
def test_environment_variables_that_are_named_exist(page: Page) -> None:
    """SMSBAT_... is the variable of a flag, or stands in the example."""
    known = set().union(*flags().values())
    variables = {"SMSBAT_" + re.sub("[.-]", "_", flag.lstrip("-")).upper() for flag in known}
    example = set(re.findall(r"SMSBAT_[A-Z_]+", (ROOT / "config.example.yaml").read_text("utf-8")))
    assert set(re.findall(r"\bSMSBAT_[A-Z_]+", page.path.read_text("utf-8"))) <= variables | example


def test_the_page_of_metrics_has_every_metric() -> None:
    """And none that isn't one."""
    headings = re.findall(r"^### `(\w+)`$", BY_NAME["docs/metrics.md"].path.read_text("utf-8"), re.MULTILINE)
    assert headings == [family.name for family in catalogue.ALL]
