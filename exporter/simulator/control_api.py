"""The paths under `/-/`: send, switch scenario, order faults and webhooks.

- `POST /-/send` `{"kind": "otp", "count": 10, "campaign": "otp"}`: `{"ids": [...]}`; the campaign is the kind
  unless given
- `GET /-/scenario`, `POST /-/scenario/NAME`: `{"current": NAME, "scenarios": {NAME: summary}, "now": ...}`,
  by the clock of the messages, in Unix seconds
- `POST /-/fault` `{"kind": ...}` (see `faults`), `DELETE /-/fault`: `{}`
- `POST /-/webhook` `{"url": ...}` (see `webhooks`), `DELETE /-/webhook`, `GET /-/webhook`:
  `{"waiting": N, "events": N, ...}`
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from exporter.domain.model import SECOND_US
from exporter.runtime.clock import Clock
from exporter.simulator.answers import write_error
from exporter.simulator.faults import FaultBoard, read_order
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.status_api import JSON
from exporter.simulator.timeline import TrafficKind
from exporter.simulator.webhooks import WebhookSender, read_webhook_order

MAX_SEND = 100_000
MAX_CAMPAIGN_CHARACTERS = 128
_SCENARIO_PATH = "/-/scenario/"
_SEND_KEYS = {"kind", "count", "campaign"}


class ControlApi:
    """Answers anyone who drives the simulation."""

    def __init__(
        self, sent: SentMessages, faults: FaultBoard, webhooks: WebhookSender, wire_clock: Clock
    ) -> None:
        """Drive these parts; `wire_clock` times the faults."""
        self._sent = sent
        self._faults = faults
        self._webhooks = webhooks
        self._wire_clock = wire_clock
        self._handlers: Mapping[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            ("POST", "/-/send"): self._send,
            ("GET", "/-/scenario"): self._list_scenarios,
            ("POST", "/-/fault"): self._order_fault,
            ("DELETE", "/-/fault"): self._clear_faults,
            ("POST", "/-/webhook"): self._order_webhooks,
            ("DELETE", "/-/webhook"): self._stop_webhooks,
            ("GET", "/-/webhook"): self._count_webhooks,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Carry out one request."""
        method, path = request.method, request.path
        if method == "POST" and path.startswith(_SCENARIO_PATH):
            return await self._switch_scenario(request, path.removeprefix(_SCENARIO_PATH))
        handler = self._handlers.get((method, path))
        if handler is None:
            return _refuse(HTTPStatus.NOT_FOUND, "no such path, or not with this method")
        return await handler(request)

    async def _send(self, request: web.BaseRequest) -> web.Response:
        order = await _read_object(request)
        if order is None or not order.keys() <= _SEND_KEYS:
            return _refuse(HTTPStatus.BAD_REQUEST, "needs a JSON object with kind, count and maybe campaign")
        kind = order.get("kind")
        count = order.get("count", 1)
        campaign = order.get("campaign", kind)
        if kind not in list(TrafficKind):
            return _refuse(HTTPStatus.BAD_REQUEST, f"kind must be one of {', '.join(TrafficKind)}")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_SEND:
            return _refuse(HTTPStatus.BAD_REQUEST, f"count must be a whole number from 1 to {MAX_SEND}")
        if not isinstance(campaign, str) or not 1 <= len(campaign) <= MAX_CAMPAIGN_CHARACTERS:
            return _refuse(HTTPStatus.BAD_REQUEST, "campaign must be a short text")
        return _write_json({"ids": self._sent.send(TrafficKind(kind), campaign, count)})

    async def _list_scenarios(self, _: web.BaseRequest) -> web.Response:
        summaries = {name: scenario.summary for name, scenario in SCENARIOS.items()}
        now_seconds = self._sent.clock.now() / SECOND_US
        return _write_json({"current": self._sent.scenario.name, "scenarios": summaries, "now": now_seconds})

    async def _switch_scenario(self, request: web.BaseRequest, name: str) -> web.Response:
        if name not in SCENARIOS:
            return _refuse(HTTPStatus.NOT_FOUND, f"no such scenario; there are {', '.join(SCENARIOS)}")
        self._sent.switch_scenario(name)
        return await self._list_scenarios(request)

    async def _order_fault(self, request: web.BaseRequest) -> web.Response:
        order = await _read_object(request)
        fault = "needs a JSON object" if order is None else read_order(order)
        if isinstance(fault, str):
            return _refuse(HTTPStatus.BAD_REQUEST, fault)
        self._faults.add(fault, self._wire_clock.monotonic())
        return _write_json({})

    async def _clear_faults(self, _: web.BaseRequest) -> web.Response:
        self._faults.clear()
        return _write_json({})

    async def _order_webhooks(self, request: web.BaseRequest) -> web.Response:
        wanted = await _read_object(request)
        order = "needs a JSON object" if wanted is None else read_webhook_order(wanted)
        if isinstance(order, str):
            return _refuse(HTTPStatus.BAD_REQUEST, order)
        self._webhooks.order(order)
        return _write_json({})

    async def _stop_webhooks(self, _: web.BaseRequest) -> web.Response:
        self._webhooks.order(None)
        return _write_json({})

    async def _count_webhooks(self, _: web.BaseRequest) -> web.Response:
        return _write_json({"waiting": self._webhooks.waiting, **self._webhooks.counts})


async def _read_object(request: web.BaseRequest) -> Mapping[str, Any] | None:
    try:
        value = json.loads(await request.read())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _write_json(value: object) -> web.Response:
    return web.Response(body=json.dumps(value, separators=(",", ":")).encode(), content_type=JSON)


def _refuse(code: int, message: str) -> web.Response:
    return web.Response(status=code, body=write_error("INVALID_REQUEST", message), content_type=JSON)
