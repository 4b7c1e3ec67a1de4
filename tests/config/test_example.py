"""The example in the repository: whole, valid, and true about the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config import Settings, check
from exporter.config.models import Section
from exporter.config.problem import KeyPath
from exporter.config.yaml_reader import parse
from tests.config.files import ACCOUNT, check_text

EXAMPLE = Path(__file__).parent.parent.parent / "config.example.yaml"


def list_schema_keys() -> Iterator[str]:
    """Every key that some section has."""
    schema = Settings.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        yield from section.get("properties", ())


def test_the_example_has_no_problems_and_warns_of_absent_secrets_only() -> None:
    """A copy of it works as soon as the secrets exist."""
    found = check(EXAMPLE, {})
    assert found.problems == ()
    assert {warning.key for warning in found.warnings} <= {
        "accounts[0].auth.api_key_file",
        "webhook.token_file",
        "intake.token_file",
    }


@pytest.mark.parametrize("key", sorted(set(list_schema_keys())))
def test_every_key_is_in_the_example(key: str) -> None:
    """As a key of the file, or of a line that is commented out."""
    written = {part for path in parse(EXAMPLE.read_text(), {}).places for part in path}
    assert key in written or re.search(rf"^ *# {key}: \S", EXAMPLE.read_text(), re.MULTILINE)


def list_defaults(section: Section) -> dict[str, object]:
    """List the keys that can be left out without another section's help, and their values."""
    return section.model_dump(
        include={name for name, field in type(section).model_fields.items() if not field.is_required()}
    )


def test_the_values_in_the_example_are_the_defaults(tmp_path: Path) -> None:
    """Where a key has a default, the example shows it."""
    example = check(EXAMPLE, {}).settings
    bare = check_text(tmp_path, ACCOUNT + "drop: [{directory: in}]").settings
    assert example is not None
    assert bare is not None
    assert example.profiles == bare.profiles
    assert example.windows == bare.windows
    assert list_defaults(example.accounts[0]) == list_defaults(bare.accounts[0])
    assert list_defaults(example.drop[0]) == list_defaults(bare.drop[0])
    assert example.storage == bare.storage
    assert example.limits == bare.limits
    assert example.exposition == bare.exposition


def test_places_know_where_keys_stand() -> None:
    """A path leads to the line and column that an editor shows."""
    document = parse("a:\n  - b: {c: 1}\n", {})
    path: KeyPath = ("a", 0, "b", "c")
    assert document.places[path][:2] == (2, 9)
