"""What one section says about another: names that must exist, or must differ, and directories.

Checked on the file itself and not on the settings, so that these problems
show beside those of single values. What has the wrong shape is skipped: that
is for the schema to say.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from pathlib import Path

from exporter.config.complete import BUILT_IN_PROFILES
from exporter.config.document import Document, Tree
from exporter.config.problem import KeyPath, did_you_mean
from exporter.errors import Code


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
    for path, entry in _entries(document, "campaigns"):
        profile = entry.get("profile")
        if isinstance(profile, str) and profile not in known:
            where = (*path, "profile")
            hint = "" if document.place(where).from_environment else did_you_mean(profile, known)
            document.add(where, "no profile has this name", hint, Code.CONFIG_REFERENCE)


def _accounts(document: Document) -> None:
    """Accounts that are named exist; where there are several, one is named."""
    accounts = document.tree.get("accounts")
    names = [entry.get("name") for _, entry in _entries(document, "accounts")]
    if not isinstance(accounts, list) or len(names) < len(accounts) or None in names:
        return
    public = {
        str(entry["name"])
        for path, entry in _entries(document, "accounts")
        if not document.place((*path, "name")).from_environment
    }
    for section in ("campaigns", "drop"):
        for path, entry in _entries(document, section):
            account = entry.get("account")
            where = (*path, "account")
            if isinstance(account, str) and account not in names:
                hint = "" if document.place(where).from_environment else did_you_mean(account, public)
                document.add(where, "no account has this name", hint, Code.CONFIG_REFERENCE)
            elif "account" not in entry and len(names) > 1 and (section == "drop" or entry.get("messages")):
                message, hint = "is missing; there are several accounts", did_you_mean("", public)
                document.add(where, message, hint, Code.CONFIG_MISSING)
    webhook = document.tree.get("webhook")
    if isinstance(webhook, dict) and str(webhook.get("track_unknown")).lower() == "true" and len(names) > 1:
        # The provider's news doesn't say whose message it is.
        document.add(
            ("webhook", "track_unknown"),
            "can't be true with several accounts: nobody could tell which one to ask",
            "write false",
            Code.CONFIG_CLASH,
        )


def _drop_directories(document: Document, directory: Path) -> None:
    """No directory is read twice, by itself or as a part of another."""
    seen: list[tuple[Path, KeyPath]] = []
    for path, entry in _entries(document, "drop"):
        text = entry.get("directory")
        if not isinstance(text, str) or not text:
            continue
        # By name only: what a link leads to can change while we run.
        own = Path(os.path.normpath(Path(directory.absolute(), text)))
        for other, other_path in seen:
            line = document.place((*other_path, "directory")).line
            where = (*path, "directory")
            if own == other:
                document.add(where, f"is the directory of line {line} again", "", Code.CONFIG_TWICE)
            elif own.is_relative_to(other):
                message, hint = (
                    f"is inside the directory of line {line}",
                    "subdirectories name campaigns there",
                )
                document.add(where, message, hint, Code.CONFIG_CLASH)
            elif other.is_relative_to(own):
                message, hint = (
                    f"has the directory of line {line} inside",
                    "subdirectories name campaigns here",
                )
                document.add(where, message, hint, Code.CONFIG_CLASH)
        seen.append((own, path))
