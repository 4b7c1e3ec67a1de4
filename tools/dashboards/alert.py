"""What an alerting rule is, and the words that the texts of alerts are put together from."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.dashboards import recording
from tools.dashboards.constants import DOCS_URL, GRAFANA_URL, Board

CRITICAL, WARNING = "critical", "warning"
FOR = {CRITICAL: "5m", WARNING: "30m"}
"""How long a condition must hold: pages soon, tickets when it lasts."""
KEEP_FIRING_FOR = "10m"
"""Stops the flapping of shares around their threshold."""

PER_CAMPAIGN = ("job", "account", "campaign")
PER_ACCOUNT = ("job", "account")

SHARE = "{{ $value | humanizePercentage }}"
COUNT = '{{ $value | printf "%.0f" }}'
DURATION = "{{ $value | humanizeDuration }}"
CAMPAIGN = "campaign {{ $labels.campaign }} (account {{ $labels.account }})"
ACCOUNT = "account {{ $labels.account }}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule; `labels` are those of its series that texts and links may use."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    board: Board
    labels: tuple[str, ...]
    keeps_firing: bool = False
    extra_labels: dict[str, str] = field(default_factory=dict)

    @property
    def runbook_url(self) -> str:
        """The section of the runbooks about this alert."""
        return f"{DOCS_URL}/runbooks.md#{self.name.lower()}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard, with what the alert is about chosen."""
        chosen = [
            f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in PER_CAMPAIGN if name in self.labels
        ]
        return f"{GRAFANA_URL}/d/{self.board.uid}?{'&'.join(chosen)}"


def look_up_percentage(series: str, labels: tuple[str, ...] = PER_CAMPAIGN) -> str:
    """A template that looks up a share of the alert's campaign or account in another series."""
    return _look_up(series, labels, "humanizePercentage")


def look_up_count(series: str) -> str:
    """A template that looks up a count of the alert's campaign in another series."""
    return _look_up(series, PER_CAMPAIGN, 'printf "%.0f"')


def _look_up(series: str, labels: tuple[str, ...], how: str) -> str:
    # %q quotes like PromQL does: a campaign's name may hold quotes.
    matchers = ",".join(f"{label}=%q" for label in labels)
    values = " ".join(f"$labels.{label}" for label in labels)
    found = f"{{{{ with printf `{series}{{{matchers}}}` {values} | query }}}}"
    return f"{found}{{{{ . | first | value | {how} }}}}{{{{ end }}}}"


OBJECTIVE = look_up_percentage(recording.OBJECTIVE, ("job", "campaign"))
