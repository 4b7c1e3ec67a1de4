"""`python -m bench [NAME...]`: measure, each thing beside its peer, and print medians with their spread."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import uvloop

from bench import flood, fusion, ingestion, life, log, memory, polls, schedules, scrape, start, webhooks
from bench.figures import Plan, Round, table

Benchmark = Callable[[Plan, Path], AsyncIterator[Round]]

BENCHMARKS: Mapping[str, tuple[Benchmark, str]] = {
    "start": (start.rounds, "processor time of commands that need no daemon; Python that does nothing"),
    "polls": (polls.rounds, "requests without a rate limit: the daemon, a bare loop, the documented loop"),
    "ingestion": (ingestion.rounds, "ids from a file, with /metrics asked meanwhile; bare SQLite"),
    "memory": (memory.rounds, "many pending messages: resident memory and start; a dictionary and a heap"),
    "scrape": (scrape.rounds, "one rendering of the state; the client library"),
    "webhooks": (webhooks.rounds, "webhooks that are durable; a bare handler that only parses"),
    "flood": (flood.rounds, "scrapes, polls and memory while webhooks flood in"),
    "fusion": (fusion.rounds, "requests for each finished message, with webhooks and without"),
    "life": (life.rounds, "starting, being refused, ending when asked; the bare start"),
    "log": (log.rounds, "a line of the log, written and unread; the standard library"),
    "schedules": (schedules.rounds, "requests and delay of news; fixed polling and the documented backoff"),
}


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, and no more")
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
        print(table([one async for one in benchmark(plan, Path(folder))]), flush=True)


if __name__ == "__main__":
    main()
