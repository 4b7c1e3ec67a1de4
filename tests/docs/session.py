"""A page's commands, run as a reader would paste them: in order, in one shell, in a machine of their own.

The machine is a folder: paths like /etc/prometheus lie below it, and ports are free
ones. The programs are the real ones: this exporter, curl, openssl, Prometheus and the
rest. `PLAYED` says what stands in for a part of the system, `EXCUSED` what is left
out, each with its reason, `LOOKS` where a reader waits.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import Block, Page
from tests.kit.daemon import KEY
from tests.kit.processes import ROOT, Running, environment
from tests.kit.waiting import until
from tests.kit.web import free_port

SHELL = ("", "sh", "bash", "console")
"""Blocks in these languages are commands; an indented block is one too."""
EXCUSED: Mapping[str, str] = {
    r"apt-get ": "installs packages of the machine; scripts/setup names those that the tests use",
    r"docker |buildah |export SOURCE_DATE_EPOCH=": "needs a container engine: scripts/image-test has one",
    r"make ": "rebuilds .venv; that the target exists is checked here",
    r"python3 -m venv |\S*pip install ": "takes packages from a network; tests/packaging installs the wheel",
    r"smsbat-exporter check-message ": "asks about ids that this provider never sent",
    r"smsbat-exporter .*\[flags\]|smsbat-exporter completion SHELL": "says how to call it, and is no call",
    r"systemd-(sysusers|tmpfiles)\b": "makes users and directories of the machine",
    r"(chown|chgrp) ": "needs root, and the users that the packages make",
}
"""What commands begin with that can't be run in a test, and why."""
LOOKS = r"curl --silent \S+/metrics \| grep |promtool query instant \S+ 'up\{"
"""What commands begin with that show numbers only after a while, as their page says: they are repeated."""
PLAYED = (Path(__file__).parent / "played.sh").read_text("utf-8")
"""Functions of the shell in place of a part of the system, and of the command itself."""
_PORTS = ("10978", "10979", "10980", "9090", "9093")
_SPARE = "SPARE"
"""Where a simulator listens that a page starts beside the one that is there already."""
_PATHS = re.compile(r"(?<![\w.$/~}])/(etc|opt/smsbat-exporter|root|usr/local|var)(?=/|\b)")
_FOLDERS = (
    "etc/systemd/system",
    "etc/smsbat-exporter",
    "etc/prometheus",
    "opt/smsbat-exporter/bin",
    "usr/local/bin",
    "usr/local/share",
    "var/lib/smsbat-exporter/drop",
    "var/log",
    "root",
)
_CONFIG = """\
accounts:
  - name: main
    base_url: http://127.0.0.1:{provider}
    auth: {{api_key_file: {machine}/etc/smsbat-exporter/smsbat-api-key}}
drop:
  - {{directory: {machine}/var/lib/smsbat-exporter/drop}}
storage: {{path: {machine}/var/lib/smsbat-exporter}}
intake: {{token_file: token}}
webhook: {{listen: "127.0.0.1:{webhook}", token_file: token}}
"""
_WEB_CONFIG = "basic_auth_users: {prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}\n"
_TOKEN = "made-up-token"
_BEGIN = """\
set -Eeuo pipefail
trap 'echo "$at: failed" >&2' ERR
trap 'kill $(jobs -p) 2> /dev/null' EXIT
trap 'exit 0' TERM
"""
_END = "Every command has succeeded"


class Command(NamedTuple):
    """A line that a reader pastes, with the lines that belong to it."""

    page: str
    line: int
    text: str

    @property
    def excuse(self) -> str:
        """Why it can't be run, or ""."""
        return next((why for begin, why in EXCUSED.items() if re.match(begin, self.text)), "")


def commands(page: Page) -> Iterator[Command]:
    """The commands of a page, in order."""
    for block in page.of_language(*SHELL):
        yield from _of_block(page.name, block)


