"""The order of the packages, which `[tool.importlinter]` of pyproject.toml says, is held."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"


def lint_imports(folder: Path) -> tuple[int, str]:
    """Exit code and report of import-linter for the package in `folder`."""
    # Its working directory comes first on its path.
    ran = subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stdout


def test_packages_import_only_from_layers_below() -> None:
    """Every package has a layer, and imports only from those below it."""
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("file", "text", "breach"),
    [
        (
            "domain/model.py",
            "import exporter.store",
            "exporter.domain is not allowed to import exporter.store",
        ),
        (
            "store/schema.py",
            "def read():\n    from exporter.engine import tracker",
            "exporter.store is not allowed to import exporter.engine",
        ),
        (
            "simulator/server.py",
            "from exporter.provider import client",
            "exporter.simulator is not allowed to import exporter.provider",
        ),
        ("novelty.py", "", "exporter.novelty"),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, file: str, text: str, breach: str) -> None:
    """A wrong import is seen wherever it stands in a file, and so is a package without a layer."""
    shutil.copytree(ROOT / "exporter", tmp_path / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "exporter" / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{text}\n")
    code, report = lint_imports(tmp_path)
    assert code == 1
    assert breach in report
