"""Whatever the file holds: settings, or a ConfigError, and soon."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.config import load
from exporter.config.error_messages import list_known_keys
from exporter.runtime.errors import ConfigError
from tests.config.files import ACCOUNT
from tests.config.test_bad_files import CASES
from tests.kit.fuzzing import mutate_seed

SEEDS = [path.read_bytes() for path in CASES] + [ACCOUNT.encode()]
SECTIONS = ["accounts", "profiles", "campaigns", "drop", "storage", "windows", "limits", "webhook", "intake"]
WORDS = sorted(
    {key for section in SECTIONS for key in list_known_keys((section,))}
    | {*list_known_keys(()), "otp", "auth"}
)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["5s", "0s", "main", "default", "${A}", "${", "key", "https://a", "10.0.0.0/8", ":1", "1e999"]
    ),
)
trees = st.dictionaries(
    st.sampled_from(SECTIONS),
    st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.one_of(st.sampled_from(WORDS), leaves), inner, max_size=6),
        ),
        max_leaves=20,
    ),
)


def assert_settings_or_error(directory: Path, data: bytes) -> None:
    """Load `data`; anything but settings and ConfigError comes through."""
    path = directory / "config.yaml"
    path.write_bytes(data)
    path.chmod(0o600)
    with suppress(ConfigError):
        load(path, {"A": "5s"})


fuzzed = hypothesis_settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzzed
@given(data=st.binary())
@example(data=b"\xef\xbb\xbf")
@example(data=b"---\n...\n---\n")
@example(data=b"? \n")
@example(data=b"accounts: !\n")
@example(data=b"%YAML 9.9\n---\n")
def test_any_bytes_are_settings_or_a_config_error(data: bytes, tmp_path: Path) -> None:
    """Noise never ends in another exception."""
    assert_settings_or_error(tmp_path, data)


@fuzzed
@given(data=mutate_seed(SEEDS))
def test_any_damage_to_a_file_is_settings_or_a_config_error(data: bytes, tmp_path: Path) -> None:
    """Nor do files that are almost right."""
    assert_settings_or_error(tmp_path, data)


@fuzzed
@given(tree=trees)
def test_any_tree_is_settings_or_a_config_error(tree: object, tmp_path: Path) -> None:
    """Nor do known keys with values of every type and shape."""
    assert_settings_or_error(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 100_000, id="open brackets"),
        pytest.param(b"a: " + b"{a: " * 100_000, id="open braces"),
        pytest.param(b"- " * 200_000, id="dashes"),
        pytest.param(b"a: 1\n" * 200_000, id="the same key"),
        pytest.param(b"a: &a [x]\nb: [" + b"*a, " * 200_000 + b"]", id="aliases"),
        pytest.param(b"a: '" + b"${" * 400_000 + b"'", id="dollars"),
        pytest.param(b"windows: ['" + b"1(" * 400_000 + b"']", id="almost a phone number"),
        pytest.param(b"accounts: [" + b"[], " * 200_000 + b"]", id="wrong items"),
        pytest.param(b'windows: ["' + b"9" * 900_000 + b's"]', id="a long number"),
    ],
)
def test_a_bomb_of_a_megabyte_is_refused(data: bytes, tmp_path: Path) -> None:
    """Nesting, repetition and aliases cost time and memory in proportion to the file, at most."""
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert len(caught.value.message) < 100_000
