"""The world as small as it can be, explored whole: `python -m tests.model.explore [crashes]` prints what it visited.

The table of states, the actions and the recovery are the product's own (`switchover/machine.py`); what an action does
to the world is said here once more, in one line each. A write is a number: the sides hold prefixes of one history, so a
write that is accepted by a side which lacks an earlier acknowledged one is a lost write. Every action may be done,
may be done with its answer lost, or may fail undone. Control and both servers may crash at any moment, between a journal
entry and its action too; a server comes up closed, as its configuration must say.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from segue.switchover.machine import ACTIONS as THE_ACTIONS
from segue.switchover.machine import AFTER_COMMIT, BEFORE_COMMIT, NEXT, Action, Event, State, recovery

OPEN, CLOSED, DOWN = "open", "closed", "down"


@dataclass(frozen=True, slots=True)
class World:
    """Sides are 0 (blue) and 1 (green)."""

    servers: tuple[str, str] = (OPEN, CLOSED)
    has: tuple[int, int] = (0, 0)
    """How many writes of the one history each side holds."""
    acknowledged: int = 0
    active: int = 0
    """What the journal says."""
    state: State = State.STEADY
    entered: bool = True
    """The journal has the state's entry; its actions may begin."""
    step: int = 0
    """How many of the state's actions are done."""
    journal: State = State.STEADY
    up: bool = True
    fence_tried: bool = False
    position: int | None = None
    held: bool = False
    serving: int = 0
    feeds: bool = True
    lost: int | None = None
    """A side that was given up by force."""
    crashes: int = 2
    switchovers: int = 2
    writes: int = 2

    def with_server(self, side: int, what: str) -> World:
        servers = list(self.servers)
        servers[side] = what
        return replace(self, servers=(servers[0], servers[1]))

    @property
    def source(self) -> int:
        return self.active

    @property
    def target(self) -> int:
        return 1 - self.active


@dataclass
class Rules:
    """What a test may plant a bug into."""

    table: Mapping[tuple[State, Event], State] = field(default_factory=lambda: dict(NEXT))
    actions: Mapping[State, tuple[Action, ...]] = field(default_factory=lambda: dict(THE_ACTIONS))
    resume: Callable[[State], State] = recovery
    boots: str = CLOSED
    fences: bool = True
    open_unasked: bool = False
    """An abort opens the source though no fence was tried."""


class Violation(Exception):
    """An invariant that does not hold; `trace` is how the world got there."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.trace: list[str] = []


def effect(world: World, action: Action, rules: Rules) -> World | None:
    """What a done action leaves; None when it cannot be done now."""
    s, t = world.source, world.target
    match action:
        case Action.CHECK | Action.PREPARE:
            return world if world.servers == ((OPEN, CLOSED) if s == 0 else (CLOSED, OPEN)) else None
        case Action.HOLD:
            return replace(world, held=True)
        case Action.FENCE:
            if world.servers[s] == DOWN:
                return None
            return replace(world.with_server(s, CLOSED) if rules.fences else world, position=world.has[s])
        case Action.CATCH_UP:
            return world if world.position is not None and world.has[t] == world.position else None
        case Action.ADOPT:
            return world if world.held else None
        case Action.CONFIRM:
            right = world.servers[s] == CLOSED and world.servers[t] == CLOSED and world.has[s] == world.position
            return world if right else None
        case Action.WITNESS:
            return replace(world, held=True) if world.servers[s] == DOWN and world.servers[t] == CLOSED else None
        case Action.MARK:
            return replace(world, feeds=False) if world.servers[t] != DOWN else None
        case Action.OPEN:
            if world.servers[t] == DOWN:
                return None
            closed = world if world.servers[s] == DOWN else world.with_server(s, CLOSED)
            return replace(closed.with_server(t, OPEN), held=False, serving=t)
        case Action.UNDO:
            if not (world.fence_tried or rules.open_unasked):
                return replace(world, held=False, serving=s)
            return None if world.servers[s] == DOWN else replace(world.with_server(s, OPEN), held=False, serving=s)


def successors(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Every next world, with what happened. Raises Violation."""
    for side in (0, 1):
        yield from _writes(world, side)
        if world.servers[side] == DOWN:
            yield f"server {side} starts", world.with_server(side, rules.boots)
        elif world.crashes:
            yield f"server {side} crashes", replace(world.with_server(side, DOWN), crashes=world.crashes - 1)
    s, t = world.source, world.target
    if world.feeds and world.lost is None and DOWN not in world.servers and world.has[t] < world.has[s]:
        has = list(world.has)
        has[t] += 1
        yield "a write is applied", replace(world, has=(has[0], has[1]))
    if not world.up:
        resumed = rules.resume(world.journal)
        yield "control starts", replace(world, up=True, state=resumed, entered=resumed is State.STEADY, step=0, serving=world.active)
        return
    if world.crashes:
        yield "control crashes", replace(world, up=False, held=False, crashes=world.crashes - 1)
    if world.state is State.STEADY:
        yield from _steady(world)
    elif not world.entered:
        yield f"journal: {world.state}", replace(
            world, entered=True, journal=world.state, fence_tried=world.fence_tried or world.state is State.FENCED
        )
    else:
        yield from _act(world, rules)


