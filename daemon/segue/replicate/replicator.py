"""Keeps a Feed running: retries, the status, and the answers to control."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from typing import Any, Final

from segue.binlog.events import BinlogError
from segue.binlog.positions import Position, parse
from segue.child import open_channel
from segue.copy.gate import GateEnded
from segue.copy.seeder import Seeder
from segue.errors import ConnectionLost, SegueError, ServerError
from segue.ipc import Channel
from segue.log import get_logger
from segue.replicate.assembler import Stop
from segue.replicate.feed import Feed
from segue.replicate.guard import Altered
from segue.replicate.order import Order

log = get_logger("replicate")
BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
LOOK_AGAIN: Final = 5.0
"""Seconds after which a stopped stream is tried again: the operator may have mended what stopped it."""
STREAMING_LAG: Final = 1.0
BUSY: Final = 10.0
"""Seconds of one batch after which status says so."""
TIDY: Final = 1.0
"""Seconds after a feed's end until its memory is given back: nobody waits for replication then."""
_BINLOG_UNREADABLE = 1236
_BUSY_MEND = (
    "SHOW PROCESSLIST there: a lock, a table without a key, a slow disk, or a full one (MySQL looks for room once a"
    " minute, by itself)"
)


class Replicator:
    """Handler of the channel to control, and the loop behind it."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._order: Order | None = None
        self._feed: Feed | None = None
        self._task: asyncio.Task[None] | None = None
        self._state = "idle"
        self._error: SegueError | None = None
        self._careful = False
        self._done: dict[str, int] = dict.fromkeys(("transactions", "rows", "bytes", "batches"), 0)
        self._applied: str | None = None
        self._changed = asyncio.Event()
        self._told: tuple[str, str | None] | None = None
        self._connects = 0
        self._seeder: Seeder | None = None
        self._heard: float | None = None

    async def handle(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        match op:
            case "start":
                await self._stop()
                self._order = Order.from_message(args)
                self._careful = False
                self._applied = None
                self._task = asyncio.create_task(self._keep_running(self._order), name="replication")
                return None
            case "stop":
                await self._stop()
                return None
            case "drain":
                return await self._drain(str(args["position"]), float(args["timeout"]))
            case "status":
                return self.status()
            case "skip_ddl":
                if self._feed is None:
                    raise SegueError("the stream waits at no DDL statement", mend="segue status shows where it stands")
                return {"skipped": self._feed.skip_ddl()}
            case "seed":
                return await self._seed(str(args["action"]))
        raise SegueError(f"the replicator does not know '{op}'")

    # -- running -------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if self._seeder is not None and not self._seeder.stream_wanted.is_set():
            task.cancel()
        if self._feed is None or not self._feed.live:
            task.cancel()
        else:
            self._feed.end()
        try:
            async with asyncio.timeout(4.0):
                await asyncio.shield(task)
        except TimeoutError:
            task.cancel()
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        await asyncio.wait({task})
        self._set("idle", None)

    async def _keep_running(self, order: Order) -> None:
        """The stream; before it and beside it a seed, when the target has one under way."""
        while not await self._find_seed(order):
            await asyncio.sleep(BACKOFF[-1])
        seeder = self._seeder
        if seeder is None:
            await self._stream(order)
            return
        seeding = asyncio.create_task(self._seed_and_go_on(seeder), name="seed")
        try:
            if await seeder.may_stream():
                await self._stream(order, beside=True)
            if self._task is asyncio.current_task():
                await seeding
        finally:
            seeding.cancel()
            await asyncio.wait({seeding})
        if self._task is asyncio.current_task() and seeder.report.state == "done":
            await self._stream(order)

    async def _find_seed(self, order: Order) -> bool:
        self._seeder = None
        try:
            if await Seeder.active(order):
                self._seeder = Seeder(order, self)
        except SegueError as error:
            self._set("connecting", error)
            return False
        return True

    async def _seed_and_go_on(self, seeder: Seeder) -> None:
        """When the seed is over the feed that ran beside it ends; another one begins, strictly, or none."""
        await seeder.run()
        await seeder.gate.end()
        if self._feed is not None:
            self._feed.end()

    async def _seed(self, action: str) -> dict[str, Any]:
        seeder = self._seeder
        if seeder is None or seeder.over.is_set():
            raise SegueError("no seed is under way", mend="segue seed begins one")
        if action == "cancel":
            await seeder.cancel()
        else:
            await seeder.pause(action == "pause")
        return seeder.status()

    def applied(self) -> Position | None:
        return self._feed.applied if self._feed is not None else None

    def hurry(self) -> None:
        if self._feed is not None:
            self._feed.hurry()

    async def _stream(self, order: Order, *, beside: bool = False) -> None:
        """Until it is told to end; `beside` a seed also when that is over."""
        failures = altered = 0
        seeder = self._seeder
        while self._task is asyncio.current_task():
            turns = seeder.gate if seeder is not None and not seeder.over.is_set() else None
            if turns is None and beside:
                return
            if self._state != "stopped":
                self._set("connecting", self._error)
            self._connects += 1
            feed = self._feed = Feed(order, self._advanced, careful=self._careful, turns=turns)
            began = time.monotonic()
            wait = LOOK_AGAIN
            try:
                await feed.run()
                return
            except GateEnded:
                return
            except Stop as error:
                if feed.batches or not self._careful:
                    # Once more in small steps, so that all before the culprit is applied and it alone is named.
                    wait = 0.0 if not self._careful else LOOK_AGAIN
                if self._careful:
                    self._set("stopped", error)
                self._careful = True
            except Altered as error:
                log.warning(error.message)
                altered = altered + 1 if feed.batches == 0 else 1
                wait = BACKOFF[0]
                if altered > len(BACKOFF):  # it does not come to an end by itself
                    self._set("stopped", error)
                    wait = LOOK_AGAIN
            except BinlogError as error:
                self._set("stopped", SegueError(f"the stream is not understood: {error}",
                                                mend="See docs/operating.md; nothing behind it was applied"))  # fmt: skip
            except ConnectionLost as error:
                failures = 0 if time.monotonic() - began > 10 else failures + 1
                wait = BACKOFF[min(failures, len(BACKOFF) - 1)]
                self._set("connecting", error)
            except ServerError as error:
                self._set("stopped", _explained(error))
            except Exception as error:  # a bug, or a driver's surprise: begun anew it may pass, and ended it would be silence
                log.exception("the stream met an error that it does not know and begins anew")
                self._set("stopped", SegueError(f"internal error: {error!r}", mend="The log has the details"))
            finally:
                self._absorb(feed)
            # A waiting loop is ended by cancelling; only a running feed ends by itself.
            await asyncio.sleep(wait)

    def _absorb(self, feed: Feed) -> None:
        for key in self._done:
            self._done[key] += int(getattr(feed, key))
        if feed.applied is not None:
            self._applied = feed.applied.text()
        self._heard = feed.heard or self._heard
        if self._feed is feed:
            self._feed = None
        # A feed's parts refer to each other; Python would keep many such feeds, with their buffers, before it looks.
        asyncio.get_running_loop().call_later(TIDY, gc.collect)

    def _advanced(self) -> None:
        self._changed.set()
        feed = self._feed
        if feed is None:
            return
        if feed.stopped is not None:
            self._set("stopped", feed.stopped)
        elif self._state == "connecting" or (self._state == "stopped" and (feed.transactions or not self._careful)):
            self._set("streaming", None)

    def _set(self, state: str, error: SegueError | None) -> None:
        self._state, self._error = state, error
        self._changed.set()
        told = (state, error.message if error else None)
        if told != self._told and self.channel is not None:
            self._told = told
            direction = self._order.direction if self._order else None
            self.channel.notify("state", state=state, direction=direction, error=told[1],
                                mend=error.mend if error else None)  # fmt: skip

    # -- answers -------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        feed = self._feed
        lag = feed.lag() if feed else None
        state = self._state
        if state == "streaming" and lag is not None and lag > STREAMING_LAG:
            state = "catching_up"
        totals = {k: v + (int(getattr(feed, k)) if feed else 0) for k, v in self._done.items()}
        applied = feed.applied.text() if feed and feed.applied else self._applied
        error = self._error
        if error is None and feed is not None and feed.busy() > BUSY:
            error = SegueError(f"the target has been at one batch for {feed.busy():.0f} s", mend=_BUSY_MEND)
        return {
            "state": state,
            "direction": self._order.direction if self._order else None,
            "lag_seconds": round(lag, 3) if lag is not None else None,
            "transactions": totals["transactions"],
            "rows": totals["rows"],
            "source_position": (feed.received() if feed else None) or applied,
            "applied_position": applied,
            "error": error.message if error else None,
            "mend": error.mend if error else None,
            "ddl": feed.ddl if feed else None,
            "bytes": totals["bytes"],
            "batches": totals["batches"],
            "connects": self._connects,
            **(feed.plans() if feed else {}),
            "cpu_seconds": round(time.process_time(), 3),
            "pid": os.getpid(),
            "seed": self._seeder.status() if self._seeder else None,
            "last_contact": feed.heard if feed is not None and feed.heard else self._heard,
        }

    async def _drain(self, position: str, timeout: float) -> dict[str, Any]:
        """Until exactly `position` is applied. Raises SegueError when it stops or takes longer than `timeout`."""
        wanted = parse(position, mariadb=_is_mariadb_text(position))
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._changed.clear()
                    feed = self._feed
                    if feed is not None and feed.applied is not None and feed.applied.contains(wanted):
                        return {"ms": round((time.monotonic() - began) * 1000, 1), "applied": feed.applied.text()}
                    if self._state == "stopped" and self._error is not None:
                        raise SegueError(f"replication stopped: {self._error.message}", mend=self._error.mend)
                    if feed is not None:
                        feed.hurry()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await self._changed.wait()
        except TimeoutError:
            have = self.status()["applied_position"]
            raise SegueError(
                f"the target did not reach {position} within {timeout:.1f} s; it has {have}",
                mend="Try again when replication has less to do",
            ) from None


def _is_mariadb_text(position: str) -> bool:
    return "-" in position and position.split("-", 1)[0].isdigit() and ":" not in position


def _explained(error: ServerError) -> ServerError:
    if error.code != _BINLOG_UNREADABLE:
        return error
    return ServerError(
        error.code, error.text, where=error.where,
        mend="The binlogs behind our position are gone or unreadable: fill the target anew",
    )  # fmt: skip


async def main(fd: int) -> None:
    """Serve until control's end of the channel closes."""
    replicator = Replicator()
    channel = replicator.channel = await open_channel(fd, replicator.handle)
    gc.collect()
    gc.freeze()  # what is there now stays: collections look only at what comes
    await channel.wait_closed()
