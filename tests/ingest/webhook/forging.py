"""Made-up webhooks from someone who knows the URL: final statuses of messages that exist and of others."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.kit.web import ask

WORDS = ("delivered", "permanenterror", "undeliverable")


@contextmanager
def forging(address: str, path: str, ids: Sequence[str], *, per_second: float) -> Iterator[Counter[int]]:
    """Post made-up webhooks until the block ends, half of them about `ids`, which may grow meanwhile.

    Counts the HTTP statuses that come back.
    """
    statuses: Counter[int] = Counter()
    stop, rng = threading.Event(), random.Random(1)

    def post_until_stopped() -> None:
        while not stop.wait(1 / per_second):
            exists = ids and rng.random() < 0.5
            message_id = rng.choice(ids) if exists else f"made-up-{rng.getrandbits(64):x}"
            body = {"messageId": message_id, "deliverystatus": rng.choice(WORDS), "cost": 0.05}
            statuses[ask(address, path, method="POST", body=body).status] += 1

    thread = threading.Thread(target=post_until_stopped)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()
