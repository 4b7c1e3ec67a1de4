"""Settings as a configuration would give them, with what a test wants to be different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.config import Settings


def make_settings(
    *accounts: str,
    rate: float = 10,
    max_in_flight: int = 10,
    campaigns: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - sections of a configuration, checked there
) -> Settings:
    """Settings of these accounts (`main` when none is named); `campaigns` is name -> profile."""
    named = accounts or ("main",)
    listed = [
        {"name": name, "profile": profile, "account": account}
        for name, profile in (campaigns or {}).items()
        for account in named[:1]
    ]
    configured = [
        {
            "name": name,
            "base_url": "https://restapi.smsbat.com",
            "auth": {"api_key": "made-up"},
            "requests_per_second": str(rate),
            "max_in_flight": str(max_in_flight),
        }
        for name in named
    ]
    # Each window costs time with each publication, of which these tests see thousands.
    sections = {"windows": ["5m"], **more}
    return Settings.model_validate({"accounts": configured, "campaigns": listed, **sections})
