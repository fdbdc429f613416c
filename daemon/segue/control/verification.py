"""The verifying process as control sees it: started when first needed, asked, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from segue.config import Config
from segue.errors import PeerGone, Refused, SegueError
from segue.ipc import Channel
from segue.log import get_logger
from segue.supervisor import START_LIMIT, Child
from segue.switchover.server import Server

log = get_logger("control")
STATUS_LIMIT = 2.0
PREPARE = 2.0


class Verification:
    """`applied(position, seconds)` waits until the target has applied a position of the source."""

    def __init__(self, deployment: str, applied: Callable[[str, float], Awaitable[dict[str, Any]]]) -> None:
        self._deployment = deployment
        self._applied = applied
        self._child = Child("verify", "segue.verify", self._begin, self._asked)
        self._launched = False
        self._followed: dict[str, Any] | None = None

    async def follow(self, config: Config, source: Server, target: Server) -> None:
        """Compare continuously in this direction, if the configuration says so; or no more. Never raises."""
        wanted = self._order(config, source, target) if config.verify.continuous else {}
        if not wanted and not self._followed:
            return
        self._followed = wanted
        try:
            await self._launch()
            await self._child.request("follow", limit=STATUS_LIMIT, **wanted)
        except (SegueError, TimeoutError) as error:
            log.warning("the continuous comparison does not run", error=str(error))

    async def prepare(self, policy: str) -> None:
        """Before clients are held: have as little as possible in doubt, in `PREPARE` seconds at most.

        Raises Refused where the policy requires a proof that the pause could not bring.
        """
        if policy == "off" or not self._followed:
            return
        found = await self._about("prepare", PREPARE + STATUS_LIMIT, within=PREPARE)
        if policy != "require":
            return
        doubts = found.get("tables_in_doubt", ["all of them"])
        if doubts:
            raise Refused(f"not every table has been compared yet: {', '.join(doubts[:5])}",
                          mend="segue status shows how far it is; raise verify.load, or set verify.at_switchover")  # fmt: skip
        if found.get("differences"):
            raise Refused(f"{found['differences']} rows differ", mend="segue verify shows them, segue verify --repair copies them")

    async def settle(self, policy: str, position: str, budget: float) -> dict[str, Any] | None:
        """In the pause, both sides standing still at `position`: compare what is in doubt, within `budget` seconds.

        None where nothing is compared.
        """
        if policy == "off" or not self._followed:
            return None
        found = await self._about("settle", budget + 0.05, position=position, budget=budget)
        return found or {"outcome": "incomplete", "error": "the verifying process does not answer"}

    async def _about(self, op: str, seconds: float, **args: Any) -> dict[str, Any]:
        if not self._followed:
            return {}
        try:
            async with asyncio.timeout(seconds):
                return await self._child.request(op, **args)
        except (SegueError, TimeoutError) as error:
            log.warning("the comparison for the switchover failed", step=op, error=str(error))
            return {}

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
            return {"running": False, "progress": None, "continuous": None}
        try:
            return await self._child.request("status", limit=STATUS_LIMIT)
        except (PeerGone, TimeoutError):
            return {"running": False, "progress": None, "continuous": None}

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
        if self._followed:
            await channel.request("follow", limit=START_LIMIT, **self._followed)

    async def _asked(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        if op == "applied":
            return await self._applied(str(args["position"]), float(args["timeout"]))
        return None


def refusal(found: dict[str, Any]) -> str:
    """Why a comparison in the pause is no proof."""
    if found["outcome"] == "different":
        names = ", ".join(f"{r['table']} {r['key']}" for r in found["rows_that_differ"][:3])
        return f"{found['different']} rows differ: {names}"
    tables = ", ".join(found.get("tables_in_doubt", ())[:5])
    return f"not all could be compared within verify.pause_budget_ms: {found.get('error') or tables}"
