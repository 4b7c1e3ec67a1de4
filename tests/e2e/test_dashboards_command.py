"""The command `dashboards`: the files of this version, as they are committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.processes import ROOT, once

MADE_BY_TESTS = "prometheus/tests/"
"""The unit tests of the rules are beside them, and not part of the package."""


def _read_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_command_writes_what_is_committed(tmp_path: Path) -> None:
    """Every file of `grafana/` that users need, in a new folder, each one named in the output."""
    ended = once("dashboards", "--out=new/folder", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    committed = _read_files(ROOT / "grafana")
    expected = {name: text for name, text in committed.items() if not name.startswith(MADE_BY_TESTS)}
    assert _read_files(tmp_path / "new" / "folder") == expected
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
