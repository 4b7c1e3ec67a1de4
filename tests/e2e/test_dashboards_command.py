"""The command `dashboards`: the files of this version, as they are committed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.grafana import read_committed, read_files
from tests.kit.processes import ROOT, environment, once


def test_the_command_writes_what_is_committed(tmp_path: Path) -> None:
    """Every file of `grafana/` that users need, in a new folder, each one named in the output."""
    ended = once("dashboards", "--out=new/folder", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    expected = read_committed()
    assert read_files(tmp_path / "new" / "folder") == expected
    assert sorted(ended.stdout.splitlines()) == [f"new/folder/{name}" for name in sorted(expected)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param((), 2, "--out", id="nowhere"),
        pytest.param(("--out=file/folder",), 1, "file/folder can't be written: Not a directory", id="file"),
    ],
)
def test_a_place_that_can_not_be_written_is_named(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A sentence and an exit code, and no stack trace."""
    (tmp_path / "file").write_text("", "ascii")
    ended = once("dashboards", *arguments, cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_incomplete_installation_is_named(tmp_path: Path) -> None:
    """A package without its folder writes nothing, and says what is missing and what to do."""
    shutil.copytree(ROOT / "exporter", tmp_path / "exporter")
    ended = once("dashboards", "--out=out", cwd=tmp_path, env=environment(PYTHONPATH=str(tmp_path)))
    assert ended.returncode == 1
    assert f"{tmp_path / 'exporter' / 'grafana'} is missing" in ended.stderr
    assert "install smsbat-exporter again" in ended.stderr
    assert not (tmp_path / "out").exists()