def _of_block(page: str, block: Block) -> Iterator[Command]:
    """A command ends where bash has understood all of it, and after the end of a here-document."""
    lines = block.text.splitlines()
    taken: list[str] = []
    ending = ""
    for number, line in enumerate(lines, block.line):
        if not taken and not line.strip():
            continue
        taken.append(line)
        here = re.search(r"<<-?'?(\w+)'?", line)
        if here and not ending:
            ending = here[1]
            continue
        text = "\n".join(taken)
        if line == ending if ending else not line.endswith("\\") and understood(text):
            yield Command(page, number - len(taken) + 1, text)
            taken, ending = [], ""
    assert not taken, f"{page}:{block.line} ends in the middle of a command"


class Machine:
    """Where one page is played."""

    def __init__(self, folder: Path) -> None:
        """Make the folders of a fresh machine, and those of a reader who has an exporter already."""
        self.folder = folder
        self.ports = {port: str(free_port()) for port in (*_PORTS, _SPARE)}
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True)
        python = folder / "opt/smsbat-exporter/bin/python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
        python.chmod(0o755)
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        for name in ("examples", "grafana", "requirements", "config.example.yaml"):
            (self.checkout / name).symlink_to(ROOT / name)

    def configured(self) -> None:
        """Put a configuration, a key and ids in place, for pages that come after the first steps."""
        config = _CONFIG.format(
            provider=self.ports["10980"], webhook=self.ports["10979"], machine=self.folder
        )
        etc = self.folder / "etc/smsbat-exporter"
        (etc / "smsbat-api-key").write_text(f"{KEY}\n", "ascii")
        for place in (etc, self.checkout):
            (place / "config.yaml").write_text(config, "utf-8")
            (place / "token").write_text(f"{_TOKEN}\n", "ascii")
            (place / "web.yml").write_text(_WEB_CONFIG, "ascii")
        (self.checkout / "smsbat-api-key").write_text(f"{KEY}\n", "ascii")
        (self.checkout / "ids.txt").write_text("some-id\nanother-id\n", "ascii")

    def local(self, text: str) -> str:
        """The text with this machine's paths and ports."""
        text = re.sub(rf"(?<=:)({'|'.join(_PORTS)})\b", lambda port: self.ports[port[1]], text)
        return _PATHS.sub(rf"{self.folder}/\1", text)

    @contextmanager
    def playing(self, page: Page, *, first: str = "") -> Iterator[str]:
        """Run the commands, after `first`; once all have succeeded the block gets what they printed."""
        lines = [_BEGIN, PLAYED, first]
        for command in commands(page):
            if not command.excuse:
                lines += [f"at={page.name}:{command.line}", _waited_for(self.local(command.text))]
        file = self.folder / "session.sh"
        file.write_text("\n".join([*lines, f"echo '{_END}'", "wait", ""]), "utf-8")
        env = environment(
            MACHINE=str(self.folder),
            HOME=str(self.folder / "root"),
            PYTHON=sys.executable,
            TOKEN=_TOKEN,
            # Where no configuration says otherwise it would be the machine's own.
            SMSBAT_STORAGE_PATH=str(self.folder / "var/lib/smsbat-exporter"),
            SMSBAT_WEB_LISTEN_ADDRESS=f"127.0.0.1:{self.ports['10978']}",
            at="",
            **{f"PORT_{port}": own for port, own in self.ports.items()},
        )
        with Running(["bash", str(file)], self.folder / "session.log", env=env, cwd=self.checkout) as session:

            def done() -> bool:
                assert session.runs or _END in session.printed(), self._describe(session)
                return _END in session.printed()

            until(done, "the session comes to its end")
            yield session.printed()
            session.signal(signal.SIGTERM)
            session.ends()

    def _describe(self, session: Running) -> str:
        logs = (path for path in self.folder.glob("*.log") if path.name != "session.log")
        return (
            session.said() + session.printed() + "".join(f"\n{p.name}: {p.read_text()[-600:]}" for p in logs)
        )


def _waited_for(text: str) -> str:
    """A command as a reader gives it, who looks again until there is something to see."""
    return f"shown <<'LOOK'\n{text}\nLOOK" if re.match(LOOKS, text) else text


def targets_of_make() -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def understood(text: str) -> bool:
    """Whether bash can parse it."""
    return (
        subprocess.run(["bash", "-n"], input=text, text=True, check=False, capture_output=True).returncode
        == 0
    )
