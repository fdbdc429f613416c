"""The walk of a switchover with a failure, an abort and a crash at every action, on a small model of the world."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from segue.errors import Refused, SegueError
from segue.switchover import conductor as module
from segue.switchover.claim import NotOwner
from segue.switchover.conductor import Conductor, Run
from segue.switchover.journal import Journal, JournalError
from segue.switchover.machine import ACTIONS, Action, State
from segue.switchover.stage import RealStage, both

ALL = [a for s in State for a in ACTIONS[s] if a not in (Action.UNDO, Action.WITNESS)]
AFTER = {Action.MARK, Action.OPEN}


class Crash(BaseException):
    """The process ends here."""


class World:
    """Two sides with a writable flag, and clients that are held or not: what the invariants are about."""

    def __init__(self) -> None:
        self.writable = {"blue": True, "green": False}
        self.held = False
        self.trouble: dict[tuple[Action, str], list[Any]] = {}
        self.done: list[Action] = []

    def check(self) -> None:
        assert not all(self.writable.values()), "both sides accept writes"

    async def act(self, action: Action, run: Run) -> dict[str, Any]:
        self.meet(action, "before")
        self.done.append(action)
        facts: dict[str, Any] = {}
        if action is Action.HOLD:
            self.held = True
            run.held_at = 1.0
        elif action is Action.FENCE:
            self.writable[run.source] = False
            facts = {"source_position": "p"}
        elif action is Action.OPEN:
            assert not self.writable[run.source]
            self.writable[run.target] = True
            self.held = False
        elif action is Action.UNDO:
            if run.facts.get("fence_tried"):
                self.writable[run.source] = True
            self.held = False
        self.check()
        await asyncio.sleep(0)
        self.meet(action, "after")
        return facts

    def meet(self, action: Action, when: str) -> None:
        waiting = self.trouble.get((action, when))
        if waiting:
            raise waiting.pop()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    one = Journal(tmp_path, "test")
    yield one
    one.close()


def assert_settled(world: World, journal: Journal) -> None:
    assert world.writable[journal.active]
    assert sum(world.writable.values()) == 1
    assert not world.held
    assert journal.unfinished() is None


async def test_there_and_back(journal: Journal) -> None:
    world = World()
    one = Conductor(journal, world)
    assert (await one.switchover("blue", "green", 5))["outcome"] == "done"
    assert (journal.active, journal.epoch) == ("green", 2)
    assert_settled(world, journal)
    assert (await one.switchover("green", "blue", 5))["outcome"] == "done"
    assert_settled(world, journal)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ALL)
async def test_a_failure(journal: Journal, action: Action, when: str) -> None:
    world = World()
    world.trouble[action, when] = [SegueError("no", mend="do it")]
    report = await Conductor(journal, world).switchover("blue", "green", 5)
    assert report["outcome"] == ("done" if action in AFTER else "aborted")
    assert "no" in report["errors"][0]
    assert report["mend"] == ["do it"]
    assert journal.active == ("green" if action in AFTER else "blue")
    assert_settled(world, journal)


async def test_undo_is_tried_until_it_succeeds(journal: Journal) -> None:
    world = World()
    world.trouble[Action.CONFIRM, "before"] = [SegueError("no")]
    world.trouble[Action.UNDO, "before"] = [SegueError("still no")] * 3
    report = await Conductor(journal, world).switchover("blue", "green", 5)
    assert report["outcome"] == "aborted"
    assert_settled(world, journal)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ALL)
async def test_a_crash_and_the_next_start(tmp_path: Path, action: Action, when: str) -> None:
    world = World()
    world.trouble[action, when] = [Crash()]
    first = Journal(tmp_path, "test")

    async def die(one: Conductor) -> None:
        await one.switchover("blue", "green", 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conductor, "_explain", staticmethod(reraise))
        with pytest.raises(Crash):
            await die(Conductor(first, world))
    first.close()
    world.held = False  # the workers died with control
    second = Journal(tmp_path, "test")
    one = Conductor(second, world)
    report = await one.recover()
    assert report is not None
    assert report["outcome"] == ("done" if action in AFTER else "aborted")
    assert second.active == ("green" if action in AFTER else "blue")
    assert_settled(world, second)
    assert await one.recover() is None
    second.close()


def reraise(problem: BaseException, _run: Run) -> str:
    raise problem


@pytest.mark.parametrize("action", ALL)
async def test_an_abort_is_heard_before_the_commit_only(journal: Journal, action: Action) -> None:
    world = World()
    one = Conductor(journal, world)
    heard: list[bool] = []

    class Wish(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            if key == (action, "before"):
                heard.append(one.abort())
            return default

    world.trouble = Wish()
    report = await one.switchover("blue", "green", 5)
    assert heard[0] is (action not in AFTER)
    assert report["outcome"] == ("done" if action in AFTER else "aborted")
    assert_settled(world, journal)


async def test_one_at_a_time(journal: Journal) -> None:
    world = World()
    one = Conductor(journal, world)
    job = asyncio.create_task(one.switchover("blue", "green", 5))
    await asyncio.sleep(0)
    with pytest.raises(Refused):
        await one.switchover("blue", "green", 5)
    assert (await job)["outcome"] == "done"


class FullDisk(Journal):
    """A journal whose entries for chosen states fail, a number of times."""

    def __init__(self, folder: Path, failing: dict[State, int], *, in_doubt: bool) -> None:
        super().__init__(folder, "test")
        self.failing, self.in_doubt = failing, in_doubt
        self.entered: list[State] = []

    def enter(self, switchover: int, state: State, **facts: Any) -> None:
        if self.failing.get(state, 0) > 0:
            self.failing[state] -= 1
            raise JournalError("no room", mend="make room", in_doubt=self.in_doubt)
        super().enter(switchover, state, **facts)
        self.entered.append(state)


@pytest.mark.parametrize("in_doubt", [True, False])
@pytest.mark.parametrize("state", [s for s in State if s not in (State.STEADY, State.FORCING)])
async def test_an_entry_that_cannot_be_written(tmp_path: Path, state: State, in_doubt: bool) -> None:
    """Up to the commit's own entry the switchover is undone; behind it it goes on when there is room."""
    journal = FullDisk(tmp_path, {state: 2}, in_doubt=in_doubt)
    world = World()
    if state is State.ABORTING:
        world.trouble[Action.CONFIRM, "before"] = [SegueError("no")]
    report = await Conductor(journal, world).switchover("blue", "green", 5)
    done = state is State.OPENING
    assert report["outcome"] == ("done" if done else "aborted")
    assert report["mend"][-1] == "make room"
    assert_settled(world, journal)
    journal.close()


