"""The verifying process as control sees it: started when first needed, asked, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from segue.config import Config
from segue.errors import PeerGone, Refused
from segue.ipc import Channel
from segue.supervisor import Child
from segue.switchover.server import Server

STATUS_LIMIT = 2.0
START_LIMIT = 20.0


class Verification:
    """`applied(position, seconds)` waits until the target has applied a position of the source."""

    def __init__(self, deployment: str, applied: Callable[[str, float], Awaitable[dict[str, Any]]]) -> None:
        self._deployment = deployment
        self._applied = applied
        self._child = Child("verify", "segue.verify", self._begin, self._asked)
        self._launched = False

    async def run(
        self, config: Config, source: Server, target: Server, tables: list[str], *, repair: bool = False
    ) -> dict[str, Any]:
        """Compare now; the document. Raises SegueError when it cannot be done."""
        await self._launch()
        return await self._child.request("verify", tables=tables, repair=repair, **self._order(config, source, target))

    async def cancel(self) -> None:
        await self._child.request("cancel", limit=STATUS_LIMIT)

    async def status(self) -> dict[str, Any]:
        if not self._launched:
            return {"running": False, "progress": None}
        try:
            return await self._child.request("status", limit=STATUS_LIMIT)
        except (PeerGone, TimeoutError):
            return {"running": False, "progress": None}

    async def end(self) -> None:
        if self._launched:
            await self._child.stop()

    async def _launch(self) -> None:
        if not self._launched:
            self._launched = True
            self._child.start()
        try:
            async with asyncio.timeout(START_LIMIT):
                await self._child.ready.wait()
        except TimeoutError:
            raise Refused("the verifying process does not start", mend="The daemon's log says why") from None

    def _order(self, config: Config, source: Server, target: Server) -> dict[str, Any]:
        return {
            "deployment": self._deployment, "source": source.backend(), "target": target.backend(),
            "replicate": config.replicate.model_dump(mode="json"), "verify": config.verify.model_dump(mode="json"),
        }  # fmt: skip

    async def _begin(self, channel: Channel) -> None:
        pass

    async def _asked(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        if op == "applied":
            return await self._applied(str(args["position"]), float(args["timeout"]))
        return None
