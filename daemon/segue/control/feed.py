"""The replicator: which way it runs, and that one that died goes on the same way."""

from __future__ import annotations

import asyncio
from typing import Any

from segue.config import Replicate, Seed
from segue.errors import PeerGone
from segue.ipc import Channel
from segue.log import get_logger
from segue.supervisor import START_LIMIT, Child
from segue.switchover.server import Server

log = get_logger("control")
STATUS_LIMIT = 2.0
STOP_LIMIT = 5.0
"""Seconds; the replicator itself gives its batch four."""


class FeedControl:
    """`direct` says from where to where; it runs from `start` until `stop`."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._child = Child("replicator", "segue.replicate", self._begin, self._notice)
        self._wanted = False
        self._order: dict[str, Any] = {}
        self._given: dict[str, Any] = {}
        """The order that the present process has."""
        self.seed = Seed()
        """How fast a standby is filled, as configured."""

    def direct(self, source: Server, target: Server, replicate: Replicate, epoch: int) -> None:
        """What the next start does."""
        self._order = {
            "deployment": self._deployment,
            "source": source.backend(),
            "target": target.backend(),
            "replicate": replicate.model_dump(mode="json"),
            "epoch": epoch,
            "seed": self.seed.model_dump(mode="json"),
        }

    def launch(self, *, run: bool) -> None:
        """Start the process, which begins as directed, or with `run` false waits for `start`."""
        self._wanted = self._wanted or run
        self._child.start()

    async def start(self) -> None:
        """As directed. One that runs so already is left alone: a switchover that was refused must not interrupt it."""
        if self._wanted and self._given == self._order:
            return
        self._wanted = True
        if self._child.ready.is_set():
            self._given = self._order
            try:
                await self._child.request("start", limit=10.0, **self._order)
            except PeerGone:
                pass  # the next one is told at its start
            except TimeoutError:
                await self._child.replace()

    async def stop(self) -> None:
        """Finish the batch under way and stand still. A process that does not answer in time is ended instead, which
        loses nothing: rows and progress are one transaction. A switchover that has committed must not wait for it."""
        self._wanted = False
        try:
            await self._child.request("stop", limit=STOP_LIMIT)
        except PeerGone:
            pass
        except TimeoutError:
            await self._child.replace()

    async def end(self) -> None:
        await self._child.stop()

    async def seed_action(self, action: str) -> dict[str, Any]:
        """pause, resume or cancel; how far it is."""
        return await self._child.request("seed", limit=10.0, action=action)

    async def status(self) -> dict[str, Any]:
        try:
            return await self._child.request("status", limit=STATUS_LIMIT)
        except (PeerGone, TimeoutError) as error:
            return {"state": "starting", "error": str(error) or "no answer from the replicator"}

    async def skip_ddl(self) -> dict[str, Any]:
        """Go on behind the DDL that is waited at. Raises SegueError when there is none."""
        return await self._child.request("skip_ddl", limit=STATUS_LIMIT)

    async def drain(self, position: str, timeout: float) -> dict[str, Any]:
        """Until the target has applied exactly up to `position`; a replicator that dies meanwhile is waited for."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await self._child.request("drain", position=position, timeout=timeout)
                except PeerGone:
                    # `ready` may still be set when the channel has closed: without the pause this would be a loop
                    # that lets nothing else run, the child's end included.
                    await asyncio.sleep(0.01)
                    await self._child.ready.wait()

    async def _begin(self, channel: Channel) -> None:
        if self._wanted:
            self._given = self._order
            await channel.request("start", limit=START_LIMIT, **self._order)

    def _notice(self, op: str, args: dict[str, Any]) -> None:
        if op == "state":
            log.info("replication", **{k: v for k, v in args.items() if k in ("state", "direction", "error", "mend")})
