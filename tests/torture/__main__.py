"""The campaigns at length; exit code 1 when one found something.

python -m tests.torture kill --count 10000
python -m tests.torture power-loss --count 100000
python -m tests.torture faults --count 5000
unshare --mount --map-root-user python -m tests.torture fill --count 100
python -m tests.torture prometheus-consistency --count 100
python -m tests.torture fs-races --count 100000
python -m tests.torture fuzz --count 10000000
python -m tests.torture secret-leaks --count 10000
python -m tests.torture soak --virtual-hours 72
python -m tests.torture soak-realtime --seconds 3600
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.virtual import quick_folder
from tests.torture import (
    faults,
    fill,
    fs_races,
    fuzz,
    kill,
    power_loss,
    prometheus_consistency,
    secret_leaks,
    soak,
    soak_realtime,
)
from tests.torture.report import Report, run_in_parallel

Share = Callable[[], Report]


class Campaign(NamedTuple):
    """One command."""

    name: str
    what: str
    times: int
    workers: int
    """Processes side by side: more than processors where they mostly wait."""
    shares: Callable[[Path, int, int], Sequence[Share]]
    """From a folder, a count and a seed."""
    counted: str = "--count"


CAMPAIGNS = (
    Campaign("kill", "SIGKILL at random times", 10_000, 12, kill.shares),
    Campaign("power-loss", "power cuts, replayed", 100_000, 2, power_loss.shares),
    Campaign("faults", "one call to the system fails", 5_000, 9, faults.shares),
    Campaign("fill", "the disk is full for a while (start with: unshare -rm)", 100, 4, fill.shares),
    Campaign(
        "prometheus-consistency",
        "a real Prometheus scrapes through kills",
        100,
        2,
        prometheus_consistency.shares,
    ),
    Campaign("fs-races", "random changes of files in a drop directory", 100_000, 2, fs_races.shares),
    Campaign("fuzz", "damaged inputs for everything that reads", 10_000_000, 2, fuzz.shares),
    Campaign("secret-leaks", "canaries in every input", 10_000, 2, secret_leaks.shares),
    Campaign("soak", "days of traffic on virtual time", 72, 2, soak.shares, "--virtual-hours"),
    Campaign("soak-realtime", "an hour at ten times the load", 3_600, 1, soak_realtime.shares, "--seconds"),
)


def main() -> int:
    """Run one campaign."""
    top = argparse.ArgumentParser(prog="python -m tests.torture", description="The campaigns at length.")
    chosen = top.add_subparsers(required=True)
    for campaign in CAMPAIGNS:
        command = chosen.add_parser(campaign.name, help=campaign.what)
        command.set_defaults(campaign=campaign)
        command.add_argument(campaign.counted, dest="count", type=int, default=campaign.times)
        command.add_argument("--workers", type=int, default=campaign.workers)
        command.add_argument("--seed", type=int, default=1)
    arguments = top.parse_args()
    began_at = time.monotonic()
    whole = Report()
    with quick_folder(Path(tempfile.gettempdir())) as folder:
        shares = arguments.campaign.shares(folder, arguments.count, arguments.seed)
        for report in run_in_parallel(shares, arguments.workers):
            whole.add(report)
            lines = [f"{time.monotonic() - began_at:.0f} s: {whole}"]
            lines += [f"FOUND {finding}" for finding in report.findings]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
    return 1 if whole.findings else 0


if __name__ == "__main__":
    sys.exit(main())
