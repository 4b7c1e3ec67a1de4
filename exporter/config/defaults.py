"""Fills in what a file leaves out: the built-in profiles, the only account, and each campaign's profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BUILT_IN_PROFILES: Mapping[str, Mapping[str, str]] = {
    "otp": {
        "first_poll": "3s",
        "interval": "5s",
        "max_interval": "5s",
        "give_up_after": "2m",
        "deadline": "30s",
        "objective": "0.95",
        "priority": "high",
    },
    "default": {
        "first_poll": "5s",
        "interval": "5s",
        "max_interval": "30m",
        "give_up_after": "24h",
        "deadline": "5m",
        "objective": "0.95",
        "priority": "normal",
    },
    "campaign": {
        "first_poll": "1m",
        "interval": "1m",
        "max_interval": "1h",
        "give_up_after": "72h",
        "deadline": "1h",
        "objective": "0.90",
        "priority": "low",
    },
}


def complete(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the file's tree with profiles merged, and omitted accounts and profiles filled in.

    What has the wrong shape stays as it is: the models report it.
    """
    whole = dict(tree)
    whole["profiles"] = _merge_profiles(tree.get("profiles", {}))
    account = find_sole_account(tree)
    for section in ("campaigns", "drop"):
        entries = tree.get(section)
        if isinstance(entries, list | tuple):
            whole[section] = [
                _complete_entry(section, entry, account, whole["profiles"]) for entry in entries
            ]
    return whole


def find_sole_account(tree: Mapping[str, Any]) -> str | None:
    """Return the name of the account, when the file has exactly one."""
    accounts = tree.get("accounts")
    if not isinstance(accounts, list | tuple) or len(accounts) != 1 or not isinstance(accounts[0], Mapping):
        return None
    name = accounts[0].get("name")
    return name if isinstance(name, str) else None


def _merge_profiles(written: Any) -> Any:  # noqa: ANN401 - whatever the file has there
    """Merge written profiles over the built-in ones; a new one starts from `default` as it is written."""
    if not isinstance(written, Mapping):
        return written
    merged: dict[str, Any] = {name: dict(keys) for name, keys in BUILT_IN_PROFILES.items()}
    default = written.get("default")
    start = merged["default"] | (dict(default) if isinstance(default, Mapping) else {})
    for name, keys in written.items():
        merged[name] = merged.get(name, start) | keys if isinstance(keys, Mapping) else keys
    return merged


def _complete_entry(section: str, entry: Any, account: str | None, profiles: Any) -> Any:  # noqa: ANN401 - as above
    """Fill in what a campaign or drop directory leaves out."""
    if not isinstance(entry, Mapping):
        return entry
    whole = dict(entry)
    if account is not None:
        whole.setdefault("account", account)
    if section == "campaigns":
        name = entry.get("name")
        known = isinstance(name, str) and isinstance(profiles, Mapping) and name in profiles
        whole.setdefault("profile", name if known else "default")
    return whole
