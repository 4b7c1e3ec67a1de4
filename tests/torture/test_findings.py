"""What the campaigns found, each held by a test of its own."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.config import check
from exporter.ingest.drop.directory import open_file, scan_directory
from tests.engine.provider import Provider
from tests.engine.rig import start_rig
from tests.engine.settings import make_settings
from tests.kit.virtual import VIRTUAL

ROOT = Path(__file__).parents[2]
_THREE_TRIES = """\
import sys
from exporter.ingest.drop.directory import ArchivePlan, archive_file, scan_directory
(found,) = scan_directory(sys.argv[1], frozenset()).files
for _ in range(3):
    try:
        archive_file(sys.argv[1], found, ArchivePlan("done", False, b"line 2: bad_characters"))
    except OSError:
        pass
"""


@pytest.mark.needs("strace")
def test_a_file_that_can_not_be_moved_leaves_no_report_behind(tmp_path: Path) -> None:
    """It is tried again each second: a report for each try would fill the disk."""
    dropped = tmp_path / "drop" / "ids.txt"
    dropped.parent.mkdir()
    dropped.write_text("abc\nno.id\n")
    # The first rename of a try is the report's own, the second the file's.
    rule = ("-e", "trace=renameat", "-e", "inject=renameat:error=EACCES:when=2+2")
    command = [sys.executable, "-c", _THREE_TRIES, str(dropped.parent)]
    subprocess.run(["strace", "-f", "-o", str(tmp_path / "trace"), *rule, *command], cwd=ROOT, check=True)
    assert (tmp_path / "trace").read_text().count("INJECTED") == 3
    assert dropped.exists()
    assert list((dropped.parent / "failed").iterdir()) == []


def test_a_process_without_a_free_descriptor_does_not_give_a_file_up(tmp_path: Path) -> None:
    """Nothing is wrong with the file: it is looked at again in a second, not in an hour."""
    (tmp_path / "ids.txt").write_text("abc\n")
    (found,) = scan_directory(str(tmp_path), frozenset()).files
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.open(tmp_path, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, limits[1]))
    os.close(first_free)
    try:
        opened = open_file(str(tmp_path), found)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert opened is None


@VIRTUAL
async def test_a_reload_while_the_store_is_being_read_ends_nothing(tmp_path: Path) -> None:
    """The poller's stop waits for the store, and must take effect before it begins anything more."""
    async with start_rig(tmp_path, Provider(), make_settings(rate=100)) as rig:
        # While the store works, time is real.
        rig.slow_down(0.1)
        for number in range(10):
            await rig.send(2, prefix=f"m{number}", age_seconds=10)
            asyncio.get_running_loop().call_later(0.05 + number / 50, rig.reload)
            await rig.pass_time(0.4)
        rig.slow_down(0)
        await rig.wait_until(lambda: rig.count_finished() == 20, within_seconds=60)


@VIRTUAL
async def test_what_was_read_ahead_is_asked_about_at_once(tmp_path: Path) -> None:
    """A worker that found nothing while the store was being read is woken when the answer is there."""
    async with start_rig(tmp_path, Provider(), make_settings(rate=50)) as rig:
        rig.slow_down(0.1)
        await rig.send(7, age_seconds=10)
        await rig.wait_until(lambda: rig.count_finished() == 7, within_seconds=5)


@pytest.mark.parametrize(
    "more",
    [
        "drop:\n" + "  - {directory: /var/drop}\n" * 5_000,
        "drop:\n" + "".join(f"  - {{directory: /{'d/' * (n % 500)}{n}}}\n" for n in range(1_500)),
        "campaigns:\n" + "".join(f"  - {{name: c{n}, account: mian{n}}}\n" for n in range(5_000)),
        "campaigns:\n" + "".join(f"  - {{name: c{n}, profile: p{n}}}\n" for n in range(5_000)),
    ],
    ids=["one directory", "deep directories", "unknown accounts", "unknown profiles"],
)
def test_a_configuration_of_thousands_of_mistakes_is_read_in_a_moment(tmp_path: Path, more: str) -> None:
    """Each is told, and none compared with all others: this test would take many minutes."""
    accounts = "".join(
        f"  - {{name: main{n}, base_url: https://a.example, auth: {{api_key_file: k}}}}\n"
        for n in range(2_000)
    )
    path = tmp_path / "config.yaml"
    path.write_text(f"accounts:\n{accounts}{more}")
    assert len(check(path, {}).problems) >= 1_000
