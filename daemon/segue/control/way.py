"""The way back, tended: an old side that did not answer is made to follow, a lost one is closed and looked through."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from segue.config import Config
from segue.errors import Refused, SegueError
from segue.log import get_logger
from segue.schema import Selection
from segue.switchover import foreign
from segue.switchover.claim import NotOwner
from segue.switchover.server import Server
from segue.switchover.stage import make_follow
from segue.switchover.wayback import WayBack

log = get_logger("control")
LOOK_SECONDS = 1.0
LIMIT = 15.0
SCAN_SECONDS = 5.0
KEPT = 20
"""Foreign transactions that are remembered by name."""


class World(Protocol):
    """What is asked of control."""

    @property
    def source(self) -> Server: ...
    @property
    def target(self) -> Server: ...
    @property
    def switching(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def deployment(self) -> str: ...
    @property
    def config(self) -> Config: ...
    @property
    def filled(self) -> bool: ...
    async def replication(self) -> dict[str, object]: ...
    async def stop_replication(self) -> None: ...
    async def start_replication(self, source: Server, target: Server, epoch: int) -> None: ...


class Way:
    """`turn` is the keeper's: nothing is done to a side while a switchover is under way."""

    def __init__(self, world: World, facts: WayBack, turn: asyncio.Lock) -> None:
        self._world = world
        self.facts = facts
        self._turn = turn
        self._scanned = 0.0

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LIMIT):
                    await self.look()
            except (NotOwner, SegueError, TimeoutError) as error:
                log.debug("the old side cannot be asked now", error=str(error))
            except Exception:  # a bug in one look must not end the looking
                log.exception("way back")
            await asyncio.sleep(LOOK_SECONDS)

    async def scan(self, limit: float = LIMIT / 2) -> None:
        """Look through what the standby has committed since the last time for transactions that are not ours.

        Also called by a switchover's own check, before anything is paused.
        """
        side = self._world.target
        known = self.facts.standby
        if not self.facts.open or self.facts.pending is not None:
            return
        if not self._world.filled:
            self.facts.journal.set_fact("standby", None)  # a copy has no mark: looking begins when it has ended
            return
        if known is None or known["side"] != side.label:
            self.facts.set_standby(side.label, await side.position(), [])
            return
        replicate = self._world.config.replicate
        found = await foreign.transactions(
            side, str(known["position"]), limit, Selection(replicate.schemas, replicate.exclude)
        )
        if side is not self._world.target:
            return
        if found.transactions:
            log.error("somebody else wrote to the standby", side=side.label, transactions=found.transactions[:3])
        if found.transactions or found.position != known["position"]:
            self.facts.set_standby(side.label, found.position, [*known["foreign"], *found.transactions][:KEPT])
        self._scanned = time.monotonic()

    async def look(self) -> None:
        """Do what is left to do, if the old side answers."""
        if time.monotonic() - self._scanned > SCAN_SECONDS and not self._world.switching:
            self._scanned = time.monotonic()
            await self.scan()
        if self.facts.pending is None and self.facts.lost is None:
            return
        async with self._turn:
            if self._world.switching:
                return
            if (place := self.facts.pending) is not None and place["side"] == self._world.target.label:
                await make_follow(self._world.target, self._world.deployment, place)
                self.facts.set_pending(None)
                log.info("the old side follows now", side=place["side"])
                await self._world.start_replication(self._world.source, self._world.target, self._world.epoch)
            elif (gone := self.facts.lost) is not None and "transactions" not in gone:
                await self._look_through(gone)

    async def _look_through(self, gone: dict[str, object]) -> None:
        """Close it to everybody, and list what it has that the active side never had."""
        server = self._world.target
        await server.fence(LIMIT)
        found = await foreign.transactions(server, str(gone["applied"]), LIMIT / 2)
        listed = found.transactions
        self.facts.set_lost(gone | {"transactions": listed, "all_listed": found.complete, "back": time.time()})
        log.error("the side that was given up is back and closed", side=server.label, lost_transactions=len(listed),
                  mend=f"segue status lists them; fill {server.label} anew with segue seed")  # fmt: skip

    async def finalize(self) -> dict[str, object]:
        """End the way back: the feed stops, the old side stays read-only, a rollback is refused from now on.

        Raises Refused when there is none, or it has ended already.
        """
        if self._world.switching:
            raise Refused("a switchover is under way", mend="Wait until it ends: segue status --watch")
        if self._world.epoch == 1:
            raise Refused("there was no switchover yet: nothing to finalise", mend="segue switchover makes the first one")
        self.facts.require()
        async with self._turn:
            status = await self._world.replication()
            await self._world.stop_replication()
            value = {
                "side": self._world.target.label, "epoch": self._world.epoch, "at": time.time(),
                "position": status.get("applied_position"),
            }  # fmt: skip
            self.facts.set_finalized(value)
            self.facts.set_pending(None)
        log.warning("finalised: nothing is replicated any more", **value)
        side = self._world.target.label
        return value | {
            "means": f"{side} stays read-only as it was at this moment and is not fed any more; segue rollback is"
            f" refused. To have a standby again, fill one with segue seed"
        }
