"""Exemplars in Prometheus: the id of a message with the bucket that it counts in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.kit.daemon import Home, address_of
from tests.kit.prometheus import prometheus
from tests.kit.provider import simulated
from tests.kit.waiting import until
from tests.kit.web import ask

BUCKETS = "smsbat_delivery_duration_seconds_bucket"


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("wanted", [True, False])
def test_prometheus_stores_the_id_of_a_message_only_when_configured(
    tmp_path: Path,
    wanted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """By `exposition.exemplars`; without it no id is exposed."""
    with simulated(tmp_path, speed=60) as provider:
        ids = set(provider.deliver("default", 5))
        home = Home(tmp_path / "home", provider.url, listed={"default": sorted(ids)})
        with home.config.open("a") as config:
            config.write(f"exposition: {{exemplars: {str(wanted).lower()}}}\n")
        with home.start() as daemon:
            target = address_of(daemon)
            job = {"job_name": "smsbat", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
            feature = "--enable-feature=exemplar-storage"
            with prometheus(tmp_path, {"scrape_configs": [job]}, feature) as server:
                span = urlencode({"query": BUCKETS, "start": 0, "end": 4_000_000_000})

                def counted() -> bool:
                    return sum(server.values(f'{BUCKETS}{{le="+Inf"}}').values()) >= len(ids)

                until(counted, "all deliveries are scraped")
                found = ask(server.address, f"/api/v1/query_exemplars?{span}").json()["data"]
                shown = {one["labels"]["message_id"] for series in found for one in series["exemplars"]}
                assert shown <= ids
                assert bool(shown) == wanted
                assert server.warnings() == []
