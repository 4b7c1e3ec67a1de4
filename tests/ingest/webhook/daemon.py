"""A daemon with webhooks and the HTTP intake, as a process with ports of its own."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.daemon import KEY
from tests.kit.processes import EXPORTER, Running
from tests.kit.provider import Provider
from tests.kit.totals import Totals
from tests.kit.waiting import HANG_SECONDS
from tests.kit.web import ask, free_port

TOKEN = "a-token-of-some-length-1234567890"
_CONFIG = """\
accounts:
  - name: main
    base_url: {provider}
    auth: {{method: header, api_key_file: key}}
    requests_per_second: {rate:g}
profiles: {{default: {profile}}}
drop:
  - {{directory: drop, settle: 0s}}
storage: {{path: state, retention: {retention}}}
windows: [5m]
webhook: {{listen: '{webhook}', token_file: token, mode: {mode}, track_unknown: {track_unknown}}}
intake: {{token_file: token}}
"""
_COUNTED = {
    "smsbat_messages_finished_total": ("finished", ("status",)),
    "smsbat_message_parts_total": ("parts", ()),
    "smsbat_fallbacks_total": ("fallbacks", ("type", "status")),
    "smsbat_channel_messages_total": ("channels", ("channel", "status")),
    "smsbat_cost_total": ("cost_nanos", ("currency",)),
}
"""What the provider's books count too, by the metric's name: their word for it, and the labels."""


@dataclass
class WebhookDaemon:
    """The folder of one daemon, and the addresses that it keeps over restarts."""

    folder: Path
    provider: str
    """The provider's URL."""
    mode: str = "verify"
    track_unknown: bool = False
    rate: float = 200
    profile: str = "{first_poll: 3s, interval: 2s, max_interval: 2s, deadline: 5s, give_up_after: 1h}"
    retention: str = "7d"
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    webhook: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def __post_init__(self) -> None:
        """Make the folder with all its files."""
        self.drop.mkdir(parents=True)
        (self.folder / "key").write_text(KEY, "ascii")
        (self.folder / "token").write_text(TOKEN, "ascii")
        config = _CONFIG.format(
            provider=self.provider,
            rate=self.rate,
            profile=self.profile,
            retention=self.retention,
            webhook=self.webhook,
            mode=self.mode,
            track_unknown=str(self.track_unknown).lower(),
        )
        (self.folder / "config.yaml").write_text(config, "ascii")

    @property
    def drop(self) -> Path:
        """The drop directory."""
        return self.folder / "drop"

    @property
    def webhook_url(self) -> str:
        """Where the provider posts events."""
        return f"http://{self.webhook}/webhook/{TOKEN}"

    def start(self) -> Running:
        """Start a daemon, and wait until it is ready."""
        argv = [*EXPORTER, "run", f"--config.file={self.folder / 'config.yaml'}", "--log.format=json"]
        daemon = Running([*argv, f"--web.listen-address={self.address}"], self.folder / "daemon.log")
        try:
            daemon.wait_until_ready(self.address, "the daemon")
        except BaseException:
            daemon.kill()
            raise
        return daemon

    def post_ids(self, ids: list[str], campaign: str = "default") -> None:
        """Post ids, all of which must be accepted."""
        connection = http.client.HTTPConnection(self.address, timeout=HANG_SECONDS)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
        connection.request("POST", f"/api/v1/messages?campaign={campaign}", "\n".join(ids), headers)
        response = connection.getresponse()
        report = json.loads(response.read())
        connection.close()
        assert (response.status, report["accepted"] + report["duplicate"]) == (200, len(ids))

    def read_counters(self) -> Totals:
        """What the provider counts too, as `/metrics` shows it, without zeros; money in nanos."""
        found: Totals = Counter()
        for metric in text_string_to_metric_families(ask(self.address, "/metrics").text):
            for sample in metric.samples:
                if sample.name in _COUNTED and sample.value:
                    word, labels = _COUNTED[sample.name]
                    key = (sample.labels["campaign"], word, *(sample.labels[label] for label in labels))
                    found[key] = round(sample.value * 1e9) if word == "cost_nanos" else int(sample.value)
        return found


def count_finished(provider: Provider) -> Totals:
    """The provider's totals of messages with a final status: the expected counters."""
    return Counter({key: value for key, value in provider.totals().items() if key[1] != "messages"})
