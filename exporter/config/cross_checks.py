"""What one section says about another: names that must exist, or must differ, and directories.

Checked on the file itself and not on the settings, so that these problems
show beside those of single values. What has the wrong shape is skipped: that
is for the schema to say.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.problem import KeyPath, did_you_mean
from exporter.config.yaml_reader import Document, Tree
from exporter.runtime.errors import Code

MAX_HINTS = 50


def check_references(document: Document, directory: Path) -> None:
    """Add problems to `document`; relative directories are relative to `directory`."""
    _unique_names(document, "accounts")
    _unique_names(document, "campaigns")
    _profiles(document)
    _accounts(document)
    _drop_directories(document, directory)


def _entries(document: Document, section: str) -> Iterator[tuple[KeyPath, dict[str, Tree]]]:
    """Items of a list of mappings, with their paths."""
    items = document.tree.get(section)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield (section, index), item


def _unique_names(document: Document, section: str) -> None:
    first: dict[str, KeyPath] = {}
    for path, entry in _entries(document, section):
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            line = document.place((*first[name], "name")).line
            message = f"is the name of another entry too, in line {line}"
            document.add((*path, "name"), message, "names must differ", Code.CONFIG_TWICE)
        first.setdefault(name, path)


def _profiles(document: Document) -> None:
    """Campaigns name profiles that exist."""
    written = document.tree.get("profiles", {})
    if not isinstance(written, dict):
        return
    known = {*BUILT_IN_PROFILES, *written}
    closest = _suggestions(known)
    for path, entry in _entries(document, "campaigns"):
        profile = entry.get("profile")
        if isinstance(profile, str) and profile not in known:
            where = (*path, "profile")
            hint = "" if document.place(where).from_environment else closest(profile)
            document.add(where, "no profile has this name", hint, Code.CONFIG_REFERENCE)


def _suggestions(known: Iterable[str]) -> Callable[[str], str]:
    """Hints for names that are not `known`: each takes a while, so for as many as anybody reads."""
    words = list(known)
    hints: dict[str, str] = {}

    def closest(name: str) -> str:
        if name not in hints and len(hints) < MAX_HINTS:
            hints[name] = did_you_mean(name, words)
        return hints.get(name, "")

    return closest


def _accounts(document: Document) -> None:
    """Accounts that are named exist; where there are several, one is named."""
    accounts = document.tree.get("accounts")
    listed = [entry.get("name") for _, entry in _entries(document, "accounts")]
    if not isinstance(accounts, list) or len(listed) < len(accounts) or None in listed:
        return
    names = {name for name in listed if isinstance(name, str)}
    several = len(listed) > 1
    public = {
        str(entry["name"])
        for path, entry in _entries(document, "accounts")
        if not document.place((*path, "name")).from_environment
    }
    closest = _suggestions(public)
    for section in ("campaigns", "drop"):
        for path, entry in _entries(document, section):
            account = entry.get("account")
            where = (*path, "account")
            if isinstance(account, str) and account not in names:
                hint = "" if document.place(where).from_environment else closest(account)
                document.add(where, "no account has this name", hint, Code.CONFIG_REFERENCE)
            elif "account" not in entry and several and (section == "drop" or entry.get("messages")):
                message = "is missing; there are several accounts"
                document.add(where, message, closest(""), Code.CONFIG_MISSING)
    webhook = document.tree.get("webhook")
    if isinstance(webhook, dict) and str(webhook.get("track_unknown")).lower() == "true" and several:
        # The provider's news doesn't say whose message it is.
        document.add(
            ("webhook", "track_unknown"),
            "can't be true with several accounts: nobody could tell which one to ask",
            "write false",
            Code.CONFIG_CLASH,
        )


def _drop_directories(document: Document, directory: Path) -> None:
    """No directory is read twice, by itself or as a part of another."""
    entries = [
        # By name only: what a link leads to can change while we run.
        (os.path.normpath(Path(directory.absolute(), text)).rstrip("/") + "/", (*path, "directory"))
        for path, entry in _entries(document, "drop")
        if isinstance(text := entry.get("directory"), str) and text
    ]
    first: dict[str, int] = {}
    for index, (name, _) in enumerate(entries):
        first.setdefault(name, index)
    around, within = _neighbours(first)
    for index, (name, where) in enumerate(entries):
        # Of several that clash with it, the one that comes first in the file.
        other, message, hint, code = min(
            (first[name], "is the directory of line {} again", "", Code.CONFIG_TWICE),
            (
                around.get(name, index),
                "is inside the directory of line {}",
                "subdirectories name campaigns there",
                Code.CONFIG_CLASH,
            ),
            (
                within.get(name, index),
                "has the directory of line {} inside",
                "subdirectories name campaigns here",
                Code.CONFIG_CLASH,
            ),
        )
        if other < index:
            document.add(where, message.format(document.place(entries[other][1]).line), hint, code)


def _neighbours(first: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """For directories (names that end with a slash) the least number of those around each, and within each.

    Sorted, those within a directory follow it: once over all of them is enough, where comparing each with
    each takes minutes for a file of a megabyte.
    """
    around: dict[str, int] = {}
    within: dict[str, int] = {}
    chain: list[str] = []
    for name in [*sorted(first), ""]:
        while chain and not (name and name.startswith(chain[-1])):
            inner = chain.pop()
            if chain:
                least = min(first[inner], within.get(inner, first[inner]))
                within[chain[-1]] = min(within.get(chain[-1], least), least)
        if chain:
            around[name] = min(first[chain[-1]], around.get(chain[-1], first[chain[-1]]))
        chain.append(name)
    return around, within
