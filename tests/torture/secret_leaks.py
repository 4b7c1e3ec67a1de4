"""Canaries: phone numbers and keys in every input, name and answer; nothing that comes out may hold one.

All canaries bear one of two marks that occur nowhere else, so that a search for
the marks finds each of them, and those that an answer of the provider made up.
"""

from __future__ import annotations

import base64
import json
import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from tests.kit.waiting import HANG_SECONDS
from tests.torture.forked_program import Child, program, until
from tests.torture.hostile import HostileProvider
from tests.torture.report import Report

PHONE_MARK = "38050917"
KEY_MARK = "cAnArY"
LARGEST_SHARE = 500
ENOUGH_REQUESTS = 20
"""With so many of them the provider has answered in most of its ways."""
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_LISTENS = re.compile(rb'event"?[=:] ?"?ready.*')
_ADDRESS = re.compile(rb'(listen|webhook)"?[=:] ?"?127\.0\.0\.1:(\d+)')
_FIRST, _LAST = (int(f"{PHONE_MARK}{digits}") for digits in ("0000", "9999"))
_AS_INTEGER = {number.to_bytes(6, "big")[:4] for number in (_FIRST, _LAST)}
"""How SQLite would begin to write such a number down, were it taken for one."""
_NEEDLES = [
    # With whatever people write between the digits of a phone number.
    rb"[ ()-]{0,2}".join(bytes([digit]) for digit in PHONE_MARK.encode()),
    re.escape(KEY_MARK.encode()),
    # Inside of base64, wherever its groups of three begin.
    *(re.escape(base64.b64encode(b"@" * lead + KEY_MARK.encode())[4:8]) for lead in range(3)),
    *(re.escape(prefix) for prefix in _AS_INTEGER),
]
_ANY = re.compile(b"|".join(_NEEDLES), re.DOTALL)
_CONFIG = """\
accounts:
  - {{name: main, base_url: "{url}/ok", auth: {{method: header, api_key_file: key}}, requests_per_second: 99}}
  - {{name: inline, base_url: "{url}/limited", auth: {{method: key-as-password, api_key: {inline}}}}}
  - {{name: basic, base_url: "{url}/refused", auth: {{method: basic, username: us, password_file: password}}}}
  - {{name: failing, base_url: "{url}/failing", auth: {{method: header, api_key_file: key}}}}
profiles:
  default: {{first_poll: 1s, interval: 1s, max_interval: 1s, give_up_after: 1h, deadline: 5s, objective: 0.9}}
drop:
  - {{directory: drop, account: main, settle: 0s}}
storage: {{path: state}}
webhook: {{listen: "127.0.0.1:0", token_file: webhook-token, mode: trust}}
intake: {{token_file: intake-token}}
exposition: {{exemplars: true}}
"""


class Canaries:
    """Phone numbers and keys to plant, each in one of the ways that people write them."""

    def __init__(self, rng: random.Random) -> None:
        """Draw from `rng`."""
        self._rng = rng
        self.planted = 0

    def phone(self) -> str:
        """A phone number."""
        digits = f"{PHONE_MARK}{self._rng.randrange(10_000):04}"
        self.planted += 1
        spaced = f"+{digits[:3]} ({digits[3:5]}) {digits[5:8]}-{digits[8:10]}-{digits[10:]}"
        return self._rng.choice((digits, f"+{digits}", f"00{digits}", spaced))

    def key(self) -> str:
        """A key, token or password."""
        self.planted += 1
        return f"{KEY_MARK}-{self._rng.randbytes(12).hex()}"

    def either(self) -> str:
        """One of the two."""
        return self.phone() if self._rng.random() < 0.7 else f"{self.key()} {self.phone()}"


def found_in(content: bytes) -> int:
    """How many canaries `content` holds."""
    return len(_ANY.findall(content))


def dropped_file(suffix: str, ids: list[str], plant: Callable[[], str]) -> str:
    """A file with good ids, and canaries wherever there is room for one."""
    match suffix:
        case ".csv":
            rows = [f'{one},"{plant()}",spring,"{plant()}"' for one in ids]
            rows += [f'"{plant()}",x,spring,y', f'bad-when,x,"{plant()}",y']
            return "\n".join([f'message_id,phone,campaign,"{plant()}"', *rows, ""])
        case ".jsonl" | ".ndjson":
            objects: list[object] = [{"messageId": one, "to": plant(), plant(): plant()} for one in ids]
            objects += [{"messageId": plant()}, {"messageId": "b", "campaign": plant()}, plant()]
            objects.append({"messageId": "c", "account": plant(), "sent_at": plant()})
            return "".join(f"{json.dumps(one)}\n" for one in objects) + f'{{"messageId": {plant()}\n'
        case ".json":
            messages = [{"messageId": one, "to": plant(), "text": plant()} for one in ids]
            return json.dumps({"messagelistId": 1, "messages": [*messages, {"messageId": plant()}]})
        case _:
            return "\n".join([*ids, *(plant() for _ in ids[:3]), f"{ids[0]};{plant()}", ""])


