"""The daemon as a user runs it: a configuration in a folder, and a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.processes import EXPORTER, Running
from tests.kit.web import ask

KEY = "demo-key"
"""What the simulator accepts."""

_HEAD = """\
accounts:
  - name: main
    base_url: {provider}
    auth: {{method: header, api_key_file: key}}
    requests_per_second: {rate:g}
    max_in_flight: {in_flight}
profiles:
  swift: {{first_poll: 1s, interval: 1s, max_interval: 2s, deadline: 30m, give_up_after: 1h}}
  otp: {{first_poll: 1s, interval: 1s, max_interval: 2s, give_up_after: 1h, priority: high}}
drop:
  - {{directory: drop, settle: 0s}}
storage: {{path: state}}
campaigns:
"""
_CAMPAIGN = "  - {{name: {name}, profile: {profile}, account: main, messages: [{ids}]}}\n"


@dataclass
class Home:
    """The folder of one daemon: configuration, key, drop directory, state and log."""

    folder: Path
    provider: str
    """The provider's URL."""
    rate: float = 50.0
    in_flight: int = 10
    profiles: Mapping[str, str] = field(default_factory=lambda: {"default": "swift"})
    """By campaign."""
    listed: dict[str, list[str]] = field(default_factory=dict)
    """The ids that the configuration lists, by campaign."""

    def __post_init__(self) -> None:
        """Make the folder and all that is in it."""
        self.drop.mkdir(parents=True)
        self.key.write_text(f"{KEY}\n", "ascii")
        self.configure()

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "config.yaml"

    @property
    def key(self) -> Path:
        """The key file."""
        return self.folder / "key"

    @property
    def drop(self) -> Path:
        """The drop directory."""
        return self.folder / "drop"

    def configure(self) -> None:
        """Write the configuration; a daemon that runs takes no notice before it is told to."""
        text = _HEAD.format(provider=self.provider, rate=self.rate, in_flight=self.in_flight)
        for name, profile in self.profiles.items():
            text += _CAMPAIGN.format(name=name, profile=profile, ids=", ".join(self.listed.get(name, ())))
        self.config.write_text(text, "utf-8")

    def put(self, name: str, text: str) -> None:
        """Drop a file as a user should: written beside, then renamed."""
        path = self.drop / name
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_text(text, "utf-8")
        draft.rename(path)

    def start(self, *flags: str, port: int = 0) -> Running:
        """Start a daemon on this folder, with its log in JSON."""
        listen = f"--web.listen-address=127.0.0.1:{port}"
        argv = [*EXPORTER, "run", f"--config.file={self.config}", listen, "--log.format=json", *flags]
        return Running(argv, self.folder / "daemon.log")


def address_of(daemon: Running) -> str:
    """Where a daemon serves, once it does."""
    address: str = daemon.event("ready")["listen"]
    return address


def sum_of(address: str, name: str, **labels: str) -> float | None:
    """The sum of the samples called `name` with these labels, as a scrape shows them; None without any."""
    answer = ask(address, "/metrics")
    return sum_in(answer.text, name, **labels)


def sum_in(text: str, name: str, **labels: str) -> float | None:
    """`sum_of` in an exposition that is there already."""
    found = [
        sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


def id_lines(ids: Sequence[str]) -> str:
    """The simplest drop file."""
    return "".join(f"{message_id}\n" for message_id in ids)
