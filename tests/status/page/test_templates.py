"""What holds for every template: escaping, names, layout, and who pays for the library."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from importlib import resources

import pytest
from jinja2 import UndefinedError, nodes

from exporter.domain.limiter import CircuitState
from exporter.status import message, model
from exporter.status.message import Lookup
from exporter.status.page.rendering import render_home, render_message
from exporter.status.page.sparkline import Sparkline
from exporter.status.page.templating import TEMPLATES
from tests.kit.processes import ROOT, environment, once
from tests.status.example import FAILURE, NOW, OVERVIEW

SOURCES = resources.files("exporter.status.page").joinpath("templates")


def test_only_the_style_is_not_escaped() -> None:
    """Nothing else is marked as safe, and no template turns escaping off."""
    found = []
    for template in SOURCES.iterdir():
        found += re.findall(r".*\bsafe\b.*|.*\bautoescape\b.*", template.read_text("utf-8"))
    assert [line.strip() for line in found] == ["<style>{{ css | safe }}</style>"]
    assert TEMPLATES.from_string("{{ text }}").render(text="<'\"&>") == "&lt;&#39;&#34;&amp;&gt;"


@pytest.mark.parametrize("text", ["{{ nobody }}", "{{ view.nobody }}", "{% if view.nobody %}{% endif %}"])
def test_a_name_that_does_not_exist_is_an_error(text: str) -> None:
    """It is not shown as nothing."""
    with pytest.raises(UndefinedError, match="nobody"):
        TEMPLATES.from_string(text).render(view=TEMPLATES)


def test_every_attribute_in_a_template_is_one_of_a_view() -> None:
    """Also where it is rarely shown: no type checker reads templates."""
    views = [one for module in (message, model) for one in vars(module).values() if is_dataclass(one)]
    known = {field.name for view in views for field in fields(view)}
    known |= {*Sparkline._fields, *model.State.__members__, *CircuitState.__members__, "items", "last"}
    for template in SOURCES.iterdir():
        named = {node.attr for node in TEMPLATES.parse(template.read_text("utf-8")).find_all(nodes.Getattr)}
        assert named <= known, template.name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>\n  <b>one</b>\n  {{ 2 }}\n  <i>\n</p>\n", "<p><b>one</b>2<i></p>"),
        ("one\n  {{ 2 }}\n  three\n  {% if 4 %}\n    four\n  {% endif %}\n", "one2threefour"),
        ("of\n  two, {{ 3 }}\n", "of two, 3"),
        ('<a\n   href="/"\n   id="x"\n>', '<a href="/" id="x">'),
        ("{{ 'a\n  b' }}", "a\n  b"),
    ],
)
def test_the_layout_of_a_template_is_not_in_the_page(text: str, shown: str) -> None:
    """A line break is a space inside of a text or a tag, else nothing; a value keeps its own."""
    assert TEMPLATES.from_string(text).render() == shown


def test_each_cell_is_labelled_with_the_heading_of_its_column() -> None:
    """In a narrow window the label is all that says what a cell is."""
    lookup = Lookup(
        message_id=FAILURE.message_id,
        messages=(),
        retention_seconds=60.0,
        requests=(FAILURE,),
        requests_since_timestamp_seconds=NOW,
        failures_since_timestamp_seconds=NOW,
    )
    pages = render_home(OVERVIEW, "e:1", tls=False) + render_message(lookup, None)
    tables = re.findall("<table.*?</table>", pages)
    assert len(tables) == 4
    for table in tables:
        headings = re.findall(r'role="columnheader">([^<]*)<', table)
        (row,) = re.findall(r'<th scope="row".*?</tr>', table)
        assert re.findall(r'data-label="([^"]*)"', row) == headings[1:]


@pytest.mark.parametrize("command", [["--version"], ["check-config", "config.example.yaml"]])
def test_a_command_without_a_page_does_not_load_the_library(command: list[str]) -> None:
    """What shows no page starts without the time that the templates take."""
    done = once(*command, cwd=ROOT, env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert "exporter.cli" in done.stderr
    assert "jinja2" not in done.stderr
