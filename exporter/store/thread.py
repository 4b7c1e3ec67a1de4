"""How the event loop calls the store: in its one thread, and never half."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

_T = TypeVar("_T")


async def run_in_store_thread(thread: Executor, verb: Callable[[], _T]) -> _T:
    """Call one of the store's verbs off the event loop, after those before it.

    A verb that has begun is waited for even when the caller is cancelled
    meanwhile, and the cancellation comes with the caller's next wait: what is
    committed must also reach the state and the agenda.
    """
    future = asyncio.get_running_loop().run_in_executor(thread, verb)
    cancelled = False
    try:
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                cancelled = True
    finally:
        task = asyncio.current_task()
        if cancelled and task is not None:
            task.uncancel()
            task.cancel()
