"""Checks across sections: names that must exist, names that must differ, and directories.

They look at the file itself and not at the settings, so that their problems are
reported together with those of single values. What has the wrong shape is
skipped: the models report it.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from exporter.config.defaults import BUILT_IN_PROFILES
from exporter.config.problem import KeyPath, suggest_known
from exporter.config.yaml_reader import Document, Tree
from exporter.runtime.errors import Code

MAX_HINTS = 50
_SAME = ("is already the directory of line {}", "", Code.CONFIG_TWICE)
_INSIDE = ("is inside the directory of line {}", "there, a subdirectory is a campaign", Code.CONFIG_CLASH)
_AROUND = ("contains the directory of line {}", "here, a subdirectory is a campaign", Code.CONFIG_CLASH)


def check_references(document: Document, directory: Path) -> None:
    """Add problems to `document`; `directory` is what relative directories are relative to."""
    _check_unique_names(document, "accounts")
    _check_unique_names(document, "campaigns")
    _check_profiles(document)
    _check_accounts(document)
    _check_drop_directories(document, directory)


def _list_entries(document: Document, section: str) -> Iterator[tuple[KeyPath, dict[str, Tree]]]:
    """List the items of a list of mappings, with their paths."""
    items = document.tree.get(section)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield (section, index), item


def _check_unique_names(document: Document, section: str) -> None:
    first: dict[str, KeyPath] = {}
    for path, entry in _list_entries(document, section):
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            line = document.locate((*first[name], "name")).line
            message = f"is already the name of the entry in line {line}"
            document.add_problem((*path, "name"), message, "names must differ", Code.CONFIG_TWICE)
        first.setdefault(name, path)


def _check_profiles(document: Document) -> None:
    """Check that the profiles that campaigns name exist."""
    written = document.tree.get("profiles", {})
    if not isinstance(written, dict):
        return
    known = {*BUILT_IN_PROFILES, *written}
    suggest = _make_suggester(known)
    for path, entry in _list_entries(document, "campaigns"):
        profile = entry.get("profile")
        if isinstance(profile, str) and profile not in known:
            where = (*path, "profile")
            hint = "" if document.locate(where).from_environment else suggest(profile)
            document.add_problem(where, "no profile has this name", hint, Code.CONFIG_REFERENCE)


def _make_suggester(known: Iterable[str]) -> Callable[[str], str]:
    """Make a function that suggests a known name; that is slow, so it does it `MAX_HINTS` times only."""
    words = list(known)
    hints: dict[str, str] = {}

    def suggest(name: str) -> str:
        if name not in hints and len(hints) < MAX_HINTS:
            hints[name] = suggest_known(name, words)
        return hints.get(name, "")

    return suggest


def _check_accounts(document: Document) -> None:
    """Check that the accounts that are named exist and, where there are several, that one is named."""
    accounts = document.tree.get("accounts")
    list_problems = [entry.get("name") for _, entry in _list_entries(document, "accounts")]
    if not isinstance(accounts, list) or len(list_problems) < len(accounts) or None in list_problems:
        return
    names = {name for name in list_problems if isinstance(name, str)}
    several = len(list_problems) > 1
    public = {
        str(entry["name"])
        for path, entry in _list_entries(document, "accounts")
        if not document.locate((*path, "name")).from_environment
    }
    suggest = _make_suggester(public)
    for section in ("campaigns", "drop"):
        for path, entry in _list_entries(document, section):
            account = entry.get("account")
            where = (*path, "account")
            if isinstance(account, str) and account not in names:
                hint = "" if document.locate(where).from_environment else suggest(account)
                document.add_problem(where, "no account has this name", hint, Code.CONFIG_REFERENCE)
            elif "account" not in entry and several and (section == "drop" or entry.get("messages")):
                message = "is missing; there are several accounts"
                document.add_problem(where, message, suggest(""), Code.CONFIG_MISSING)
    webhook = document.tree.get("webhook")
    if isinstance(webhook, dict) and str(webhook.get("track_unknown")).lower() == "true" and several:
        # A webhook doesn't say which account its message belongs to.
        document.add_problem(
            ("webhook", "track_unknown"),
            "can't be true with several accounts: a webhook doesn't say which one to poll",
            "write false",
            Code.CONFIG_CLASH,
        )


def _check_drop_directories(document: Document, directory: Path) -> None:
    """Check that no directory is read twice, by itself or as a part of another."""
    entries = [
        # By name only: what a link leads to can change while we run.
        (os.path.normpath(Path(directory.absolute(), text)).rstrip("/") + "/", (*path, "directory"))
        for path, entry in _list_entries(document, "drop")
        if isinstance(text := entry.get("directory"), str) and text
    ]
    # For each that is the later of two: the earliest in the file, what is said of it, and the code.
    clashes: dict[int, tuple[int, str, str, Code]] = {}
    # The directories around the one in turn; when sorted, those within a directory follow it. So one pass is
    # enough, where comparing each with each takes minutes for a file of a megabyte.
    around: dict[str, int] = {}
    for name, index in sorted((name, index) for index, (name, _) in enumerate(entries)):
        while around and not name.startswith(next(reversed(around))):
            around.popitem()
        for outer_name, outer in around.items():
            clash = (outer, *_INSIDE) if outer < index else (index, *_AROUND)
            if outer_name == name:
                clash = (outer, *_SAME)
            later = max(outer, index)
            clashes[later] = min(clash, clashes.get(later, clash))
        around.setdefault(name, index)
    for later, (earlier, message, hint, code) in clashes.items():
        line = document.locate(entries[earlier][1]).line
        document.add_problem(entries[later][1], message.format(line), hint, code)
