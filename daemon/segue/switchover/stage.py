"""The actions of a switchover on the real world: two servers, the replicator, the proxy workers.

Each method may be done again after a crash, so each first asks the servers what is, and then does what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from segue.errors import Refused, SegueError
from segue.log import get_logger
from segue.replicate import progress
from segue.switchover import force, guardrails
from segue.switchover.claim import NotOwner
from segue.switchover.conductor import Run
from segue.switchover.machine import Action
from segue.switchover.server import Server
from segue.switchover.wayback import WayBack

log = get_logger("switchover")
CONFIRM_LIMIT = 2.0
OLD_SIDE_LIMIT = 2.0
"""Seconds that the old source gets to become a standby before the target is opened without it."""
OPENING_SHARE = 0.2
"""Part of max_pause that must be left at the commit, behind which only the opening can end the pause."""
UNDO_LIMIT = 5.0
FORCE_HOLD = 0.5
MAX_LAG_AT_START = 5.0
"""Seconds. With more the pause would be spent on catching up; the switchover waits for it first."""


class World(Protocol):
    """What control lends to a switchover."""

    @property
    def source(self) -> Server: ...
    @property
    def target(self) -> Server: ...
    @property
    def drain_timeout(self) -> float: ...
    @property
    def max_pause(self) -> float: ...
    @property
    def epoch(self) -> int: ...
    @property
    def deployment(self) -> str: ...
    @property
    def way_back(self) -> WayBack: ...
    async def guard(self, replication: dict[str, Any] | None) -> guardrails.Context: ...
    async def hook(self, point: str, run: Run) -> None: ...
    def hook_beside(self, point: str, run: Run) -> None: ...
    async def replication(self) -> dict[str, Any]: ...
    async def drain_replication(self, position: str, timeout: float) -> dict[str, Any]: ...
    async def stop_replication(self) -> None: ...
    async def start_replication(self, source: Server, target: Server, epoch: int) -> None: ...
    @property
    def close_pinned(self) -> bool: ...
    async def prepare_clients(self) -> dict[str, Any]: ...
    async def hold_clients(self, timeout: float) -> dict[str, Any]: ...
    async def adopt_clients(self, timeout: float) -> list[dict[str, Any]]: ...
    async def release_clients(self, active: Server) -> dict[str, Any]: ...
    async def turn_standby(self, standby: Server) -> None: ...
    async def prepare_proof(self) -> None: ...
    async def prove(self, position: str, left: float, facts: dict[str, Any]) -> None: ...


class RealStage:
    """`conductor.Stage` for real."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def act(self, action: Action, run: Run) -> dict[str, Any]:
        methods = {
            Action.CHECK: self._check,
            Action.PREPARE: self._prepare,
            Action.HOLD: self._hold,
            Action.FENCE: self._fence,
            Action.CATCH_UP: self._catch_up,
            Action.ADOPT: self._adopt,
            Action.CONFIRM: self._confirm,
            Action.MARK: self._mark,
            Action.OPEN: self._open,
            Action.UNDO: self._undo,
            Action.WITNESS: self._witness,
        }
        if action not in (Action.MARK, Action.OPEN, Action.UNDO):
            return await methods[action](run)
        # Where the server does not answer, over a full disk for instance, its clients must not wait for as long as we do.
        watch = asyncio.create_task(self._release_in_time(run))
        try:
            return await methods[action](run)
        except (SegueError, TimeoutError) as error:
            if not isinstance(error, NotOwner):
                await self._release_overdue(run)
            raise
        finally:
            if not run.releasing:
                watch.cancel()
            await asyncio.wait({watch})

    async def _release_in_time(self, run: Run) -> None:
        if run.held_at is not None:
            # Again: uvloop's clock has milliseconds, and a sleep may end a part of one early (one in a hundred did).
            while (left := run.held_at + self._world.max_pause - time.monotonic()) > 0:
                await asyncio.sleep(left)
            with contextlib.suppress(SegueError, TimeoutError):
                await self._release_overdue(run)

    async def _release_overdue(self, run: Run) -> None:
        """The side that should serve clients cannot be opened: beyond the limit they get errors, and are not held."""
        held = run.held_at
        if held is None or run.released_at is not None or run.releasing or time.monotonic() - held < self._world.max_pause:
            return
        side = self._world.target if run.committed else self._world.source
        log.error("clients are released although their server cannot be opened yet", side=side.label)
        await self._release(run, side)

    async def _release(self, run: Run, side: Server) -> dict[str, Any]:
        """Once for each switchover; empty when it has been done, or is being done."""
        if run.released_at is not None or run.releasing:
            return {}
        run.releasing = True
        try:
            result = await self._world.release_clients(side)
        finally:
            run.releasing = False
        run.released_at = time.monotonic()
        return result

    def _left(self, run: Run) -> float:
        """Seconds of the pause that may still be spent. Raises Refused when there are none."""
        spent = time.monotonic() - run.held_at if run.held_at is not None else 0.0
        left = self._world.max_pause - spent
        if left <= 0:
            raise Refused(
                f"clients have been held for proxy.max_pause = {self._world.max_pause:g} s",
                mend="Raise proxy.max_pause or try again when there is less load",
            )
        return left

    async def _check(self, run: Run) -> dict[str, Any]:
        await self._world.hook("before_check", run)
        findings = await guardrails.run(await self._world.guard(await self._world.replication()))
        blocking = [f for f in findings if f.severity == "blocks" and f.id not in run.allow]
        if blocking:
            text = "; ".join(f"[{f.id}] {f.sentence}" for f in blocking)
            raise Refused(text, mend=" ".join(f.mend for f in blocking if f.mend))
        passed_over = sorted({f.id for f in findings if f.severity == "blocks"})
        return {"warnings": [f.message() for f in findings], "passed_over": passed_over}

    async def _prepare(self, run: Run) -> dict[str, Any]:
        """Everything that can be done while clients still work."""
        for server in (self._world.source, self._world.target):
            flavour, conn = await server.get()
            await progress.ensure(conn)
        run.facts["target_started"] = await flavour.started(conn)
        await self._world.prepare_proof()
        deadline = time.monotonic() + run.timeout
        while True:
            status = await self._world.replication()
            lag = float(status.get("lag_seconds") or 0.0)
            if status.get("state") == "streaming" and lag < MAX_LAG_AT_START:
                prepared = await self._prepare_sessions(run)
                await self._world.hook("before_pause", run)
                return {"lag_at_start": lag} | prepared
            if time.monotonic() > deadline:
                raise Refused(
                    f"replication is {status.get('state')} with a lag of {lag:.1f} s after {run.timeout:g} s",
                    mend="Wait until segue status shows no lag, or give a longer --timeout",
                )
            await asyncio.sleep(0.05)

    async def _prepare_sessions(self, run: Run) -> dict[str, Any]:
        """A session on the target for every client, logged in and loaded, so that all that can fail fails here."""
        run.facts["sessions_opened"] = True
        result = await self._world.prepare_clients()
        failed = result["failed"]
        if failed and not self._world.close_pinned:
            raise Refused(
                f"{len(failed)} sessions cannot move to {self._world.target.side.where}: {_listed(failed)}",
                mend='Mend what is named, end those sessions, or set proxy.pinned = "close", which closes them',
            )
        return {"sessions_prepared": result["prepared"]}

    async def _adopt(self, run: Run) -> dict[str, Any]:
        """What was done in the held sessions since has reached their new ones."""
        unmovable = await self._world.adopt_clients(min(self._world.drain_timeout, self._left(run)))
        if unmovable and not self._world.close_pinned:
            raise Refused(
                f"{len(unmovable)} sessions cannot move to {self._world.target.side.where}: {_listed(unmovable)}",
                mend='Mend what is named, end those sessions, or set proxy.pinned = "close", which closes them',
            )
        return {"pinned": [{k: s[k] for k in ("client", "user", "reason")} for s in unmovable]}

    async def _hold(self, run: Run) -> dict[str, Any]:
        run.held_at = time.monotonic()
        result = await self._world.hold_clients(min(self._world.drain_timeout, self._left(run)))
        waiting = result["waiting"]
        if waiting:
            shown = "; ".join(
                f"client {s['client']} user {s['user']} connection {s['connection_id']}: {s['state']}"
                f" for {float(s['seconds']):.1f} s"
                for s in waiting[:5]
            )
            more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
            raise Refused(
                f"{len(waiting)} sessions did not reach a safe point within"
                f" drain_timeout = {self._world.drain_timeout:g} s: {shown}{more}",
                mend="Let them finish, end them, or raise proxy.drain_timeout",
            )
        return {"held": result["held"]}

    async def _fence(self, run: Run) -> dict[str, Any]:
        source = self._world.source
        flavour, conn = await source.get()
        for server in (source, self._world.target):
            await server.verify_owner()
        bypassing = await flavour.open_transactions(conn)
        await source.fence(self._left(run))
        # Only now is it final: nothing can be committed any more.
        return {
            "source_position": await source.position(),
            "wrote_past_the_proxy": [f"{s.user}@{s.host} connection {s.id}" for s in bypassing[:20]],
        }

    async def _catch_up(self, run: Run) -> dict[str, Any]:
        left = self._left(run)
        return {"drain": await self._world.drain_replication(str(run.facts["source_position"]), left)}

    async def _confirm(self, run: Run) -> dict[str, Any]:
        """Look again: the fence holds, nothing was written meanwhile, the target is still a standby."""
        async with asyncio.timeout(min(CONFIRM_LIMIT, self._left(run))):
            now, source_held, target_held = await asyncio.gather(
                self._world.source.position(), self._world.source.held_by(), self._world.target.held_by()
            )
        if now != run.facts["source_position"]:
            raise Refused(f"something was written on {self._world.source.side.where} behind the fence")
        if not source_held:
            raise Refused(f"{self._world.source.side.where} lost its fence")
        if not target_held:
            raise Refused(f"the standby {self._world.target.side.where} became writable")
        await self._world.prove(now, self._left(run), run.facts)
        if (left := self._left(run)) < OPENING_SHARE * self._world.max_pause:
            raise Refused(
                f"only {left:.1f} s of proxy.max_pause = {self._world.max_pause:g} s are left, too few to open the new side in",
                mend="Raise proxy.max_pause or try again when there is less load",
            )
        return {}

    async def _witness(self, run: Run) -> dict[str, Any]:
        """Instead of all before the commit, where the source is dead and given up."""
        await force.require_dead(self._world.source.side)
        run.held_at = time.monotonic()
        # Those that do not get there hang on the dead server; they go with the others.
        await self._world.hold_clients(FORCE_HOLD)
        known = await force.settle(self._world.replication)
        await self._world.stop_replication()
        if not await self._world.target.held_by():
            raise Refused(f"the standby {self._world.target.side.where} became writable")
        _, conn = await self._world.target.get()
        return {"forced": force.statement(known, await progress.read(conn, self._world.deployment), self._world.source.label)}

    async def _mark(self, run: Run) -> dict[str, Any]:
        await self._world.stop_replication()
        facts = {"target_position": await self._world.target.position()}
        if not run.told_of_commit:
            run.told_of_commit = True
            run.facts |= facts
            self._world.hook_beside("after_commit", run)
        return facts

    async def _open(self, run: Run) -> dict[str, Any]:
        """The old source becomes a standby with its feed position written, then the target is opened."""
        old, new = self._world.source, self._world.target
        await new.connection()
        assert new.identity is not None
        epoch = self._world.epoch + 1
        place = {"side": old.label, "source_id": new.identity.source_id, "position": str(run.facts["target_position"]),
                 "epoch": epoch}  # fmt: skip
        if "forced" in run.facts:
            self._world.way_back.set_lost({"side": old.label, "epoch": epoch, "at": time.time()} | run.facts["forced"])
            follows = False
            await new.write_epoch(epoch)
        else:
            if "source_position" in run.facts:
                self._world.way_back.set_standby(old.label, str(run.facts["source_position"]), [])
            follows = await both(self._turn_round(old, place), new.write_epoch(epoch))
        await self._world.turn_standby(old)  # who looks at the standby must not find it writable
        if (started := run.facts.get("target_started")) is None:
            flavour, conn = await new.get()
            started = await flavour.started(conn)
        await new.unfence(writable=True)
        result = await self._release(run, new)
        # Before the switchover counts as over: a restart of everything right behind it must find who was opened.
        self._world.way_back.set_opened(new.label, float(started))
        if follows:
            await self._world.start_replication(new, old, epoch)
        told = {k: result.get(k, default) for k, default in (("dropped", 0), ("relocated", 0), ("lost", []))}
        return told | {"way_back": follows}

    async def _turn_round(self, old: Server, place: dict[str, Any]) -> bool:
        """Make the old source a standby that follows from `place`; False, and kept for later, when it does not answer.

        It is fenced and all that it had is on the target, so the target may be opened without it.
        """
        try:
            async with asyncio.timeout(OLD_SIDE_LIMIT):
                await make_follow(old, self._world.deployment, place)
        except NotOwner:
            raise
        except (SegueError, TimeoutError) as error:
            log.warning("the old side does not answer, it is made to follow later", side=old.label, error=str(error))
            self._world.way_back.set_pending(place)
            return False
        if self._world.way_back.pending is not None:
            self._world.way_back.set_pending(None)
        return True

    async def _undo(self, run: Run) -> dict[str, Any]:
        """Back to before: the source writable, the target a standby, clients released on the old side."""
        source = self._world.source
        # Only a fence of ours: a switchover refused at its check must not make a server writable.
        if run.facts.get("fence_tried"):
            async with asyncio.timeout(UNDO_LIMIT):
                if await source.held_by():
                    await source.unfence(writable=True)
        result: dict[str, Any] = {}
        if run.held_at is not None or run.facts.get("sessions_opened"):
            result = await self._release(run, source)
        if self._world.way_back.open:
            try:
                await self._world.start_replication(source, self._world.target, self._world.epoch)
            except SegueError as error:
                log.warning("replication did not start after the abort", error=error.message)
        return {"dropped": result.get("dropped", 0)}