class Target:
    """A daemon whose every input holds canaries, over two lives."""

    def __init__(self, folder: Path, url: str, canaries: Canaries, rng: random.Random) -> None:
        """Make its folder."""
        self.folder = folder
        self.canaries = canaries
        self._rng = rng
        self._url = url
        self._sent = 0
        self._secrets = {
            name: canaries.key() for name in ("key", "password", "webhook-token", "intake-token")
        }
        for name, secret in self._secrets.items():
            (folder / name).write_text(secret, "ascii")
        (folder / "drop").mkdir()
        self._configure("")

    def _configure(self, more: str) -> None:
        path = self.folder / "config.yaml"
        inline = self.canaries.key()
        text = _CONFIG.format(url=self._url, inline=inline)
        path.write_text(text + more, "utf-8")
        path.chmod(0o600)

    def start(self, form: str) -> Child:
        """Begin a life with its log in that format, as talkative as can be."""
        flags = ("--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle", f"--log.format={form}")
        config = f"--config.file={self.folder}/config.yaml"
        child = Child(program(("run", config, "--log.level=debug", *flags)), self.folder / f"{form}.log")
        ready = until(child, lambda: bool(_LISTENS.search(child.output.read_bytes())))
        assert ready, child.said()
        return child

    def ports(self, child: Child) -> dict[str, int]:
        """By listener."""
        line = _LISTENS.findall(child.output.read_bytes())[-1]
        return {name.decode(): int(port) for name, port in _ADDRESS.findall(line)}

    def ids(self, count: int) -> list[str]:
        """New ids that may be tracked."""
        self._sent += count
        return [f"m-{number:06}" for number in range(self._sent - count, self._sent)]

    def drop(self) -> None:
        """Drop a file of each format, some of them under names that are canaries."""
        for suffix in (".txt", ".list", ".csv", ".jsonl", ".ndjson", ".json"):
            name = f"{self._rng.choice(('a', self.canaries.phone()))}-{self._rng.randbytes(4).hex()}{suffix}"
            named = self._rng.choice((self.canaries.phone(), f"promo {self.canaries.phone()}"))
            place = self._rng.choice(("drop", "drop", "drop/spring", f"drop/{named}"))
            path = self.folder / place / name
            path.parent.mkdir(exist_ok=True)
            draft = path.with_name(f".{name}.tmp")
            draft.write_text(dropped_file(suffix, self.ids(4), self.canaries.either), "utf-8")
            draft.rename(path)

    def requests(self, ports: Mapping[str, int]) -> Iterator[bytes]:
        """Ask both listeners, with canaries in every place of a request; yields all answers."""
        plant = self.canaries.either
        metrics, webhook = ports["listen"], ports["webhook"]
        intake = {"Authorization": f"Bearer {self._secrets['intake-token']}", "Content-Type": "text/plain"}
        good_hook = f"/webhook/{self._secrets['webhook-token']}"
        for path in ("/metrics", f"/{quote(plant())}", f"/metrics?a={quote(plant())}", "/", "/-/healthy"):
            yield answer_of(metrics, "GET", path, None, {"User-Agent": plant(), "X-Name": plant()})
        yield answer_of(metrics, quote(plant(), safe=""), "/", None, {})
        for campaign in ("spring", plant()):
            body = "\n".join([*self.ids(3), plant(), plant(), ""])
            path = f"/api/v1/messages?account=main&campaign={quote(campaign)}"
            yield answer_of(metrics, "POST", path, body, intake)
        yield answer_of(metrics, "POST", "/api/v1/messages", plant(), {"Authorization": f"Bearer {plant()}"})
        news: dict[str, object] = {"messageId": self.ids(1)[0], "deliverystatus": plant(), "to": plant()}
        for body in (json.dumps(news), json.dumps({**news, "messageId": plant()}), plant()):
            yield answer_of(webhook, "POST", good_hook, body, {"Content-Type": "application/json"})
            yield answer_of(webhook, "POST", f"/webhook/{quote(plant())}", body, {"X-Forwarded-For": plant()})

    def broken_reloads(self, ports: Mapping[str, int]) -> Iterator[bytes]:
        """Reload configurations that can't be used, with canaries where they go wrong; yields the answers."""
        for more in (
            f"limits: {{max_tracked: '{self.canaries.phone()}'}}\n",
            f"campaigns: [{{name: spring, account: main, messages: ['{self.canaries.phone()}']}}]\n",
            f"campaigns: [{{name: '{self.canaries.phone()}'}}]\n",
            f"windows: ['{self.canaries.phone()}']\n",
            f'api_key: "{self.canaries.key()}\n',
            f"accounts: [{{api_key: {self.canaries.key()}}}]\n",
        ):
            self._configure(more)
            yield answer_of(ports["listen"], "POST", "/-/reload", None, {})
        self._configure("")
        yield answer_of(ports["listen"], "POST", "/-/reload", None, {})

    def waiting(self) -> bool:
        """Whether a dropped file that may be taken in was not yet."""
        return any(
            path.is_file() for name in ("drop", "drop/spring") for path in (self.folder / name).glob("[!.]*")
        )


