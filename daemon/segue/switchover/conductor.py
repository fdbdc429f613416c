"""Walks the machine: does each state's actions, writes the journal before each, keeps the times.

The parts that touch the world are given as a `Stage`, so that the walk can be tested without any server and
with a failure at every action.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from segue.errors import Refused, SegueError
from segue.log import get_logger
from segue.switchover.claim import NotOwner
from segue.switchover.journal import Journal, JournalError
from segue.switchover.machine import (
    ACTIONS,
    AFTER_COMMIT,
    BEFORE_COMMIT,
    Action,
    Event,
    State,
    after,
    recovery,
)

log = get_logger("switchover")
RETRY_SECONDS = 1.0


class Stage(Protocol):
    """What a switchover does to the world. One method per action, each raising SegueError when it fails."""

    async def act(self, action: Action, run: Run) -> dict[str, Any]:
        """Do one action; the facts it returns go into the report, and into the journal with the next state."""


@dataclass(slots=True)
class Run:
    """One switchover under way."""

    id: int
    source: str
    target: str
    timeout: float
    state: State = State.CHECKING
    facts: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)
    held_at: float | None = None
    """Monotonic second at which clients began to be held."""
    released_at: float | None = None
    abort: asyncio.Event = field(default_factory=asyncio.Event)
    allow: frozenset[str] = frozenset()
    """Guardrails that the operator passes over."""
    told_of_commit: bool = False
    releasing: bool = False
    """Clients are being released just now."""
    since: float = field(default_factory=time.monotonic)
    """Monotonic second at which the state began, however often it was tried again."""
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Do not wait for the source to come back: the operator forces a switchover away from it."""
    committed: bool = False
    """The commit's entry is in the journal."""
    commit_in_doubt: bool = False
    """It failed in a way that may leave it there."""

    def go(self, state: State) -> None:
        if state is not self.state:
            self.state, self.since = state, time.monotonic()

    @property
    def pause_ms(self) -> float | None:
        if self.held_at is None or self.released_at is None:
            return None
        return round((self.released_at - self.held_at) * 1000, 1)