async def both(one: Coroutine[Any, Any, bool], other: Coroutine[Any, Any, None]) -> bool:
    """Two servers at the same time, since each waits for its disk. Nothing of either goes on when this returns, nor when
    it raises one of their errors, rather that of another owner."""
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
    problems = [p for p in (task.exception() for task in tasks) if p is not None]
    if problems:
        raise next((p for p in problems if isinstance(p, NotOwner)), problems[0])
    return tasks[0].result()


def _listed(sessions: list[dict[str, Any]]) -> str:
    """Some of them by name, and how many more."""
    shown = "; ".join(f"client {s['client']} user {s['user']}: {s['reason']}" for s in sessions[:5])
    return shown + (f" and {len(sessions) - 5} more" if len(sessions) > 5 else "")


async def make_follow(old: Server, deployment: str, place: dict[str, Any]) -> None:
    """Make a closed server a standby whose feed begins at `place`. May be done again."""
    await old.unfence(writable=False)
    _, conn = await old.get()
    await progress.ensure(conn)
    source_id, epoch = str(place["source_id"]), int(place["epoch"])
    found = await progress.read(conn, deployment)
    if found is None or (found.source_id, found.epoch) != (source_id, epoch):
        # Else a crash came after this was done once, and the feed back has moved it on since.
        await progress.initialise(conn, deployment, source_id, str(place["position"]), epoch)
    await old.write_epoch(epoch)
