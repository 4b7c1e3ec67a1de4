"""A folder of bad files, each pinned to exactly what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import check, load
from exporter.runtime.errors import ConfigError

FOLDER = Path(__file__).parent / "bad"
CASES = sorted(FOLDER.glob("*.yaml"))
ENVIRON = {"BAD": "hunter2", "SET": "main"}
PLANTED = ("hunter2", "380501234567")
"""The key and the phone number that are written into the files, in every place."""


def load_refused(directory: Path, text: bytes, mode: int = 0o644) -> str:
    """What `load` says of a file called config.yaml."""
    path = directory / "config.yaml"
    path.write_bytes(text)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    assert caught.value.exit_code == 78
    assert caught.value.hint == ""
    return caught.value.message.replace(str(path), "config.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_problem_of_a_bad_file_is_reported_in_the_pinned_words(case: Path, tmp_path: Path) -> None:
    """Position, key, message and hint of every problem are those in the .txt beside the file."""
    assert load_refused(tmp_path, case.read_bytes()) + "\n" == case.with_suffix(".txt").read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_no_message_repeats_a_key_or_a_phone_number(case: Path, tmp_path: Path) -> None:
    """Whatever the place that a key or a phone number was written in, no problem shows it."""
    message = load_refused(tmp_path, case.read_bytes())
    assert not [planted for planted in PLANTED if planted in message]


def test_no_pinned_message_is_left_without_its_file() -> None:
    """Each .txt belongs to a .yaml."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in CASES}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"accounts: \xff\n", "config.yaml: is not UTF-8 text (line 1); save it in UTF-8 [SMSBAT-C001]"),
        (
            "accounts:\n".encode("utf-16"),
            "config.yaml: is not UTF-8 text (line 1); save it in UTF-8 [SMSBAT-C001]",
        ),
        (
            b"accounts:\n  - \0",
            "config.yaml:2:5: character U+0000 is not allowed [SMSBAT-C002]\n  hint: save it as plain text",
        ),
        (b"#" * (1024 * 1024 + 1), "config.yaml: is larger than 1024 KiB [SMSBAT-C001]"),
    ],
)
def test_what_is_no_text_is_refused_as_a_whole(data: bytes, message: str, tmp_path: Path) -> None:
    """Bytes that aren't UTF-8, control characters and huge files get one clear sentence."""
    assert load_refused(tmp_path, data) == message


def test_a_path_that_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    """A missing file and a directory have different messages, and neither is an unexpected exception."""
    with pytest.raises(
        ConfigError, match=r"config\.yaml: no such file or directory \[SMSBAT-C001\]\n  hint: "
    ):
        load(tmp_path / "config.yaml", {})
    with pytest.raises(ConfigError, match=r": is a directory \[SMSBAT-C001\]$"):
        load(tmp_path, {})


def test_a_very_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    """After a hundred problems their number is enough; `check` still has them all."""
    text = "".join(f"unknown{number}: 1\n" for number in range(150))
    lines = load_refused(tmp_path, text.encode()).splitlines()
    assert lines[-1] == "and 51 more problems"
    assert len(check(tmp_path / "config.yaml", {}).problems) == 151
