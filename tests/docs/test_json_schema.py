"""`schema.json` is as strict as JSON Schema can be, and never stricter than the program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from exporter.config import check
from tests.config.files import ACCOUNT
from tests.config.test_bad_files import CASES
from tests.docs.pages import PAGES
from tests.kit.processes import ROOT

SCHEMA = json.loads((ROOT / "exporter/config/schema.json").read_text("utf-8"))
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
BEYOND: Mapping[str, str] = {
    "account_reference": "names that must exist elsewhere",
    "deadline_after_giving_up": "one value against another",
    "drop_twice": "paths against each other",
    "duplicate_key": "editors see that themselves",
    "duplicate_profile": "editors see that themselves",
    "duration_too_long": "sums",
    "first_poll_after_giving_up": "one value against another",
    "inline_key_open_to_others": "the mode of the file",
    "interval_order": "one value against another",
    "listen": "a number within a text",
    "profile_reference": "names that must exist elsewhere",
    "windows_beyond_retention": "one value against another",
    "windows_twice": "two spellings of one duration",
}
"""Bad files that JSON Schema can't tell from good ones, and what it would have to know."""


class _Core(yaml.SafeLoader):
    """YAML 1.2 as editors read it: `yes` is text, and so is 1:30."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as the library has it


for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "|~|null|Null|NULL", ["", *"~nN"]),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def marks(text: str) -> list[str]:
    """What an editor marks in a file, be it no YAML."""
    try:
        tree = yaml.load(text, _Core)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        return [str(error)]
    return [error.message for error in VALIDATOR.iter_errors(tree)]


GOOD = {
    "the example": (ROOT / "config.example.yaml").read_text("utf-8"),
    "the smallest": ACCOUNT,
    "from the environment": """
        accounts:
          - name: ${NAME}
            base_url: ${URL}
            auth: {method: "${METHOD}", api_key: "${KEY}"}
            requests_per_second: ${RATE}
            timeout: ${TIMEOUT}
        webhook: {listen: ":${PORT}", token_file: t, track_unknown: "${TRACK}"}
        windows: ["${WINDOW}"]
        """,
    "other spellings": """
        accounts:
          - name: 7
            base_url: http://[::1]:8080/api
            auth: {method: basic, username: 12, password_file: p}
            requests_per_second: "0.5"
            max_in_flight: '3'
            timeout: 1m30s250ms
        profiles: {slow: {first_poll: 1000ms, objective: 0.9}}
        campaigns: [{name: "a b", messages: [123456, a-b_c]}]
        drop:
          - {directory: in, settle: 0s}
        storage:
        limits:
        exposition: {exemplars: "true", created: False}
        """,
}
ENVIRON = {
    "NAME": "main",
    "URL": "https://restapi.smsbat.com",
    "METHOD": "header",
    "KEY": "made-up",
    "RATE": "10",
    "TIMEOUT": "10s",
    "PORT": "10979",
    "TRACK": "true",
    "WINDOW": "5m",
}


def test_the_schema_is_one() -> None:
    """It keeps the rules of its own dialect."""
    jsonschema_rs.meta.validate(SCHEMA)


@pytest.mark.parametrize("name", GOOD)
def test_what_the_program_takes_is_not_marked(name: str, tmp_path: Path) -> None:
    """A good file is a good file to an editor too, whichever way its values are written."""
    path = tmp_path / "config.yaml"
    path.write_text(GOOD[name], "utf-8")
    path.chmod(0o600)
    assert check(path, ENVIRON).problems == ()
    assert marks(GOOD[name]) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_the_program_refuses_is_marked(case: Path) -> None:
    """Each file of the collection has a mark, but for those that no schema can tell."""
    assert bool(marks(case.read_text("utf-8"))) == (case.stem not in BEYOND)


def test_every_key_is_explained() -> None:
    """Whoever points at a key reads what it means."""
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    properties = [one for section in sections for one in section["properties"].values()]
    assert all(re.fullmatch(r"[A-Z`].+\.", one["description"]) for one in properties)


def test_editors_find_the_schema_by_the_first_line_of_the_example() -> None:
    """The path in it is that of the schema, from where the example stands."""
    first = (ROOT / "config.example.yaml").read_text("utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    assert json.loads((ROOT / named[1]).read_text("utf-8")) == SCHEMA
    assert any(page.name == "docs/configuration.md" and named[1] in page.inline_code for page in PAGES)
