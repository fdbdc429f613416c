"""The walk of a switchover with a failure, an abort and a crash at every action, on a small model of the world."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from segue.errors import Refused, SegueError
from segue.switchover import conductor as module
from segue.switchover.conductor import Conductor, Run
from segue.switchover.journal import Journal
from segue.switchover.machine import ACTIONS, Action, State

ALL = [a for s in State for a in ACTIONS[s] if a is not Action.UNDO]
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
