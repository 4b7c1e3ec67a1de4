"""What is remembered of requests, with names for the ids."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.domain.model import SECOND_US
from exporter.domain.snapshot import CampaignName
from exporter.engine.request_history import Request
from exporter.status.message import RequestView


def request_view(account: str, request: Request, campaigns: Mapping[int, CampaignName]) -> RequestView:
    """One request of `account`."""
    name = campaigns.get(request.campaign_id)
    return RequestView(
        timestamp_seconds=request.at / SECOND_US,
        account=account,
        campaign=name.campaign if name is not None else None,
        message_id=request.message_id,
        outcome=request.outcome,
        status=request.status.word if request.status is not None else None,
        duration_seconds=request.duration_us / SECOND_US,
        detail=request.detail,
    )
