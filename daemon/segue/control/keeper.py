"""Sees, all the time, that each side is what its role says: one writable, one not, and both ours.

A server that restarts comes up as its configuration says. With `read_only = ON` there, which docs/failures.md asks
for, it comes up closed, and the keeper opens the active one: only after a restart, since read-only that was set by
hand is somebody's will. A standby that came up writable is closed at once. The keeper has connections of its own,
so that a lost answer of its own never costs a switchover the connection that holds its fence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from segue.errors import SegueError
from segue.log import get_logger
from segue.switchover.claim import Claim, NotOwner
from segue.switchover.journal import Journal
from segue.switchover.server import Server

log = get_logger("control")
LOOK_SECONDS = 0.5
LOOK_AGAIN_SECONDS = 0.1
LIMIT = 5.0
GONE_SECONDS = 3.0
"""A side that could not be asked for so long is named in `status`."""
_CLOCK_TOLERANCE = 3.0


class World(Protocol):
    """What the keeper asks control."""

    @property
    def source(self) -> Server: ...
    @property
    def target(self) -> Server: ...
    @property
    def switching(self) -> bool: ...


class Keeper:
    """`turn` is held around each look, and by a switchover for as long as it lasts."""

    def __init__(self, world: World, journal: Journal, claim: Claim, lost: Callable[[NotOwner], None]) -> None:
        self._world = world
        self._journal = journal
        self._claim = claim
        self._lost = lost
        self._own: dict[str, Server] = {}
        self._told: dict[str, str] = {}
        self._gone: dict[str, tuple[float, str]] = {}
        """Sides that cannot be asked: since which monotonic second, and the last reason."""
        self._short: dict[str, str] = {}
        """Sides that wait for room on their disks, and what to say of each."""
        self._in_doubt: set[str] = set()
        """Sides that a lost statement of ours may yet close."""
        self.turn = asyncio.Lock()

    async def run(self) -> None:
        """Both sides, each at its own pace: one that does not answer must not keep us from the other."""
        await asyncio.gather(self._watch(active=True), self._watch(active=False))

    async def close(self) -> None:
        for server in self._own.values():
            await server.close()
        self._own.clear()

    async def _watch(self, *, active: bool) -> None:
        while True:
            try:
                well = await self.look(active=active)
            except Exception:  # a bug in one look must not end the looking
                log.exception("keeper")
                well = True
            await asyncio.sleep(LOOK_SECONDS if well else LOOK_AGAIN_SECONDS)

    async def look(self, *, active: bool) -> bool:
        """One look at one side; False when it could not be asked."""
        side = self._world.source if active else self._world.target
        own = self._own.setdefault(side.label, Server(side.side))
        if own.side != side.side:
            await own.close()
            own = self._own[side.label] = Server(side.side)
        try:
            async with asyncio.timeout(LIMIT):
                await self._look_for_room(own)
                if self._world.switching:  # it has the turn
                    self._gone.pop(side.label, None)
                    return True
                async with self.turn:
                    if self._world.switching or side.label != (self._world.source if active else self._world.target).label:
                        return True
                    await self._claim.verify(await own.connection())
                    await (self._active(own) if active else self._standby(own))
        except NotOwner as error:
            self._lost(error)
            return False
        except (SegueError, TimeoutError) as error:
            if self._world.switching and isinstance(error, TimeoutError):
                return False  # maybe the switchover took the turn meanwhile; the next look does not wait for it
            text = str(error) or f"no answer within {LIMIT:g} s"
            self._gone[side.label] = self._gone.get(side.label, (time.monotonic(), ""))[0], text
            self._say(side.label, f"cannot be asked now: {text}", debug=True)
            return False
        self._gone.pop(side.label, None)
        return True

    async def _look_for_room(self, server: Server) -> None:
        """Also in a switchover, which may be what waits for it."""
        flavour, conn = await server.get()
        if (found := await flavour.short_of_room(conn)) is None:
            self._short.pop(server.label, None)
            return
        if server.label not in self._short:
            log.error("a server waits for room on its disk", side=server.label, what=found)
        self._short[server.label] = (
            f"{server.side.where}: {found}. Make room there; the server itself looks again once a minute"
        )

    async def _standby(self, server: Server) -> None:
        if not await server.held_by():
            log.warning("the standby accepted writes, making it read-only", side=server.label)
            self._in_doubt.add(server.label)
            await server.unfence(writable=False)
            self._in_doubt.discard(server.label)

    async def _active(self, server: Server) -> None:
        flavour, conn = await server.get()
        held = await flavour.held_by(conn)
        started = await flavour.started(conn)
        known = self._journal.fact("opened") or {}
        restarted = known.get("side") == server.label and abs(float(known["started"]) - started) > _CLOCK_TOLERANCE
        if held and (restarted or server.label in self._in_doubt):
            log.warning("the active side came up read-only after a restart, opening it", side=server.label)
            await server.unfence(writable=True)
            self._in_doubt.discard(server.label)
            held = []
        if held:
            self._say(server.label, f"the active side refuses writes: {', '.join(held)} is on, and Segue did not set it."
                      " If nobody means it: SET GLOBAL read_only = OFF; there")
            return
        if (short := self._short.get(server.label)) is not None:
            self._say(server.label, short)
            return
        self._told.pop(server.label, None)
        if known.get("side") != server.label or restarted:
            self._journal.set_fact("opened", {"side": server.label, "started": started})

    def refusing(self, label: str) -> str | None:
        """Why the active side accepts nothing, for status."""
        return self._told.get(label)

    def short_of_room(self) -> dict[str, str]:
        """Sides that wait for room on their disks, each with what shows it and what to do, for status."""
        return dict(sorted(self._short.items()))

    def unreachable(self) -> dict[str, str]:
        """Sides that have not answered for a while, each with the reason, for status."""
        now = time.monotonic()
        return {side: why for side, (since, why) in sorted(self._gone.items()) if now - since >= GONE_SECONDS}

    def _say(self, label: str, text: str, *, debug: bool = False) -> None:
        if self._told.get(label) == text:
            return
        if debug:
            log.debug("keeper", side=label, what=text)
            return
        self._told[label] = text
        log.error("keeper", side=label, what=text)
