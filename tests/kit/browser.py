"""A real browser without a window: headless Chromium, spoken to over its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from tests.kit.processes import Running, environment
from tests.kit.waiting import HANG_SECONDS, until

PROGRAM = "chromium"
"""For `@pytest.mark.needs`."""
FLAGS = (
    "--headless",
    "--no-sandbox",  # which can't be set up where tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    # It looks for nothing but what it is asked for.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LOUD = frozenset({"warning", "error"})


class Tab:
    """One tab; `complaints` is all that its console said of what it loaded, and all that was blocked."""

    def __init__(self, wire: ClientWebSocketResponse) -> None:
        """Speak over `wire`."""
        self._wire = wire
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.requested: list[str] = []
        """The addresses of all that it loaded."""

    async def listen(self) -> None:
        """Take in what the browser says, until the wire is closed."""
        async for said in self._wire:
            message = said.json()
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._hear(message["method"], message.get("params", {}))

    def _hear(self, event: str, told: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Log.entryAdded" and told["entry"]["level"] in _LOUD:
            self.complaints.append(told["entry"]["text"])
        elif event == "Audits.issueAdded":
            self.complaints.append(str(told["issue"]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and told["type"] in _LOUD:
            self.complaints.append(str(told["args"]))
        elif event == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])

    async def tell(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call one method of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._wire.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(HANG_SECONDS):
            message = await answer
        assert "error" not in message, message["error"]
        result: dict[str, Any] = message["result"]
        return result

    async def begin(self) -> None:
        """Let it tell what happens."""
        for domain in ("Page", "Log", "Runtime", "Audits", "Network"):
            await self.tell(f"{domain}.enable")

    async def look(self, *, width: int, scheme: str = "light", height: int = 800) -> None:
        """Be a window of that size, of somebody who prefers `light` or `dark`."""
        await self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.tell(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    async def open(self, url: str) -> None:
        """Load a page to its end."""
        self._loaded.clear()
        await self.tell("Page.navigate", url=url)
        async with asyncio.timeout(HANG_SECONDS):
            await self._loaded.wait()

    async def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """What an expression is on the page; its own Content-Security-Policy does not hold for this."""
        # As if somebody had touched the page: else the browser distrusts a click.
        answer = await self.tell(
            "Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def press(self, selector: str) -> None:
        """Click on something that opens another page."""
        self._loaded.clear()
        await self.value(f"document.querySelector({selector!r}).click()")
        async with asyncio.timeout(HANG_SECONDS):
            await self._loaded.wait()

    async def picture(self, *, whole: bool = True) -> bytes:
        """The page as PNG: all of it, or what the window shows."""
        answer = await self.tell("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """A tab of a browser that was never used, until the block ends."""
    profile = folder / "profile"
    argv = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    with (
        # The path of its socket has to be short.
        TemporaryDirectory(prefix="chromium-") as temporary,
        Running(argv, folder / "chromium.log", env=environment(TMPDIR=temporary)) as process,
    ):
        port_file = profile / "DevToolsActivePort"

        def port() -> str:
            assert process.runs, process.said()
            return port_file.read_text("ascii").partition("\n")[0] if port_file.exists() else ""

        await asyncio.to_thread(until, port, "Chromium listens")
        base = f"http://127.0.0.1:{port()}"
        async with ClientSession() as session:
            async with session.get(f"{base}/json/list") as answer:
                targets = await answer.json()
            url = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as wire, asyncio.TaskGroup() as tasks:
                tab = Tab(wire)
                listening = tasks.create_task(tab.listen())
                try:
                    await tab.begin()
                    yield tab
                finally:
                    listening.cancel()
