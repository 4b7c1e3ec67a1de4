"""What can be set about the simulated provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.simulator.webhooks import WebhookOrder


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """How the simulated provider listens, which keys it accepts and what happens there."""

    host: str = "127.0.0.1"
    port: int = 10980
    """0 takes any free port."""
    seed: int = 1
    """Equal seeds give equal ids and equal timelines."""
    speed: float = 1.0
    """How many times faster than real time messages move; rate limits and faults keep real time."""
    scenario: str = "calm"
    requests_per_second: float = 10.0
    """Status requests per key; 0 means no limit."""
    burst: int = 10
    """Requests that a key may save up."""
    retry_after_seconds: int | None = None
    """The `Retry-After` of each 429 and 503; None leaves it out."""
    api_keys: tuple[str, ...] = ("demo-key",)
    """Each works in its header and as the password of user `@`."""
    passwords: Mapping[str, str] = field(default_factory=lambda: {"demo": "demo"})
    """By user name, for HTTP Basic."""
    webhook: WebhookOrder | None = None
    """How webhooks are sent from the start; None for none."""
