"""A process that may write into the drop directory swaps files for links, as fast as the machine can."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from exporter.ingest.drop.directory import DropFile, Identity, open_file, scan_directory
from tests.kit.processes import Running
from tests.kit.waiting import until

SCANS = 5_000
SWAPPER = """
import os, sys
drop, aside, secrets = sys.argv[1:]
names = ["a.txt", "otp"]
for name in names:
    os.symlink(os.path.join(secrets, name), os.path.join(aside, name + ".link"))
print("swapping", flush=True)
while True:
    for name in names:
        here = os.path.join(drop, name)
        real, link = os.path.join(aside, name), os.path.join(aside, name + ".link")
        for away, instead in ((real, link), (link, real)):
            os.rename(here, away)
            os.rename(instead, here)
"""


def test_links_that_are_swapped_in_all_the_time_are_never_followed(tmp_path: Path) -> None:
    """In place of a file and of a campaign's directory: nothing behind them is listed or opened."""
    drop, aside, secrets = (tmp_path / name for name in ("drop", "aside", "secrets"))
    for folder in (drop, secrets):
        (folder / "otp").mkdir(parents=True)
        (folder / "a.txt").write_text(f"{folder.name}1\n")
        (folder / "otp" / "b.txt").write_text(f"{folder.name}2\n")
    aside.mkdir()
    hidden = {(secrets / name).stat().st_ino for name in ("a.txt", "otp/b.txt")}
    within = Identity.of((drop / "a.txt").stat())
    seen: set[str | int | None] = set()
    argv = [sys.executable, "-c", SWAPPER, str(drop), str(aside), str(secrets)]
    with Running(argv, tmp_path / "swapper.log") as swapper:
        until(swapper.printed, "it swaps")

        def scan() -> bool:
            """Scan once; whether by now the file itself was seen, and a link in its place."""
            listed = scan_directory(str(drop), ()).files
            assert not {found.identity.inode for found in listed} & hidden
            for found in (DropFile("", "a.txt", within), DropFile("otp", "b.txt", within)):
                opened = open_file(str(drop), found)
                if isinstance(opened, int):
                    inode = os.fstat(opened).st_ino
                    os.close(opened)
                    assert inode not in hidden
                    opened = 0
                seen.add(opened)
            return {0, "not_regular"} <= seen

        for _ in range(SCANS):
            scan()
        until(scan, seen)
        assert swapper.runs
