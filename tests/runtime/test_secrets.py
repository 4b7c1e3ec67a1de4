"""Secrets are never shown, and follow their files."""

from __future__ import annotations

import copy
import os
import pickle
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from exporter.runtime.errors import ConfigError
from exporter.runtime.secrets import MAX_SECRET_BYTES, Secret, SecretFile

KEY = "hunter2"


class Model(BaseModel):
    """A model with a secret."""

    key: Secret


def test_a_secret_is_shown_only_by_reveal() -> None:
    """Neither str, repr nor formatting contains it."""
    secret = Secret(KEY)
    assert secret.reveal() == KEY
    assert {str(secret), repr(secret), f"{secret}", f"{secret!r:>}"} == {"<secret>"}


@pytest.mark.parametrize("copy_secret", [pickle.dumps, copy.deepcopy])
def test_a_secret_can_not_be_pickled_or_copied(copy_secret: object) -> None:
    """Pickling and deep copies are refused."""
    assert callable(copy_secret)
    with pytest.raises(TypeError, match="can't be pickled"):
        copy_secret(Secret(KEY))


def test_secrets_are_compared_by_their_text() -> None:
    """So that a reload can detect a changed key; text and secret are never equal."""
    assert Secret(KEY) == Secret(KEY)
    assert hash(Secret(KEY)) == hash(Secret(KEY))
    assert Secret(KEY) != Secret("другий")
    assert Secret(KEY) != KEY


def test_a_model_dumps_no_secret() -> None:
    """Not as Python, not as JSON, and not in the error about a bad one."""
    model = Model.model_validate({"key": KEY})
    assert model.key.reveal() == KEY
    assert model.model_dump(mode="json") == {"key": "<secret>"}
    assert KEY not in repr(model) + str(model.model_dump()) + model.model_dump_json()
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"key": f"{KEY}\n"})
    assert KEY not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"{KEY}\r\n"])
def test_one_line_break_at_the_end_is_not_part_of_the_secret(text: str, tmp_path: Path) -> None:
    """Editors add one."""
    path = tmp_path / "key"
    path.write_bytes(text.encode())
    assert SecretFile(path, "key").read() == Secret(KEY)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\n\n", "holds a control character or a second line"),
        (b"hunter2\nX-Other: 1", "holds a control character or a second line"),
        (b"hunter2\0", "holds a control character or a second line"),
        (b"hunter2\x7f", "holds a control character or a second line"),
        ("hunter2\x85".encode(), "holds a control character or a second line"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"h" * (MAX_SECRET_BYTES + 1), "is larger than 64 KiB"),
    ],
)
def test_an_invalid_secret_is_refused_without_being_shown(data: bytes, reason: str, tmp_path: Path) -> None:
    """The error says what the file is for and why it can't be used, in message and traceback alike."""
    path = tmp_path / "very-private"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        SecretFile(path, "api_key_file of account main").read()
    assert caught.value.message == f"api_key_file of account main: {reason}"
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "very-private" not in shown


def test_a_file_that_is_not_regular_is_refused_at_once(tmp_path: Path) -> None:
    """Nothing waits for a writer of a named pipe, and a directory is no secret."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        with pytest.raises(ConfigError):
            SecretFile(tmp_path / name, "key").read()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Rewritten, replaced by a rename, or behind a link that was switched."""
    for name, text in {"one": "first", "two": "second"}.items():
        (tmp_path / name).write_text(text)
    link = tmp_path / "key"
    link.symlink_to("one")
    file = SecretFile(link, "key")
    assert file.read().reveal() == "first"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    assert file.read().reveal() == "second"
    (tmp_path / "two").write_text("longer than before")
    assert file.read().reveal() == "longer than before"


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """The same object comes back, so that a read before each request costs next to nothing."""
    path = tmp_path / "key"
    path.write_text(KEY)
    file = SecretFile(path, "key")
    assert file.read() is file.read()


def test_a_good_secret_is_kept_while_its_file_is_being_rewritten(tmp_path: Path) -> None:
    """`trouble` describes the fault while it lasts; the new key is used once it can be read."""
    path = tmp_path / "key"
    path.write_text("first")
    file = SecretFile(path, "key")
    assert (file.read().reveal(), file.trouble) == ("first", "")
    path.write_text("")
    assert (file.read().reveal(), file.trouble) == ("first", "is empty")
    path.unlink()
    assert (file.read().reveal(), file.trouble) == ("first", "no such file or directory")
    path.write_text("second")
    assert (file.read().reveal(), file.trouble) == ("second", "")
    path.rename(tmp_path / "away")
    assert (file.read().reveal(), file.trouble) == ("second", "no such file or directory")
    (tmp_path / "away").rename(path)
    assert (file.read().reveal(), file.trouble) == ("second", "")


def test_a_secret_can_be_used_like_a_file_of_one() -> None:
    """Reading it returns itself."""
    secret = Secret(KEY)
    assert secret.read() is secret


def test_the_path_of_a_secret_is_not_shown(tmp_path: Path) -> None:
    """A key pasted in place of its path must not be printed with it."""
    assert (
        repr(SecretFile(tmp_path / KEY, "api_key_file of account main"))
        == "SecretFile(api_key_file of account main)"
    )