class Conductor:
    """At most one switchover at a time."""

    def __init__(self, journal: Journal, stage: Stage) -> None:
        self._journal = journal
        self._stage = stage
        self.run: Run | None = None
        self.last: dict[str, Any] | None = journal.last_report()

    @property
    def phase(self) -> State:
        return self.run.state if self.run is not None else State.STEADY

    def under_way(self) -> dict[str, Any] | None:
        """The one under way, for status: state, what went wrong so far and what to do about it."""
        run = self.run
        if run is None:
            return None
        return {"state": run.state, "source": run.source, "target": run.target, "started": run.started,
                "errors": run.errors, "mend": list(dict.fromkeys(run.mends))}  # fmt: skip

    async def switchover(
        self, source: str, target: str, timeout: float, *, allow: frozenset[str] = frozenset(), force: bool = False
    ) -> dict[str, Any]:
        """Swap the roles; the report. Raises Refused when one is under way already, NotOwner when another daemon acts."""
        if self.run is not None:
            raise Refused(f"a switchover is under way ({self.run.state})", mend="Wait for it: segue status --watch")
        self.run = Run(self._journal.begin(source, target), source, target, timeout, allow=allow)
        self.run.state = after(State.STEADY, Event.FORCE if force else Event.START)
        return await self._walk(self.run)

    async def recover(self) -> dict[str, Any] | None:
        """Finish or undo what a killed daemon left in the journal; None when there is nothing."""
        entry = self._journal.unfinished()
        if entry is None:
            return None
        run = Run(entry.id, entry.source, entry.target, 0.0, recovery(entry.state), entry.facts)
        run.committed = entry.state in AFTER_COMMIT
        run.errors.append(f"segue ended while {entry.state}")
        log.warning("going on after a crash", found=entry.state, going_on=run.state)
        self.run = run
        return await self._walk(run)

    def abort(self) -> bool:
        """Ask a switchover that has not committed to stop; False when there is none to stop."""
        if self.run is None or self.run.state not in BEFORE_COMMIT:
            return False
        self.run.abort.set()
        return True

    async def give_up_source(self) -> bool:
        """End an abort that waits for a source to come back; False when there is none."""
        if self.run is None or self.run.state is not State.ABORTING:
            return False
        self.run.given_up.set()
        await self.wait_end()
        return True

    def stuck(self, limit: float, reasons: Collection[str]) -> Refused | None:
        """For who waits for a switchover that for longer than `limit` can neither go on nor back; `reasons` are known ones."""
        run = self.run
        if run is None or run.state not in AFTER_COMMIT | {State.ABORTING} or time.monotonic() - run.since <= limit:
            return None
        side = run.target if run.committed else run.source
        force = "" if run.committed else f"; if {side} is gone for good: segue switchover --force"
        known = "; ".join([*reasons, *run.errors[-2:]]) or f"{side} has not answered for {time.monotonic() - run.since:.0f} s"
        return Refused(f"{run.state} cannot be done yet and is tried again: {known}",
                       mend=f"Bring {side} back, segue status shows how it goes{force}")  # fmt: skip

    async def wait_end(self) -> dict[str, Any] | None:
        """Until no switchover is under way; the last one's report."""
        while self.run is not None:
            await asyncio.sleep(0.02)
        return self.last

    async def _walk(self, run: Run) -> dict[str, Any]:
        try:
            while run.state is not State.STEADY:
                if run.state is State.FENCED:
                    run.facts["fence_tried"] = True  # an abort lifts only a fence of ours
                if not await self._enter(run):
                    run.go(State.ABORTING)
                    continue
                run.committed = run.committed or run.state in AFTER_COMMIT
                log.info("switchover", state=run.state, source=run.source, target=run.target)
                event = await self._do(run)
                following = after(run.state, event)
                if following is run.state:
                    if run.state is State.ABORTING and run.given_up.is_set():
                        break
                    await asyncio.sleep(RETRY_SECONDS)
                run.go(following)
            report = self._report(run, committed=run.committed)
            await self._finish(run, report, new_active=run.target if run.committed else None)
            self.last = report
            return report
        finally:
            self.run = None

    async def _enter(self, run: Run) -> bool:
        """Write the state's entry; False when the switchover has to be undone because it cannot be written.

        The rules: an entry that fails before the commit, or is the commit, undoes. Undoing needs no entry, since the
        journal already names a state that is undone after a crash; unless the commit's own entry is in doubt: then
        the source stays fenced until another entry stands in its place.
        """
        while True:
            try:
                self._journal.enter(run.id, run.state, **run.facts)
                run.commit_in_doubt = False
                return True
            except JournalError as error:
                self._failed(run, "journal", error)
                if run.state in BEFORE_COMMIT or (run.state is State.COMMITTED and not run.committed):
                    run.commit_in_doubt = run.state is State.COMMITTED and error.in_doubt
                    return False
                if run.state is State.ABORTING and not run.commit_in_doubt:
                    return True
            await asyncio.sleep(RETRY_SECONDS)

    async def _finish(self, run: Run, report: dict[str, Any], *, new_active: str | None) -> None:
        """The last entry; clients work already, so it is tried until it succeeds."""
        while True:
            try:
                self._journal.finish(run.id, report, new_active=new_active)
                return
            except JournalError as error:
                self._failed(run, "journal", error)
            await asyncio.sleep(RETRY_SECONDS)

    def _failed(self, run: Run, what: str, error: SegueError) -> None:
        text = f"{what}: {self._explain(error, run)}"
        if text not in run.errors:
            run.errors.append(text)
            log.error("switchover", what=what, error=error.message, mend=error.mend)

    async def _do(self, run: Run) -> Event:
        """All actions of the present state, the abort wish heard only before the commit."""
        for action in ACTIONS[run.state]:
            began = time.monotonic()
            task = asyncio.create_task(self._stage.act(action, run))
            wish = asyncio.create_task(run.abort.wait())
            watched = {task, wish} if run.state in BEFORE_COMMIT else {task}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            wish.cancel()
            error: str | None = None
            if run.abort.is_set() and run.state in BEFORE_COMMIT:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                error = "aborted by the operator"
            elif (problem := task.exception()) is not None:
                if isinstance(problem, NotOwner):
                    raise problem  # another daemon acts: nothing of this one's may be undone or finished
                error = self._explain(problem, run)
            else:
                run.facts |= task.result()
            run.steps.append({"step": str(action), "ms": round((time.monotonic() - began) * 1000, 1), "error": error})
            if error is not None:
                run.errors.append(f"{action}: {error}")
                log.warning("switchover step failed", step=action, error=error)
                return Event.FAILED
        return Event.DONE

    @staticmethod
    def _explain(problem: BaseException, run: Run) -> str:
        if isinstance(problem, SegueError):
            if problem.mend:
                run.mends.append(problem.mend)
            return problem.message
        if isinstance(problem, TimeoutError):
            return "took longer than its limit"
        log.error("a bug in a switchover step", exc_info=problem)
        return f"internal error: {problem!r}"

    @staticmethod
    def _report(run: Run, *, committed: bool) -> dict[str, Any]:
        return {
            "outcome": "done" if committed else "aborted",
            "source": run.source,
            "target": run.target,
            "started": run.started,
            "seconds": round(time.monotonic() - run.began, 3),
            "pause_ms": run.pause_ms,
            "steps": run.steps,
            "dropped": run.facts.get("dropped", 0),
            "relocated": run.facts.get("relocated", 0),
            "lost": run.facts.get("lost", []),
            "pinned": run.facts.get("pinned", []),
            "held": run.facts.get("held", 0),
            "passed_over": run.facts.get("passed_over", []),
            "forced": run.facts.get("forced"),
            "way_back": run.facts.get("way_back"),
            "wrote_past_the_proxy": run.facts.get("wrote_past_the_proxy", []),
            "source_position": run.facts.get("source_position"),
            "target_position": run.facts.get("target_position"),
            "verification": run.facts.get("verification"),
            "errors": run.errors,
            "mend": run.mends,
        }
