"""A simulated provider: the status API with seeded traffic, faults and scenarios.

For tests, demonstrations and benchmarks; it imports nothing of the exporter but
its words, its clock and its errors. Start it in a process (`Simulator`), or on its own (`serve`).
"""

from exporter.simulator.arrivals import Arrival, Arrivals, busiest_second, closest_repeat_us
from exporter.simulator.book import Book
from exporter.simulator.fate import TrafficKind
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator, serve
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.tally import CampaignTally, tally
from exporter.simulator.traffic import CAMPAIGN_KINDS, run_traffic

__all__ = [
    "CAMPAIGN_KINDS",
    "SCENARIOS",
    "Arrival",
    "Arrivals",
    "Book",
    "CampaignTally",
    "Simulator",
    "SimulatorSettings",
    "TrafficKind",
    "busiest_second",
    "closest_repeat_us",
    "run_traffic",
    "serve",
    "tally",
]
