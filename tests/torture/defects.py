"""The seeded defects themselves: for each invariant some, and for each the test that must catch it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """One defect."""

    breaks: str
    """The invariant."""
    what: str
    file: str
    changes: Sequence[tuple[str, str]]
    """What stands in the file, once, and what stands there instead."""
    test: str
    """Below tests/."""

    def apply(self, root: Path) -> str:
        """Change the tree at `root`; returns what the file held, or raises ValueError when it doesn't fit."""
        path = root / self.file
        original = text = path.read_text("utf-8")
        for before, after in self.changes:
            if text.count(before) != 1:
                raise ValueError(f"{self.file} holds {text.count(before)} times: {before}")
            text = text.replace(before, after)
        path.write_text(text, "utf-8")
        return original


_POWER_CUT = "torture/test_power_loss.py::test_a_power_cut_loses_nothing_acknowledged"
_CANARIES = "torture/test_secret_leaks.py::test_no_phone_number_and_no_key_comes_out"

MUTANTS = (
    Mutant(
        "I1",
        "a file is moved before its ids are on disk",
        "exporter/ingest/drop/worker.py",
        [
            (
                "        for _ in range(TURN_BATCHES):\n",
                (
                    '        plan = ArchivePlan("done", False, b"")\n'
                    "        archive_file(self._settings.directory, reader.found, plan)\n"
                    "        for _ in range(TURN_BATCHES):\n"
                ),
            )
        ],
        "ingest/drop/test_drop.py::test_ids_are_on_disk_before_their_file_is_moved",
    ),
    Mutant(
        "I1",
        "synchronous = NORMAL",
        "exporter/store/database.py",
        [("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL")],
        _POWER_CUT,
    ),
    Mutant(
        "I1",
        "it acknowledges, and commits with the next transaction",
        "exporter/store/database.py",
        [
            (
                '            cursor.execute("BEGIN IMMEDIATE")\n',
                (
                    "            if self._connection.in_transaction:\n"
                    '                cursor.execute("COMMIT")\n'
                    '            cursor.execute("BEGIN IMMEDIATE")\n'
                ),
            ),
            ('                cursor.execute("COMMIT")\n            except', "            except"),
        ],
        "store/test_conformance.py::test_tracked_ids_are_durable_and_counted",
    ),
    Mutant(
        "I2",
        "counters in a transaction of their own",
        "exporter/store/sqlite.py",
        [
            (
                "                _add_changes(cursor, applied.changes)\n",
                (
                    "            with self._database.transaction() as cursor:\n"
                    "                _add_changes(cursor, applied.changes)\n"
                ),
            )
        ],
        _POWER_CUT,
    ),
    Mutant(
        "I2",
        "a second final status counts again",
        "exporter/domain/states.py",
        [("    Phase.FINAL: frozenset(),", "    Phase.FINAL: frozenset({Phase.FINAL}),")],
        "domain/test_lifecycle.py::test_a_final_status_never_changes",
    ),
    Mutant(
        "I2",
        "a verdict is given twice",
        "exporter/domain/lifecycle.py",
        [("if message.verdict is not Verdict.NONE or at <", "if at <")],
        "domain/test_lifecycle.py::test_any_history",
    ),
    Mutant(
        "I2",
        "what was forgotten is a new message when it is dropped again",
        "exporter/store/sqlite.py",
        [("    return [\n        arrival\n", "    return arrivals or [\n        arrival\n")],
        "store/test_maintenance.py::test_a_deleted_id_is_known_for_a_while",
    ),
    Mutant(
        "I3",
        "a restored backup goes on counting from where it was",
        "exporter/store/sqlite.py",
        [("if commits < marked:", "if commits < 0:")],
        "store/test_sqlite.py::test_a_restored_backup_starts_its_counters_at_0",
    ),
    Mutant(
        "I3",
        "what is forgotten is taken off its counter",
        "exporter/domain/aggregates.py",
        [
            (
                "Kind.MESSAGES, message.status.word), -1)",
                "Kind.FINISHED, message.status.word), -1)",
            )
        ],
        "domain/test_aggregates.py::test_a_finished_message_is_not_pending_and_removing_it_keeps_counters",
    ),
    Mutant(
        "I4",
        "it shows, and commits with the next transaction",
        "exporter/store/database.py",
        [
            (
                '            cursor.execute("BEGIN IMMEDIATE")\n',
                (
                    "            if self._connection.in_transaction:\n"
                    '                cursor.execute("COMMIT")\n'
                    '            cursor.execute("BEGIN IMMEDIATE")\n'
                ),
            ),
            ('                cursor.execute("COMMIT")\n            except', "            except"),
        ],
        "store/test_conformance.py::test_an_event_is_durable_with_its_counters",
    ),
    Mutant(
        "I4",
        "verdicts are shown before they are committed",
        "exporter/engine/maintenance.py",
        [
            (
                (
                    "        await self.tracker.run(self.store.persist, changes, limiters, queue_time)\n"
                    "        if changes:\n            self.tracker.apply_committed(changes)\n"
                ),
                (
                    "        if changes:\n            self.tracker.apply_committed(changes)\n"
                    "        await self.tracker.run(self.store.persist, changes, limiters, queue_time)\n"
                ),
            )
        ],
        "torture/test_publishing.py",
    ),
    Mutant(
        "I5",
        "no second between the last request of one life and the first of the next",
        "exporter/engine/poll_queue.py",
        [("self._open_at = clock.now() + CLOSEST_US", "self._open_at = clock.now()")],
        "engine/test_poll_queue.py::test_nothing_is_held_in_the_second_after_a_start",
    ),
    Mutant(
        "I5",
        "a message does not rest after its request",
        "exporter/engine/poll_queue.py",
        [("self._held[message_id] = until", "self._held.pop(message_id, None)")],
        "engine/test_poll_queue.py::test_an_id_is_held_once_and_rests_after_its_request",
    ),
    Mutant(
        "I5",
        "a claim takes what is held for another request",
        "exporter/store/sqlite_queue.py",
        [("        if message_id in claim.held:\n", "        if claim.held is None:\n")],
        "store/test_queue.py::test_any_history_is_polled_in_order",
    ),
    Mutant(
        "I5",
        "the request for an id that a webhook brings needs no hold",
        "exporter/ingest/unverified_ids.py",
        [("if not account.queue.hold(message_id):", "if account.queue.hold(message_id) is None:")],
        "ingest/webhook/test_webhook_processor.py::test_no_id_is_polled_twice_within_a_second",
    ),
    Mutant(
        "I5",
        "a poll is planned sooner than a second after the one before",
        "exporter/domain/schedule.py",
        [("return max(poll_at, now + CLOSEST_US)", "return max(poll_at, now)")],
        "domain/test_schedule.py",
    ),
    Mutant(
        "I6",
        "the bucket is full after a restart",
        "exporter/domain/token_bucket.py",
        [("if full else 0.0", "if full else rate")],
        "domain/test_limiter.py::test_the_bucket_starts_empty",
    ),
    Mutant(
        "I6",
        "a restart forgets the pause that the provider asked for",
        "exporter/domain/limiter.py",
        [("self._paused_until = now + saved_pause_us", "self._paused_until = now")],
        "engine/test_restart.py::test_a_pause_that_the_provider_asked_for_survives",
    ),
    Mutant(
        "I7",
        "the body of an answer is told with its outcome",
        "exporter/provider/client.py",
        [('return f"{known} size={len(body)}', 'return f"{known} {body!r} size={len(body)}')],
        "provider/test_secrets.py::test_nothing_of_a_body_a_header_an_id_or_a_key_is_in_the_reply",
    ),
    Mutant(
        "I7",
        "a campaign may hold a phone number",
        "exporter/domain/message_ids.py",
        [("return _PHONE_INSIDE.search(text) is not None", "return looks_like_phone(text)")],
        _CANARIES,
    ),
    Mutant(
        "I7",
        "the log names dropped files",
        "exporter/ingest/drop/reporting.py",
        [
            (
                "def _hash_path(found: DropFile) -> str:\n",
                "def _hash_path(found: DropFile) -> str:\n    if found.name:\n        return found.name\n",
            )
        ],
        _CANARIES,
    ),
    Mutant(
        "I8",
        "messages expire by the wall clock",
        "exporter/domain/lifecycle.py",
        [
            (
                "if event.uptime_us - message.uptime_at_accept_us >= policy",
                "if event.at - message.accepted_at >= policy",
            )
        ],
        "engine/test_outage.py::test_an_outage_does_not_eat_the_time_that_a_message_has",
    ),
    Mutant(
        "I8",
        "the provider uptime grows in an outage",
        "exporter/domain/limiter.py",
        [
            (
                "            self._stop_uptime(now)\n            if outcome is",
                "            if outcome is",
            )
        ],
        "engine/test_outage.py::test_an_outage_does_not_eat_the_time_that_a_message_has",
    ),
    Mutant(
        "I9",
        "the event loop waits for the disk",
        "exporter/engine/tracker.py",
        [
            (
                "return await run_in_store_thread(self._executor, partial(verb, *args, **kwargs))",
                "return self._executor.submit(partial(verb, *args, **kwargs)).result()",
            )
        ],
        "engine/test_bounds.py::test_a_disk_that_hangs_holds_up_neither_the_loop_nor_a_scrape",
    ),
    Mutant(
        "I9",
        "a page is rendered on the event loop",
        "exporter/metrics/collector.py",
        [
            (
                "await loop.run_in_executor(self._thread, self._render, latest, form, gzipped)",
                "loop and self._render(latest, form, gzipped)",
            )
        ],
        "metrics/test_collector.py",
    ),
    Mutant(
        "I10",
        "any number of campaigns",
        "exporter/engine/campaigns.py",
        [("allowed = room and not", "allowed = not")],
        "engine/test_bounds.py::test_a_hundred_thousand_campaign_names_are_a_bounded_number_of_series",
    ),
    Mutant(
        "I10",
        "any number of connections",
        "exporter/http/connections.py",
        [("MAX_CONNECTIONS = 64", "MAX_CONNECTIONS = 64_000")],
        "http/test_bounds.py",
    ),
    Mutant(
        "I12",
        "what can only be judged now is not polled first",
        "exporter/store/sqlite_queue.py",
        [("found = Found(dict.fromkeys(self._find_at_deadline(cursor, claim)))", "found = Found({})")],
        "store/test_queue.py::test_any_history_is_polled_in_order",
    ),
    Mutant(
        "I12",
        "a poll shortly before the deadline takes the place of the one at it",
        "exporter/store/sqlite_queue.py",
        [("if 0 < quiet_us <= QUIET_US:", "if 0 < quiet_us <= 0:")],
        "store/test_queue.py::test_a_message_is_quiet_before_its_deadline",
    ),
    Mutant(
        "I12",
        "judged messages are polled like unjudged ones",
        "exporter/domain/schedule.py",
        [("Rank.UNJUDGED if message.verdict is Verdict.NONE else Rank.JUDGED", "Rank.UNJUDGED")],
        "domain/test_schedule.py::test_the_rank_of_a_message",
    ),
    Mutant(
        "I12",
        "a message stays in its lane when it is judged",
        "exporter/store/sqlite.py",
        [("refusals = ?, lane = ?,", "refusals = ?, lane = iif(? IS NULL, NULL, lane),")],
        "store/test_queue.py::test_any_history_is_polled_in_order",
    ),
    Mutant(
        "I12",
        "a look at deadlines that was cut short begins anew each time",
        "exporter/store/sqlite_queue.py",
        [("end = place.resume = sent_at, row", "end = sent_at, row")],
        "store/test_queue.py::test_a_large_campaign_at_its_deadline_is_polled_to_its_end",
    ),
    Mutant(
        "I12",
        "the queue's clock goes back with the wall clock",
        "exporter/engine/poll_queue.py",
        [("saved.queue_us + max(0, wall_us - saved.wall_us)", "wall_us")],
        "engine/test_poll_queue.py::test_the_queue_clock_never_goes_back",
    ),
)
