"""What a process did to its files, in order, as strace saw it.

Of interest is what changes a file, a name, or what is durable of them, below
one folder. Paths are absolute; a call that strace shows in two halves counts
when it ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CALLS = (
    "openat",
    "pwrite64",
    "write",
    "ftruncate",
    "fdatasync",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (\d+)(?:<([^>]*)>)?$")
_BEGUN = re.compile(r"(\d+) +(\w+\(.*?),? ?<unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>,? ?(.*)$")
_ARGUMENT = re.compile(r'(?:(\w+)<([^>]*)>|"((?:\\x[0-9a-f]{2})*)"|([^,"<]+))(?:, |$)')


@dataclass(frozen=True, slots=True)
class Create:
    """A file begins to exist under this name."""

    path: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """A folder begins to exist."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset; None is where the last one through this descriptor ended."""

    path: str
    offset: int | None
    data: bytes
    descriptor: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file is cut, or extended with zeros, to this size."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Rename:
    """A name moves."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name ends."""

    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's content, or a folder's names, are durable as they are now."""

    path: str


@dataclass(frozen=True, slots=True)
class Open:
    """A file that is there is opened; with `cut`, it is emptied."""

    path: str
    descriptor: str
    cut: bool


Op = Create | MakeFolder | Write | Truncate | Rename | Unlink | Sync | Open


def record(arguments: Sequence[str], folder: Path, trace: Path) -> list[Op]:
    """Run a Python program under strace; returns what it did below `folder`."""
    calls = f"trace={','.join(CALLS)}"
    strace = ("strace", "-f", "-y", "-xx", "-s", "10000000", "-e", "signal=none", "-e", calls)
    subprocess.run([*strace, "-o", str(trace), sys.executable, *arguments], check=True)
    with trace.open(encoding="ascii") as lines:
        return list(operations(lines, str(folder)))


def operations(lines: Iterator[str], folder: str) -> Iterator[Op]:
    """The operations below `folder`, in order."""
    halves: dict[str, str] = {}
    for raw in lines:
        line = raw.rstrip("\n")
        if begun := _BEGUN.match(line):
            halves[begun[1]] = begun[2]
            continue
        if resumed := _RESUMED.match(line):
            line = f"{resumed[1]} {halves.pop(resumed[1])}, {resumed[3]}".replace(", )", ")")
        if call := _LINE.match(line):
            for op in _operations(call):
                if op.path == folder or op.path.startswith(f"{folder}/"):
                    yield op


class _Argument(NamedTuple):
    """One argument of a call: a descriptor, a string, or a word."""

    descriptor: str = ""
    path: str = ""
    """Of the descriptor."""
    data: bytes | None = None
    word: str = ""


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _argument(found: re.Match[str]) -> _Argument:
    if found[1] is not None:
        return _Argument(descriptor=found[1], path=os.fsdecode(_bytes(found[2])))
    if found[3] is not None:
        return _Argument(data=_bytes(found[3]))
    return _Argument(word=found[4])


def _operations(call: re.Match[str]) -> Iterator[Op]:
    """What a call that went well did."""
    name, result = call[2], call[4]
    arguments = [_argument(found) for found in _ARGUMENT.finditer(call[3])]
    first = arguments[0]
    if name == "openat":
        yield from _opened(arguments[2].word, os.fsdecode(_bytes(call[5])), result)
    elif name in {"write", "pwrite64"}:
        offset = int(arguments[3].word) if name == "pwrite64" else None
        yield Write(first.path, offset, arguments[1].data or b"", first.descriptor)
    elif name == "ftruncate":
        yield Truncate(first.path, int(arguments[1].word))
    elif name in {"fsync", "fdatasync"}:
        yield Sync(first.path)
    else:
        yield _renamed(name, list(_paths(arguments)))


def _opened(flags: str, path: str, descriptor: str) -> Iterator[Op]:
    if "O_CREAT" in flags:
        yield Create(path)
    if "O_RDONLY" not in flags:
        yield Open(path, descriptor, cut="O_TRUNC" in flags)


def _renamed(name: str, paths: Sequence[str]) -> Op:
    """A call that is about names only."""
    if name.startswith("rename"):
        return Rename(*paths)
    return MakeFolder(*paths) if name.startswith("mkdir") else Unlink(*paths)


def _paths(arguments: Sequence[_Argument]) -> Iterator[str]:
    """The absolute paths that arguments name, each relative to the descriptor before it, if there is one."""
    folder = ""
    for argument in arguments:
        folder = argument.path or folder
        if argument.data is not None:
            yield os.path.normpath(Path(folder) / os.fsdecode(argument.data))