def answer_of(port: int, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> bytes:
    """Head and body of the answer to one request; empty when there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
    try:
        connection.request(method, path, body.encode() if body is not None else None, dict(headers))
        response = connection.getresponse()
        return str(response.headers).encode() + response.read()
    except (OSError, HTTPException):
        return b""
    finally:
        connection.close()


def share(folder: Path, count: int, seed: int) -> Report:
    """Plant at least `count` canaries in an empty folder's daemon, over two lives; then search."""
    rng = random.Random(seed)
    canaries, report = Canaries(rng), Report()
    with HostileProvider(folder, Canaries(random.Random(seed)).either) as provider:
        target = Target(folder, provider.url, canaries, rng)
        for form in ("logfmt", "json"):
            enough = canaries.planted + count // 2
            child = target.start(form)
            ports = target.ports(child)
            answers = list(target.broken_reloads(ports))
            while canaries.planted < enough:
                target.drop()
                answers += target.requests(ports)
            assert until(child, lambda: not target.waiting()), child.said()
            shown = scraped(child, ports["listen"])
            search(report, f"an answer ({form})", b"\n".join([*answers, *shown]))
            if form == "logfmt":
                # As a power cut leaves it: with its write-ahead log.
                child.kill()
                search_files(report, folder)
            child.signal(signal.SIGTERM)
            assert child.wait()
            report.counts["lives"] += 1
            report.counts["answers"] += sum(1 for one in answers if one)
            digested(report, shown)
            if "Traceback" in child.said():
                report.findings.append("a traceback in the log")
        search_files(report, folder)
    report.counts["planted"] += canaries.planted
    return report


def scraped(child: Child, port: int) -> list[bytes]:
    """Both formats of /metrics, once everything that could be learned from the provider was."""
    asked = re.compile(rb'smsbat_api_requests_total{account="main",[^}]*} ([0-9.e+]+)')

    def look() -> bytes:
        return answer_of(port, "GET", "/metrics", None, {})

    assert until(child, lambda: sum(map(float, asked.findall(look()))) >= ENOUGH_REQUESTS), child.said()
    return [look(), answer_of(port, "GET", "/metrics", None, {"Accept": _OPENMETRICS})]


def digested(report: Report, shown: list[bytes]) -> None:
    """Show that what was planted was looked at: a search where nothing came in finds nothing."""
    refused = re.findall(rb'_rejected_total{[^}]*reason="looks_like_phone"[^}]*} ([0-9.e+]+)', shown[0])
    count = int(sum(map(float, refused)))
    report.counts["refused as phones"] += count
    if not count:
        report.findings.append("no line was refused as a phone number: did any come in?")


def search_files(report: Report, folder: Path) -> None:
    """Search the logs, the state, and the reports beside dropped files."""
    paths = [*folder.glob("*.log"), *folder.glob("state/*"), *folder.glob("drop/**/*.reason")]
    for path in paths:
        if path.name != "provider.log":
            kind = path.name if path.parent.name in {folder.name, "state"} else "a .reason file"
            search(report, kind, path.read_bytes())
            report.counts["files"] += 1


def search(report: Report, what: str, content: bytes) -> None:
    """Search one output."""
    report.counts["searched KiB"] += len(content) // 1024
    hits = found_in(content)
    if hits:
        where = _ANY.search(content)
        around = content[max(0, where.start() - 80) : where.end() + 20] if where else b""
        report.findings.append(f"{what} holds {hits} canaries, the first one in {around!r}")


def shares(folder: Path, count: int, seed: int) -> list[Callable[[], Report]]:
    """A campaign of at least `count` canaries."""
    made: list[Callable[[], Report]] = []
    while count > 0:
        planted = min(count, LARGEST_SHARE)
        count -= planted
        home = folder / f"share-{len(made)}"
        home.mkdir()
        made.append(partial(share, home, planted, seed * 100_000 + len(made)))
    return made
