"""The wheel: what is installed is what was tested, complete and without the tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.kit.grafana import read_committed, read_files
from tests.kit.processes import ROOT

DATA = {".sql", ".json", ".html"}
IMPORT_ALL = """
import importlib, pkgutil, sys
import exporter
for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
print(exporter.__file__)
"""


def _build(target: str, source: Path, folder: Path) -> Path:
    """Build without a network: the build tool is pinned among the tests' needs."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def _hold(wheel: Path) -> dict[str, bytes]:
    """What each file in the wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout."""
    return _build("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True, capture_output=True)
    return folder


def _run(installed: Path, *arguments: str) -> str:
    """Run Python on the installed copy from a folder where the checkout can't be imported by chance."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(installed), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    """All code, SQL, dashboards and pages of the package are in the wheel; tests and tools are not."""
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "exporter").rglob("*")
        if path.suffix in DATA | {".py"}
    }
    assert wanted <= files
    assert {name.split("/")[0] for name in files} == {"exporter"}
    dashboards = {name for name in files if name.startswith("exporter/grafana/")}
    assert dashboards == {f"exporter/grafana/{name}" for name in read_committed()}
    assert any(name.endswith(".sql") for name in files)


def test_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    """Who installs it gets the licence and `smsbat-exporter`."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "smsbat-exporter = exporter.__main__:main" in archive.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_module_of_the_installed_copy_can_be_imported(installed: Path) -> None:
    """Nothing in the package needs the checkout around it."""
    assert _run(installed, "-c", IMPORT_ALL).strip() == str(installed / "exporter" / "__init__.py")


def test_the_installed_command_prints_its_help(installed: Path) -> None:
    """`--help` works from the installed copy, by module and by script."""
    assert "smsbat-exporter" in _run(installed, "-m", "exporter", "--help")
    assert "smsbat-exporter" in _run(installed, str(installed / "bin" / "smsbat-exporter"), "--help")


def test_the_installed_command_writes_the_committed_dashboards(installed: Path, tmp_path: Path) -> None:
    """What is installed writes the files of `grafana/`, byte for byte, and no other."""
    _run(installed, "-m", "exporter", "dashboards", f"--out={tmp_path}")
    assert read_files(tmp_path) == read_committed()


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """A wheel from the source distribution has every file of one from the checkout, byte for byte."""
    with tarfile.open(_build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("smsbat_exporter-*")
    assert _hold(_build("wheel", unpacked, tmp_path / "wheel")) == _hold(wheel)


def test_the_image_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """What `.dockerignore` lets through and the Dockerfile copies is enough."""
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copies = re.findall(r"^COPY ([^-].*) (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for names, target in copies:
        for name in names.split():
            assert name in sent
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tmp_path / "source" / target)
            else:
                folder = tmp_path / "source" / target
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder)
    assert _hold(_build("wheel", tmp_path / "source", tmp_path / "wheel")) == _hold(wheel)