def _writes(world: World, side: int) -> Iterator[tuple[str, World]]:
    """A client through the proxy, or one that bypasses it: either is a write on a side that is open."""
    if world.servers[side] != OPEN or not world.writes:
        return
    if world.has[side] < world.acknowledged:
        raise Violation(f"a write on side {side}, which lacks {world.acknowledged - world.has[side]} acknowledged ones")
    has = list(world.has)
    has[side] += 1
    yield f"a write on side {side}", replace(world, has=(has[0], has[1]), acknowledged=has[side], writes=world.writes - 1)


def _steady(world: World) -> Iterator[tuple[str, World]]:
    s, t = world.source, world.target
    if world.servers[s] == CLOSED:
        yield "the keeper opens the active side", world.with_server(s, OPEN)
    if world.servers[t] == OPEN:
        yield "the keeper closes the standby", world.with_server(t, CLOSED)
    if not world.switchovers or world.lost is not None:
        return
    fresh = replace(world, switchovers=world.switchovers - 1, fence_tried=False, position=None, step=0, entered=False)
    yield "a switchover begins", replace(fresh, state=NEXT[State.STEADY, Event.START])
    if world.servers[s] == DOWN:
        yield "a forced switchover begins", replace(fresh, state=NEXT[State.STEADY, Event.FORCE])


def _act(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    actions = rules.actions[world.state]
    if world.step == len(actions):
        yield from _enter(world, rules, Event.DONE)
        return
    action = actions[world.step]
    done = effect(world, action, rules)
    if done is not None:
        yield f"{action} is done", replace(done, step=world.step + 1)
        if done != world:
            yield from ((f"{action} is done and its answer lost; {said}", then) for said, then in _enter(done, rules, Event.FAILED))
    yield from _enter(world, rules, Event.FAILED)


def _enter(world: World, rules: Rules, event: Event) -> Iterator[tuple[str, World]]:
    following = rules.table[world.state, event]
    if following is not State.STEADY:
        yield f"{world.state} {event}", replace(world, state=following, step=0, entered=following is world.state)
        return
    # The journal's last entry swaps the roles and ends the switchover, in one commit.
    committed = world.state in AFTER_COMMIT
    forced = committed and world.position is None
    yield f"{world.state} {event}, the end", replace(
        world, state=State.STEADY, journal=State.STEADY, step=0, entered=True, feeds=True,
        active=world.target if committed else world.active,
        lost=world.source if forced else world.lost,
    )  # fmt: skip


def check(world: World) -> None:
    """The invariants of every world. Raises Violation."""
    if world.servers == (OPEN, OPEN):
        raise Violation("both sides accept writes")
    if world.state in BEFORE_COMMIT and world.up and world.servers[world.target] == OPEN:
        raise Violation("the target is open before the commit")


def settled(world: World) -> World:
    """Where a world comes to rest when no crash and no write comes any more."""
    calm = replace(world, crashes=0, writes=0, switchovers=0)
    rules = Rules()
    for _ in range(100):
        steps = list(successors(calm, rules))
        good = [w for said, w in steps if "starts" in said or "applied" in said]
        good += [w for said, w in steps if "lost" not in said and "failed" not in said]
        good += [w for said, w in steps if "lost" not in said]
        if not good:
            return calm
        calm = good[0]
    raise Violation(f"it never comes to rest: {calm}")


def forgive(world: World) -> World:
    """A forced commit gives up what the source alone had: the operator was told."""
    if world.journal is State.COMMITTED and world.position is None:
        return replace(world, acknowledged=world.has[world.target])
    return world


def explore(rules: Rules | None = None, *, crashes: int = 2, switchovers: int = 2, writes: int = 2, rest: int = 1) -> int:
    """Visit every world that can be reached; how many. Every `rest`-th is also let come to rest. Raises Violation."""
    rules = rules or Rules()
    first = World(crashes=crashes, switchovers=switchovers, writes=writes)
    came: dict[World, tuple[World | None, str]] = {first: (None, "")}
    queue = deque([first])
    world = first
    try:
        while queue:
            world = queue.popleft()
            check(world)
            if rest and len(came) % rest == 0:
                at_rest(settled(world))
            for said, following in successors(world, rules):
                after = forgive(following)
                if after not in came:
                    came[after] = (world, said)
                    queue.append(after)
    except Violation as violation:
        back: World | None = world
        while back is not None:
            back, said = came[back]
            violation.trace.insert(0, said)
        raise
    return len(came)


def at_rest(world: World) -> None:
    """Exactly one side is open, it is the journal's, and it has all that was acknowledged. Raises Violation."""
    if world.state is not State.STEADY or world.servers[world.active] != OPEN or world.servers[1 - world.active] != CLOSED:
        raise Violation(f"after recovery: {world}")
    if world.has[world.active] < world.acknowledged:
        raise Violation(f"after recovery the active side lacks acknowledged writes: {world}")


if __name__ == "__main__":
    bound = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    print(f"{explore(crashes=bound, rest=10)} states explored with up to {bound} crashes, no invariant broken")
