"""One state directory with its configuration and drop directory, and a record of all that went in."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kit.daemon import KEY
from tests.torture.forked_program import Child, program

_CONFIG = """\
accounts:
  - name: main
    base_url: {url}
    auth: {{method: header, api_key_file: {folder}/key}}
    requests_per_second: {rate}
profiles:
  quick: {{first_poll: 1s, interval: 1s, max_interval: 2s, give_up_after: 1h, deadline: 3s, objective: 0.95}}
campaigns:
  - {{name: default, profile: quick}}
  - {{name: otp, profile: quick}}
  - {{name: listed, profile: quick, account: main, messages: [{listed}]}}
drop:
  - {{directory: {folder}/drop, account: main, settle: 0s}}
storage: {{path: {folder}/state, retention: {retention}}}
windows: [1s]
"""
BATCH_LINES = 10_010
"""A few more lines than one transaction takes."""


class Home:
    """See the module's docstring."""

    def __init__(self, folder: Path, url: str, *, rate: int, retention: str) -> None:
        """Make the folders; the provider is at `url`, and is asked `rate` times a second."""
        self.folder = folder
        self.drop = folder / "drop"
        self.state = folder / "state"
        self.contents: dict[str, bytes] = {}
        """By file name: what was dropped."""
        self.ids_in: dict[str, Sequence[str]] = {}
        """By file name: the good ids."""
        self.listed: list[str] = []
        self.bad_files = 0
        """Dropped files with lines that can't be used."""
        self._settings = {"url": url, "rate": str(rate), "retention": retention}
        self._lives = 0
        self.drop.mkdir(parents=True)
        (folder / "key").write_text(KEY, "ascii")
        self.configure([])

    def configure(self, more: Sequence[str]) -> None:
        """Write the configuration, with more ids listed in it."""
        self.listed += more
        text = _CONFIG.format(folder=self.folder, listed=", ".join(self.listed), **self._settings)
        draft = self.folder / "config.tmp"
        draft.write_text(text, "utf-8")
        draft.rename(self.folder / "config.yaml")

    def start(self, tracer: Sequence[str] = ()) -> Child:
        """Run the daemon, under `tracer` if that is given."""
        self._lives += 1
        arguments = ("run", f"--config.file={self.folder}/config.yaml", "--web.listen-address=127.0.0.1:0")
        return Child(program(arguments), self.folder / f"life-{self._lives}.log", tracer)

    def drop_file(self, ids: Sequence[str], rng: random.Random) -> None:
        """Drop one file as a careful producer does; of its lines, some may be bad, or repeat others."""
        folder = "otp/" if rng.random() < 0.3 else ""
        lines = list(ids)
        if rng.random() < 0.05:
            lines = (lines * (BATCH_LINES // len(lines) + 1))[:BATCH_LINES]
        bad = ["+380501112233", "no.id"][: rng.choice((0, 0, 1, 2))]
        self.bad_files += bool(bad)
        self.drop_lines([*lines, *bad], ids, folder)

    def drop_lines(self, lines: Sequence[str], ids: Sequence[str], folder: str = "") -> None:
        """Drop one file of these lines, in which these ids are good."""
        name = f"{folder}{len(self.contents):05d}.txt"
        content = "".join(f"{line}\n" for line in lines).encode()
        self.contents[name], self.ids_in[name] = content, ids
        path = self.drop / name
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_bytes(content)
        draft.rename(path)

    @property
    def sent(self) -> set[str]:
        """All ids that went in."""
        return set(self.listed).union(*self.ids_in.values())

    def misplaced(self) -> list[str]:
        """What is wrong with where the dropped files are: each in one place, with its content."""
        wrong = []
        for name, content in self.contents.items():
            path = self.drop / name
            places = [path, path.parent / "done" / path.name, path.parent / "failed" / path.name]
            found = [place for place in places if place.exists()]
            if len(found) != 1:
                wrong.append(f"a dropped file is in {len(found)} places")
            elif found[0].read_bytes() != content:
                wrong.append("a dropped file has another content")
        return wrong

    def acknowledged(self) -> set[str]:
        """The ids of all files that were put aside."""
        return {
            message_id
            for name, ids in self.ids_in.items()
            if not (self.drop / name).exists()
            for message_id in ids
        }

    def waiting(self) -> bool:
        """Whether a file still lies where it was dropped."""
        return any((self.drop / name).exists() for name in self.contents)

    @contextmanager
    def image(self) -> Iterator[Path | None]:
        """A copy of the database as a killed process leaves it, log and all; None when there is none yet."""
        database = self.state / "state.sqlite3"
        if not database.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            for path in self.state.glob("state.sqlite3*"):
                shutil.copyfile(path, Path(copy) / path.name)
            yield Path(copy) / database.name
