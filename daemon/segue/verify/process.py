"""The verifying process: a child of control, so that control answers whatever is being compared."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from segue.child import open_channel
from segue.errors import Refused, SegueError
from segue.ipc import Channel
from segue.log import get_logger
from segue.verify.continuous import Continuous
from segue.verify.session import Order, Session

log = get_logger("verify")
APPLY_WAIT: Final = 60.0
"""Seconds that the target may take to reach a position before a comparison gives up."""


class Verifier:
    """Handler of the channel to control."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._continuous: Continuous | None = None
        self._following: asyncio.Task[None] | None = None
        self._asked: dict[str, Any] = {}

    async def handle(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        match op:
            case "verify":
                return await self._verify(args)
            case "cancel":
                if self._task is not None:
                    self._task.cancel()
                return None
            case "follow":
                await self._follow(args)
                return None
            case "prepare":
                return await self._continuous.prepare(float(args["within"])) if self._continuous else {}
            case "settle":
                if self._continuous is None:
                    return {"outcome": "incomplete", "error": "nothing is compared continuously"}
                return await self._continuous.settle(str(args["position"]), float(args["budget"]))
            case "status":
                return self.status()
        raise SegueError(f"the verifier does not know '{op}'")

    async def applied(self, position: str) -> None:
        """`compare.Clock`: control asks the replicator."""
        assert self.channel is not None
        await self.channel.request("applied", position=position, timeout=APPLY_WAIT, limit=APPLY_WAIT + 5.0)

    def status(self) -> dict[str, Any]:
        session = self._session
        return {
            "running": session is not None,
            "progress": session.progress.message() if session else None,
            "continuous": self._continuous.status() if self._continuous else None,
        }

    async def _follow(self, args: dict[str, Any]) -> None:
        """Compare continuously as asked from now on; what is known stays known if that is the same as before."""
        if self._continuous is not None and args == self._asked:
            self._continuous.resume()
            return
        self._asked = args
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        self._continuous = self._following = None
        if args:
            self._continuous = Continuous(Order.from_message(args), self)
            self._following = asyncio.create_task(self._continuous.run())

    async def _verify(self, args: dict[str, Any]) -> dict[str, Any]:
        if self._session is not None:
            raise Refused("a comparison is running", mend="Wait for it: segue status shows how far it is")
        session = self._session = Session(
            Order.from_message(args), self, repair=bool(args.get("repair"))
        )
        self._task = asyncio.create_task(session.run([str(t) for t in args["tables"]]))
        try:
            return await self._task
        except asyncio.CancelledError:
            raise Refused("the comparison was cancelled") from None
        finally:
            self._session = self._task = None


async def main(fd: int) -> None:
    """Serve until control's end of the channel closes."""
    verifier = Verifier()
    channel = verifier.channel = await open_channel(fd, verifier.handle)
    await channel.wait_closed()
