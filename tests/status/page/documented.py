"""The tables of docs/http.md, generated from the schemas: `python -m tests.status.page.documented`."""

from __future__ import annotations

from typing import Any

from exporter.status.model import State
from tests.kit.processes import ROOT
from tests.status.page.schema import build_schemas

PAGE = ROOT / "docs" / "http.md"
STATES = {
    State.STARTING: "the state is being loaded",
    State.STOPPING: "the results so far are being saved",
    State.STALLED: "the internal loops make no progress; `/-/healthy` reports it too",
    State.STORE_FULL: "the disk is full: no polls are sent and no ids accepted, nothing is lost",
    State.KEY_REFUSED: "an account has no valid key: the provider refuses it, or it can't be read",
    State.PROVIDER_FAILING: "requests fail in a row; only probes are sent",
    State.RATE_LIMITED: "the provider asked for a pause",
    State.ANSWER_UNUSABLE: "the latest answer could not be used; too early for an outage",
    State.DROP_UNREADABLE: "a drop directory can't be read",
    State.DROP_BLOCKED: "dropped files wait for room under `limits.max_tracked`",
    State.OBJECTIVE_MISSED: "campaigns miss their objective, by the rule of the alert SmsbatDeliveryRateLow",
    State.BEHIND: "polls are too late, by the limits of the alert SmsbatPollingBehind",
    State.CONFIGURATION_REFUSED: "a reload found errors; the configuration before it stays in force",
    State.NO_IDS: "no id was received yet",
    State.WAITING: "ids were received, but no answer yet",
    State.QUIET: "every message is finished",
    State.RECEIVING: "all is well",
}


def build_tables() -> dict[str, str]:
    """The rows of each table, by the heading above it."""
    made = build_schemas()
    keys = {
        "## `GET /api/v1/status`": "Overview",
        "### `accounts`": "AccountView",
        "### `campaigns`": "CampaignView",
        "## `GET /api/v1/messages/ID`": "Lookup",
        "### `messages`": "MessageView",
        "### `requests`, and `failures` of the status": "RequestView",
    }
    rows = {heading: _format_keys(made, made[name]) for heading, name in keys.items()}
    rows["| `state` | |"] = "".join(f"| `{state}` | {STATES[state]} |\n" for state in State)
    return rows


def _format_keys(made: dict[str, Any], schema: dict[str, Any]) -> str:
    return "".join(
        f"| `{key}` | {_format_words(made, value)} |\n" for key, value in schema["properties"].items()
    )


def _format_words(made: dict[str, Any], schema: dict[str, Any]) -> str:
    """The description of a key, then the keys of its value where they have no table of their own."""
    own = schema.get("description", "").replace("\n", " ")
    held = _find_schema(made, schema)
    own = f"{own[:1].lower()}{own[1:]}".removesuffix(".").replace("|", "\\|")
    if held in {"ConfigurationWarning", "Share", "Hours", "DropView", "IntakeView", "WebhookView"}:
        inside = ", ".join(f"`{key}`" for key in made[held]["properties"])
        return f"{own} ({inside})"
    return own


def _find_schema(made: dict[str, Any], schema: dict[str, Any]) -> str:
    """The name of the schema of a key's value, or of the items of its list."""
    candidates = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    references = [one["$ref"].rpartition("/")[2] for one in candidates if "$ref" in one]
    return references[0] if references and "properties" in made[references[0]] else ""


def write_tables(page: str) -> str:
    """The page with its generated tables."""
    lines = page.splitlines(keepends=True)
    for heading, rows in build_tables().items():
        start = lines.index(f"{heading}\n")
        start = next(i for i in range(start, len(lines)) if lines[i] == "|---|---|\n") + 1
        end = next((i for i in range(start, len(lines)) if not lines[i].startswith("| `")), len(lines))
        lines[start:end] = rows.splitlines(keepends=True)
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(write_tables(PAGE.read_text("utf-8")), "utf-8")
