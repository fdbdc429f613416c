"""`segue seed --clone`: the standby becomes a copy of the whole active server by MySQL's CLONE plugin.

The clone wipes what Segue keeps on the standby, so how far it is stands in the journal, fact "clone": `state` is
`cloning` or `failed`, `token` names this one. The token is written to the source before the clone begins and so arrives
with it: a standby that has the token holds a complete clone that was made after that moment, and one that has not, has
not. So whatever was killed, the next look knows what to do. As long as the fact is there nothing is fed to the standby
and no switchover is made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, Final, Protocol

from segue.config import Config
from segue.copy import record
from segue.copy.desk import CLONING, EMPTY, Desk
from segue.errors import ConnectionLost, Refused, SegueError, ServerError
from segue.flavour import cloning, detect
from segue.log import get_logger
from segue.replicate import progress
from segue.roles import mapping_from
from segue.sql import Connection, connect, quote
from segue.switchover.journal import Journal
from segue.switchover.server import Server
from segue.switchover.wayback import WayBack

log = get_logger("seed")
TOKENS: Final = "`segue`.`clone`"
LOOK: Final = 0.3
TRIES: Final = 5
_FACT: Final = "clone"
_DOWN = "waits for {where}: a server shuts itself down when it is cloned. Start it there, if nothing does that by itself"


class World(Protocol):
    """What control lends."""

    config: Config
    desk: Desk

    @property
    def source(self) -> Server: ...
    @property
    def target(self) -> Server: ...
    @property
    def deployment(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def way_back(self) -> WayBack: ...
    def spawn(self, job: Any) -> asyncio.Task[Any]: ...


class Cloning:
    """One clone at a time. `done` is called when the standby is a copy and has its progress."""

    def __init__(self, world: World, journal: Journal, done: Callable[[], Awaitable[None]]) -> None:
        self._world = world
        self._journal = journal
        self._done = done
        self._cancelled = False
        self._task: asyncio.Task[Any] | None = None
        fact = journal.fact(_FACT)
        self._shown: dict[str, Any] | None = None
        if fact is not None:
            self._show(state=self.state, error=fact.get("error"), mend=fact.get("mend"))

    @property
    def state(self) -> str | None:
        """None, or what the desk's state is because of us: cloning, or cancelled after one that failed."""
        fact = self._journal.fact(_FACT)
        if fact is None:
            return None
        return CLONING if fact["state"] == CLONING else "cancelled"

    def status(self) -> dict[str, Any] | None:
        """The same document as another seed's; None when none was asked for."""
        return self._shown

    def forget(self) -> None:
        """Another kind of seed was ordered: it makes good what a failed clone left."""
        self._shown = None
        self._journal.set_fact(_FACT, None)

    # -- commands ------------------------------------------------------------------------------------------

    async def order(self, *, users: bool, overwrite: bool, again: bool) -> None:
        """Look whether it can be, and begin. Raises Refused with one sentence, nothing changed."""
        del users  # they come along
        world = self._world
        if world.desk.state not in EMPTY and not again:
            raise Refused("the standby is filled and follows the stream", mend="To fill it anew: segue seed --clone --again")
        config, source, target = world.config, world.source, world.target
        if config.replicate.table:
            raise Refused("a clone is the same on both sides, and replicate.table maps tables to others",
                          mend="segue seed without --clone makes them by the mapping")  # fmt: skip
        one, two = source.side.endpoint, target.side.endpoint
        if (one.user, one.password) != (two.user, two.password):
            raise Refused("a clone brings the source's accounts, and Segue's account is not the same on both sides",
                          mend="Configure the same user and password for blue and green")  # fmt: skip
        here, there = await source.get(), await target.get()
        if (found := await cloning.obstacle(here, there)) is not None:
            raise Refused(found.sentence, mend=found.mend)
        schemas = await cloning.foreign_schemas(there[1])
        if schemas and not (overwrite or again):
            raise Refused(f"a clone would remove what the standby holds: schema {', '.join(schemas[:5])}",
                          mend="Drop that there, or: segue seed --clone --overwrite")  # fmt: skip
        assert source.identity is not None
        assert target.identity is not None
        token = token_hex(16)
        await _write_token(here[1], world.deployment, token)
        self._journal.set_fact(_FACT, {"state": CLONING, "token": token, "source": source.identity.source_id,
                                       "target": target.identity.source_id})  # fmt: skip
        self.resume()

    def resume(self) -> None:
        """Go on with one that is under way, at a start of the daemon too."""
        if self.state == CLONING and (self._task is None or self._task.done()):
            self._shown, self._cancelled = _document(CLONING), False
            self._task = self._world.spawn(self._run())

    async def command(self, action: str) -> None:
        """`cancel` kills it where it is still copying. Raises Refused for all else that cannot be while it is under way."""
        if action == "start":
            raise Refused("the standby is being cloned already", mend="segue seed --follow shows how far it is")
        if action != "cancel":
            raise Refused("a clone cannot be paused", mend="segue seed --cancel stops it; clone_max_data_bandwidth slows it")
        conn = await self._connect()
        try:
            at_work = await cloning.under_way(conn)
            if at_work is None:
                raise Refused("the clone is complete or not begun: it cannot be stopped now", mend="Wait for its end")
            self._cancelled = True
            await conn.query(f"KILL QUERY {at_work}")
        finally:
            await conn.close()

    # -- running -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                if await self._step():
                    return
            except ConnectionLost as error:
                self._show(waits_for=f"waits for {error.where}: {error.text}")
            except SegueError as error:
                self._fail(SegueError("the clone was cancelled") if self._cancelled else error)
                return
            except Exception as error:  # a fault of ours must be seen, and not be a clone that stands still
                log.exception("the clone met what it does not know")
                self._fail(SegueError(f"an unexpected {type(error).__name__}: {error}", mend="The log has more; please report it"))
                return
            await asyncio.sleep(LOOK)

    async def _step(self) -> bool:
        """What is to be done next; True when all is. A server that cannot be asked is waited for."""
        fact = dict(self._journal.fact(_FACT))
        try:
            conn = await self._connect()
        except ConnectionLost:
            down = _DOWN if fact.get("tries") else "waits for {where}, which cannot be reached"
            self._show(waits_for=down.format(where=self._world.target.side.where))
            return False
        try:
            identity = (await (await detect(conn)).identify(conn)).source_id
            if identity != fact["target"]:
                raise ServerError(0, f"another server answers here now: {identity}, it was {fact['target']}", where=conn.where,
                                  mend="Bring the right one back; then segue seed --clone")  # fmt: skip
            if await _has_token(conn, self._world.deployment, fact["token"]):
                await self._finish(conn, fact)
                return True
            if await cloning.under_way(conn) is not None:  # of an earlier process of ours
                await self._measure(conn)
                return False
            if fact.get("complete"):
                raise ServerError(0, "the clone ended without an error and is not of the active side", where=conn.where,
                                  mend="Does its address mean the same server when it is asked from the standby?")  # fmt: skip
            if (tries := int(fact.get("tries", 0))) >= TRIES:
                raise ServerError(0, f"the clone was begun {tries} times and never came to its end", where=conn.where,
                                  mend="The error log there says why; then segue seed --clone")  # fmt: skip
            fact["tries"] = tries + 1
            self._journal.set_fact(_FACT, fact)
            await self._clone(conn, fact)
            return False
        finally:
            conn.abandon()

    async def _clone(self, conn: Connection, fact: dict[str, Any]) -> None:
        log.info("cloning begins", source=self._world.source.label, target=self._world.target.label)
        measuring = asyncio.create_task(self._measure_on())
        try:
            await cloning.run(conn, self._world.source.side.endpoint)
        except ConnectionLost:
            pass  # it restarts, or died: the token tells
        except ServerError as error:
            if error.code == cloning.BUSY:
                return
            if error.code != cloning.NOT_RESTARTED:
                raise
            self._journal.set_fact(_FACT, fact | {"complete": True})
            log.warning("the standby is cloned and has shut itself down: nothing there starts it again by itself",
                        side=self._world.target.label)  # fmt: skip
        finally:
            measuring.cancel()

    async def _finish(self, conn: Connection, fact: dict[str, Any]) -> None:
        """The standby is a copy: say so there, and where in the source's binlog it was made."""
        world = self._world
        world.desk.state = CLONING
        position = await cloning.cloned_position(conn, fact["target"])
        await world.target.unfence(writable=False)
        events = await cloning.disable_events(conn)
        notes = [f"{events} events were disabled on the standby"] if events else []
        mapping = mapping_from(world.source.label, world.config.replicate)
        extra = [s for s in await cloning.source_schemas(conn) if not mapping.wants_schema(s)]
        if extra:
            notes.append(f"cloned too, and not kept equal from now on: schema {', '.join(extra[:5])}")
        await record.ensure(conn)
        await record.begin(conn, world.deployment, "done", {"clone": True})
        await record.update(conn, world.deployment, notes=notes)
        await progress.ensure(conn)
        await progress.initialise(conn, world.deployment, fact["source"], position, world.epoch)
        world.way_back.reseeded()
        self._journal.set_fact(_FACT, None)
        for note in notes:
            log.warning("seed", note=note)
        log.info("the standby is a clone", position=position, side=world.target.label)
        self._show(state="done", percent=100.0, waits_for=None, notes=notes)
        with contextlib.suppress(SegueError):  # they mean nothing any more
            for one in (conn, await world.source.connection()):
                await one.query(f"DROP TABLE IF EXISTS {TOKENS}")
        await self._done()

    def _fail(self, error: SegueError) -> None:
        fact = dict(self._journal.fact(_FACT))
        mend = error.mend or "Mend that, then segue seed --clone; or segue seed without it"
        self._journal.set_fact(_FACT, {**fact, "state": "failed", "error": error.message, "mend": mend})
        log.error("the clone has failed; the standby may be empty now", error=error.message, mend=mend)
        self._show(state="cancelled", error=error.message, mend=mend, waits_for=None)
        self._world.desk.state = "cancelled"

    async def _connect(self) -> Connection:
        side = self._world.target.side
        return await connect(side.endpoint, where=side.where, program="segue-clone")

    async def _measure_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            with contextlib.suppress(SegueError):
                conn = await self._connect()
                try:
                    await self._measure(conn)
                finally:
                    conn.abandon()

    async def _measure(self, conn: Connection) -> None:
        seen = await cloning.progress(conn)
        self._show(percent=seen["percent"], bytes=seen["bytes"], bytes_per_second=seen["rate"], waits_for=None)

    def _show(self, **facts: Any) -> None:
        self._shown = (self._shown or _document(CLONING)) | facts


def _document(state: str) -> dict[str, Any]:
    return {"state": state, "percent": 0.0, "rows": 0, "bytes": 0, "bytes_per_second": 0, "rows_per_second": 0,
            "seconds_left": None, "waits_for": None, "error": None, "mend": None, "notes": [], "tables": []}  # fmt: skip


async def _write_token(source: Connection, deployment: str, token: str) -> None:
    await source.query("CREATE SCHEMA IF NOT EXISTS `segue`")
    await source.query(
        f"CREATE TABLE IF NOT EXISTS {TOKENS} (deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
        " PRIMARY KEY, token CHAR(32) CHARACTER SET ascii NOT NULL) ENGINE=InnoDB"
    )
    await source.query(f"REPLACE INTO {TOKENS} (deployment, token) VALUES ({quote(deployment)}, {quote(token)})")


async def _has_token(target: Connection, deployment: str, token: str) -> bool:
    try:
        found = await target.value(f"SELECT token FROM {TOKENS} WHERE deployment = {quote(deployment)}")
    except ServerError as error:
        if error.code in (1146, 1049):
            return False
        raise
    return found is not None and str(found) == token
