"""The simulated provider on a socket.

Requests go straight from aiohttp's parser to `StatusApi`, without routes or
middlewares: this server is also what the exporter is benchmarked against.
"""

import asyncio
import logging
import socket
import struct
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Self

from aiohttp import web

from exporter.runtime.addresses import format_address
from exporter.runtime.clock import Clock, SteadyClock
from exporter.runtime.errors import ListenError
from exporter.simulator.answers import write_error
from exporter.simulator.control_api import ControlApi
from exporter.simulator.faults import FaultBoard, FaultKind, FaultOrder
from exporter.simulator.sent_messages import SentMessages
from exporter.simulator.settings import SimulatorSettings
from exporter.simulator.status_api import JSON, StatusApi
from exporter.simulator.webhooks import WebhookSender

_log = logging.getLogger("smsbat.simulator")

STATUS_PATH = "/bat/message/"
KEY_HEADER = "X-Authorization-Key"
_CONTROL_PATH = "/-/"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds: the kernel sends RST instead of FIN."""
_SHUTDOWN_SECONDS = 0.1
"""How long to wait for answers under way, twice: some hang on purpose."""


class Simulator:
    """A provider that listens while the context is entered."""

    def __init__(
        self, settings: SimulatorSettings, *, clock: Clock | None = None, wire_clock: Clock | None = None
    ) -> None:
        """Prepare it; the clocks (of messages, and of requests) are real unless given.

        Raises KeyError for a scenario that doesn't exist.
        """
        self._settings = settings
        self._wire_clock = wire_clock or SteadyClock()
        clock = clock or SteadyClock(settings.speed)
        self.sent_messages = sent = SentMessages(settings.seed, clock, settings.scenario)
        self._status_api = StatusApi(settings, sent, self._wire_clock)
        self.webhooks = WebhookSender(sent, self._wire_clock, settings.seed)
        self.webhooks.order(settings.webhook)
        self._control_api = ControlApi(sent, self._status_api.faults, self.webhooks, self._wire_clock)
        self._exits = AsyncExitStack()
        self.url = ""
        """`http://HOST:PORT` while it listens."""

    @property
    def faults(self) -> FaultBoard:
        """What goes wrong with status requests, by the wire clock."""
        return self._status_api.faults

    async def __aenter__(self) -> Self:
        """Listen. Raises ListenError when the address can't be bound."""
        # A client that gives up on a hanging answer ends its handler, or they would pile up.
        server = web.Server(self.answer, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        async with AsyncExitStack() as exits:
            exits.push_async_callback(runner.cleanup)
            host, port = self._settings.host, self._settings.port
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                message = (
                    f"the simulator can't listen on {format_address(host, port)}: {error.strerror or error}"
                )
                hint = "stop what uses it, or choose another address with --listen"
                raise ListenError(message, hint=hint) from error
            self.url = f"http://{format_address(host, runner.addresses[0][1])}"
            tasks = await exits.enter_async_context(asyncio.TaskGroup())
            exits.callback(tasks.create_task(self.webhooks.run()).cancel)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._exits.aclose()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request; cancelled when its connection ends before that."""
        path = request.path
        if path.startswith(STATUS_PATH):
            return await self._answer_status(request, path[len(STATUS_PATH) :])
        if path.startswith(_CONTROL_PATH):
            return await self._control_api.answer(request)
        return _refuse(HTTPStatus.NOT_FOUND, "NOT_FOUND")

    async def _answer_status(self, request: web.BaseRequest, message_id: str) -> web.Response:
        if request.method != "GET":
            return _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED")
        headers = request.headers
        reply = self._status_api.decide(message_id, headers.get(KEY_HEADER), headers.get("Authorization"))
        if reply.fault is not None:
            await self._carry_out(reply.fault, request.transport)
        response = web.Response(status=reply.code, body=reply.body, content_type=reply.content_type)
        if reply.retry_after:
            response.headers["Retry-After"] = reply.retry_after
        return response

    async def _carry_out(self, fault: FaultOrder, transport: asyncio.Transport | None) -> None:
        """Wait out a delay; or end the connection as the fault says, and never return."""
        if fault.kind is FaultKind.DELAY:
            await self._wire_clock.sleep(fault.delay_us)
            return
        if transport is not None and fault.kind is FaultKind.RESET:
            _reset(transport)
        if transport is not None and fault.kind is FaultKind.DROP_ALL:
            transport.close()
        # The end of the connection cancels this handler.
        await asyncio.get_running_loop().create_future()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def _refuse(code: int, word: str) -> web.Response:
    return web.Response(status=code, body=write_error(word, "no such path or method"), content_type=JSON)


async def serve(settings: SimulatorSettings, stop: asyncio.Event) -> None:
    """Run the simulated provider until `stop` is set. Raises ListenError when the address can't be bound."""
    async with Simulator(settings) as provider:
        fields = {"url": provider.url, "scenario": settings.scenario}
        _log.info("The simulated provider is ready", extra={"event": "simulator_ready", "fields": fields})
        await stop.wait()