async def test_a_commit_in_doubt_is_replaced_before_the_source_is_opened(tmp_path: Path) -> None:
    journal = FullDisk(tmp_path, {State.COMMITTED: 1, State.ABORTING: 3}, in_doubt=True)
    world = World()
    seen: list[bool] = []

    class Look(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            if key == (Action.UNDO, "before"):
                seen.append(State.ABORTING in journal.entered)
            return default

    world.trouble = Look()
    assert (await Conductor(journal, world).switchover("blue", "green", 5))["outcome"] == "aborted"
    assert seen == [True]
    journal.close()


def test_the_reserve_lets_the_last_entries_through(tmp_path: Path) -> None:
    """A journal whose disk is full: a page limit stands in for the disk and is lifted as the reserve goes."""
    journal = Journal(tmp_path, "test")
    number = journal.begin("blue", "green")
    reserve = tmp_path / "reserve"
    assert reserve.stat().st_size > 100_000
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    real, given_up = Path.unlink, []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        given_up.append(path)
        real(path, missing_ok)
        journal._db.execute("PRAGMA max_page_count = 100000")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        journal.enter(number, State.FENCED, blob="x" * 50_000)
    assert given_up == [reserve]
    assert journal.unfinished() is not None
    journal._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match="cannot be written") as caught:
        journal.enter(number, State.DRAINED, blob="x" * 500_000)
    assert not caught.value.in_doubt
    entry = journal.unfinished()
    assert entry is not None
    assert entry.state is State.FENCED
    journal.close()


