"""`python -m bench [NAME...]`: measure each thing beside its peer; print medians, minimum and maximum."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import uvloop

from bench import (
    flood,
    ingestion,
    life,
    log,
    memory,
    polls,
    schedules,
    scrape,
    start,
    webhook_savings,
    webhooks,
)
from bench.figures import Plan, Round, format_table

Benchmark = Callable[[Plan, Path], AsyncIterator[Round]]

BENCHMARKS: Mapping[str, tuple[Benchmark, str]] = {
    "start": (
        start.measure_rounds,
        "processor time of commands without a daemon; Python that does nothing",
    ),
    "polls": (
        polls.measure_rounds,
        "requests without a rate limit: the daemon, a bare loop, the documented loop",
    ),
    "ingestion": (ingestion.measure_rounds, "ids from a file, with scrapes meanwhile; bare SQLite"),
    "memory": (
        memory.measure_rounds,
        "many pending messages: resident memory and start; a dictionary and a heap",
    ),
    "scrape": (scrape.measure_rounds, "one rendering of the state; the client library"),
    "webhooks": (webhooks.measure_rounds, "webhooks that are durable; a bare handler that only parses"),
    "flood": (flood.measure_rounds, "scrapes, polls and memory while webhooks flood in"),
    "webhook_savings": (
        webhook_savings.measure_rounds,
        "requests for each finished message, with webhooks and without",
    ),
    "life": (life.measure_rounds, "starting, being refused, ending on a signal; check-config"),
    "log": (log.measure_rounds, "a line of the log, written and unread; the standard library"),
    "schedules": (
        schedules.measure_rounds,
        "requests, and delay of a final status; fixed polling and the documented backoff",
    ),
}


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it runs; the figures mean nothing"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.names).difference(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    plan = Plan(1 if arguments.quick else arguments.rounds, quick=arguments.quick)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name in arguments.names or BENCHMARKS:
            runner.run(_measure(name, plan))


async def _measure(name: str, plan: Plan) -> None:
    benchmark, text = BENCHMARKS[name]
    print(f"{name}: {text}", flush=True)
    with tempfile.TemporaryDirectory(prefix="smsbat-bench-") as folder:
        print(format_table([one async for one in benchmark(plan, Path(folder))]), flush=True)


if __name__ == "__main__":
    main()