class _Still:
    """A server on which nothing moves."""

    async def position(self) -> str:
        return "a:1-9"

    async def held_by(self) -> list[str]:
        return ["read_only"]


class _World:
    source = target = _Still()
    max_pause = 10.0

    async def prove(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize(("spent", "commits"), [(0.0, True), (7.5, True), (8.5, False), (11.0, False)])
async def test_no_commit_when_the_pause_is_nearly_over(spent: float, commits: bool) -> None:
    """What comes behind the commit cannot be undone: it needs time of its own, or clients meet a server that is closed."""
    run = Run(1, "blue", "green", 5.0, facts={"source_position": "a:1-9"}, held_at=time.monotonic() - spent)
    stage = RealStage(_World())  # type: ignore[arg-type]
    if commits:
        assert await stage.act(Action.CONFIRM, run) == {}
    else:
        with pytest.raises(Refused) as told:
            await stage.act(Action.CONFIRM, run)
        assert "max_pause" in told.value.message + told.value.mend


async def test_clients_are_let_go_though_the_sleep_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleep of uvloop, whose clock has milliseconds, ends up to one before its time."""
    run = Run(1, "blue", "green", 5.0, held_at=time.monotonic())
    world: Any = _World()
    world.max_pause, world.source, released = 0.05, type("Side", (), {"label": "blue"}), asyncio.Event()

    async def release(_side: Any) -> dict[str, Any]:
        released.set()
        return {}

    async def silent(_run: Run) -> dict[str, Any]:
        await asyncio.sleep(5.0)
        return {}

    world.release_clients = release
    stage, sleep = RealStage(world), asyncio.sleep
    monkeypatch.setattr(stage, "_open", silent)
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(seconds * 0.9))
    opening = asyncio.create_task(stage.act(Action.OPEN, run))
    try:
        async with asyncio.timeout(2.0):
            await released.wait()
        assert time.monotonic() - (run.held_at or 0.0) >= world.max_pause
    finally:
        opening.cancel()
        await asyncio.wait({opening})


async def test_two_servers_at_the_same_time_end_together() -> None:
    """One that fails at once does not leave the other at work behind its back."""
    done: list[str] = []

    async def slow(name: str) -> bool:
        await asyncio.sleep(0.02)
        done.append(name)
        return True

    async def fails(error: SegueError) -> None:
        raise error

    async def nothing() -> None:
        done.append("nothing")

    assert await both(slow("one"), nothing())
    with pytest.raises(SegueError, match="disk"):
        await both(slow("two"), fails(SegueError("the disk is full")))
    assert done == ["nothing", "one", "two"]

    async def refused() -> bool:
        raise SegueError("closed")

    with pytest.raises(NotOwner):
        await both(refused(), fails(NotOwner("another daemon acts")))


def test_a_statement_without_an_answer_behind_the_commit_is_spoken_of(journal: Journal) -> None:
    """Who asked for the switchover is told what it waits for though nothing of it has failed; it ends when the answer comes."""

    async def run() -> None:
        world, answer = World(), asyncio.Event()

        class Silent:
            async def act(self, action: Action, run: Run) -> dict[str, Any]:
                if action is Action.OPEN:
                    await answer.wait()
                return await world.act(action, run)

        conductor = Conductor(journal, Silent())
        job = asyncio.create_task(conductor.switchover("blue", "green", 1.0))
        async with asyncio.timeout(10.0):
            while conductor.phase is not State.OPENING:
                assert conductor.stuck(0.0, []) is None or conductor.phase is State.COMMITTED
                await asyncio.sleep(0)
            while (told := conductor.stuck(0.05, ["green: 1 sessions wait for room on its disk"])) is None:
                await asyncio.sleep(0.01)
        assert "opening cannot be done yet" in told.message
        assert "green: 1 sessions wait for room on its disk" in told.message
        assert "Bring green back" in told.mend
        unknown = conductor.stuck(0.05, [])
        assert unknown is not None
        assert "green has not answered for" in unknown.message
        answer.set()
        assert (await job)["outcome"] == "done"
        assert conductor.stuck(0.0, []) is None

    asyncio.run(run())
