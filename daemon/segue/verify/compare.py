"""One table compared: chunk after chunk, differing chunks narrowed to rows, rows looked at until they settle.

Theory of settling. Both sides are read at different moments while both are written to, so a first difference says
little. A row is looked at in rounds: its version on the source is read, then the source's position, then the target
is let apply at least that far, then the target's version is read, then the source's once more. The target's version
being one that the source was seen to have proves the row equal. A source that did not change in between, and a
target that has something else, counts against it; several such rounds in a row, further and further apart, make it a
difference. So a row that never stands still is neither: it is looked at again and in the end named as unsettled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from segue.errors import SegueError, ServerError
from segue.verify.findings import MAX_SHOWN, Finding, Kind, TableResult
from segue.verify.plan import KeyValue, Plan, as_text
from segue.verify.reader import Reader

CHUNK_SECONDS: Final = 0.2
"""What one chunk should take: short snapshots, and a throttle that reacts."""
FIRST_STEP: Final = 5_000
MAX_STEP: Final = 500_000
HELPED: Final = 50_000
"""Rows from which on a table is worth another pair of connections."""
FEW: Final = 500
"""Rows of a chunk that are fetched at once, not narrowed further in the servers."""
BUCKETS: Final = 256
WHOLE_BUCKETS: Final = 4096
"""For a table that cannot be cut into ranges."""
LOOKUP: Final = 500
"""Rows that one question names."""
ROUND: Final = 10_000
"""Rows of one round: it waits for the stream once, however many they are."""
PAUSES: Final = (0.0, 0.05, 0.3, 1.0)
"""Seconds before each round. A row that was changing meanwhile gets further rounds, `LONG_PAUSE` apart."""
AGAINST: Final = 3
"""Rounds in a row that make a difference; of a row that was seen to change, one more for each version, up to
`MOST_AGAINST`."""
MOST_AGAINST: Final = 8
LONG_PAUSE: Final = 0.5
SETTLE_ROUNDS: Final = 60

A = TypeVar("A")
B = TypeVar("B")
Range = tuple[KeyValue | None, KeyValue | None]


class Clock(Protocol):
    """The stream between both sides."""

    async def applied(self, position: str) -> None:
        """Until the target has applied at least this position of the source. Raises SegueError when it will not."""


@dataclass(slots=True)
class Suspect:
    """A row that differed at first sight."""

    key: KeyValue
    seen: set[int] = field(default_factory=set)
    """Hashes that the source had; 0 stands for no row (of a table without key: counts)."""
    against: int = 0
    last: tuple[int, int] | None = None

    def look(self, before: int, target: int, after: int) -> bool | None:
        """One round's three readings: True equal, False different, None look again."""
        self.seen |= {before, after}
        if target in self.seen:
            return True
        if before != after:
            self.against, self.last = 0, None
            return None
        self.against = self.against + 1 if self.last == (before, target) else 1
        self.last = (before, target)
        needed = min(AGAINST + len(self.seen) - 1, MOST_AGAINST)
        return False if self.against >= needed else None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A row that differs for certain, and the hashes (0 for no row; counts without a key) by which that was seen."""

    key: KeyValue
    source: int
    target: int
    finding: Finding


class TableComparison:
    """Made for one table, run once.

    Its chunks are compared in lanes, a pair of connections each: its own, and those of whoever comes to help.
    """

    def __init__(
        self, plan: Plan, readers: tuple[Reader, Reader], clock: Clock,
        pace: Callable[[float], Awaitable[None]], progress: Callable[[TableResult], None], *, expected: int = 0,
    ) -> None:  # fmt: skip
        """`expected` is about how many rows there are."""
        self.plan = plan
        self.result = TableResult(plan.source.name, plan.target.name, left_out=list(plan.left_out))
        self._readers = self._source, self._target = readers
        self._clock = clock
        self._pace = pace
        self._progress = progress
        self._suspects: dict[KeyValue, Suspect] = {}
        self.confirmed: list[Confirmed] = []
        self._cutting = asyncio.Lock()
        """Held to find where the next chunk ends."""
        self._low: KeyValue | None = None
        self._step = FIRST_STEP
        self._cut = not plan.ranged
        """The last chunk is taken."""
        self._expected = expected
        self._helpers = 0
        self._alone = asyncio.Event()

    async def run(self) -> TableResult:
        """Compare the table. Raises ServerError, ConnectionLost and what the clock raises."""
        began = time.monotonic()
        if self.plan.ranged:
            await self._lane(self._readers)
            while self._helpers:
                self._alone.clear()
                await self._alone.wait()
        else:
            await self._chunk((None, None), self._readers)
        await self._settle(list(self._suspects.values()))
        self.result.seconds = time.monotonic() - began
        self._progress(self.result)
        return self.result

    @property
    def can_be_helped(self) -> bool:
        """There are chunks left for another lane."""
        return not self._cut and not self.result.error and self._expected > HELPED

    async def help(self, readers: tuple[Reader, Reader]) -> None:
        """Compare chunks on these connections too, until there are no more. Raises what `run` raises."""
        self._helpers += 1
        try:
            await self._lane(readers)
        finally:
            self._helpers -= 1
            if not self._helpers:
                self._alone.set()

    async def _lane(self, readers: tuple[Reader, Reader]) -> None:
        while (span := await self._next_span(readers[0])) is not None:
            began, step = time.monotonic(), self._step
            await self._chunk(span, readers)
            took = time.monotonic() - began
            self._step = next_step(step, took)
            await self._pace(took)

    async def _next_span(self, source: Reader) -> Range | None:
        async with self._cutting:
            if self._cut or self.result.error:
                return None
            low, high = self._low, await source.boundary(self.plan, self._low, self._step)
            self._low, self._cut = high, high is None
            return low, high

    async def suspects(self, span: Range) -> dict[KeyValue, Suspect]:
        """Compare one chunk; its rows that differ at first sight."""
        await self._chunk(span, self._readers)
        return self._suspects

    # -- one chunk -----------------------------------------------------------------------------------------

    async def _chunk(self, span: Range, readers: tuple[Reader, Reader]) -> None:
        mine, theirs = await both(readers[0].total(self.plan, *span), readers[1].total(self.plan, *span))
        self.result.rows += mine[0]
        self.result.chunks += 1
        if mine != theirs:
            await self._narrow(span, max(mine[0], theirs[0]), readers)
        self._progress(self.result)

    async def _narrow(self, span: Range, rows: int, readers: tuple[Reader, Reader]) -> None:
        """The rows of a differing chunk that differ become suspects."""
        plan = self.plan
        count = BUCKETS if plan.ranged else WHOLE_BUCKETS
        chosen: Sequence[int] | None = None
        if rows > FEW and not plan.documents:
            mine, theirs = await both(*(r.buckets(plan, *span, count) for r in readers))
            different = sorted(b for b in mine.keys() | theirs.keys() if mine.get(b) != theirs.get(b))
            chosen = []
            for bucket in different:
                size = max(mine.get(bucket, (0, 0))[0], theirs.get(bucket, (0, 0))[0])
                if len(self._suspects) + size > MAX_SHOWN and chosen:
                    # Enough is known about this table: the rest is counted and not fetched.
                    self.result.more += max(1, abs(mine.get(bucket, (0, 0))[0] - theirs.get(bucket, (0, 0))[0]))
                else:
                    chosen.append(bucket)
            if not chosen:
                return
        one, two = await both(*(r.rows(plan, *span, chosen, count) for r in readers))
        for key in one.keys() | two.keys():
            if one.get(key) != two.get(key):
                self._suspects.setdefault(key, Suspect(key))

    # -- settling ------------------------------------------------------------------------------------------

    async def _settle(self, suspects: list[Suspect]) -> None:
        waiting = suspects
        for number in range(SETTLE_ROUNDS):
            if not waiting:
                break
            await asyncio.sleep(PAUSES[number] if number < len(PAUSES) else LONG_PAUSE)
            again: list[Suspect] = []
            try:
                for start in range(0, len(waiting), ROUND):
                    again += await self.round(waiting[start : start + ROUND])
            except ServerError:
                raise
            except SegueError as error:
                # The stream stands still, maybe because of one of these very rows: they are named all the same.
                self.result.error = f"rows that differ at first sight could not be settled: {error.message}"
                break
            waiting = again
        self.result.unsettled = [dict(as_text(self.plan.named(s.key))) for s in waiting]

    async def round(self, suspects: list[Suspect]) -> list[Suspect]:
        """One look at these rows; those that have not settled."""
        keys = [s.key for s in suspects]
        before = await self._versions(self._source, keys)
        await self._clock.applied(await self._source.position())
        target = await self._versions(self._target, keys)
        after = await self._versions(self._source, keys)
        again = []
        confirmed: list[KeyValue] = []
        for suspect in suspects:
            key = suspect.key
            verdict = suspect.look(before.get(key, 0), target.get(key, 0), after.get(key, 0))
            if verdict is None:
                again.append(suspect)
            elif verdict:
                self.result.looked_again += 1
            else:
                confirmed.append(key)
        for start in range(0, len(confirmed), LOOKUP):
            await self._show(confirmed[start : start + LOOKUP], before, target)
        return again

    async def _versions(self, reader: Reader, keys: Sequence[KeyValue]) -> dict[KeyValue, int]:
        found: dict[KeyValue, int] = {}
        for start in range(0, len(keys), LOOKUP):
            found |= await reader.lookup(self.plan, keys[start : start + LOOKUP])
        return found

    async def _show(self, keys: list[KeyValue], source: dict[KeyValue, int], target: dict[KeyValue, int]) -> None:
        """Both versions of rows that differ for certain."""
        one, two = await both(self._source.shown(self.plan, keys), self._target.shown(self.plan, keys))
        names = dict(zip((f.column for f in self.plan.target.fields), (f.column for f in self.plan.source.fields), strict=True))
        for key in sorted(keys, key=repr):
            here, there = source.get(key, 0), target.get(key, 0)
            if self.plan.keyed:
                kind: Kind = "different" if here and there else "missing" if here else "extra"
                copies = 1
            else:
                kind, copies = ("missing", here - there) if here > there else ("extra", there - here)
            mine, my_marks = one.get(key, (None, []))
            row, their_marks = two.get(key, ({}, []))
            theirs = {names[c]: v for c, v in row.items()} or None
            columns = [f.column for f, a, b in zip(self.plan.source.fields, my_marks, their_marks, strict=False) if a != b]
            if kind != "different":
                columns = []
            named = {c: v if isinstance(v, str | None) else _key_text(v, mine or theirs or {}, c)
                     for c, v in self.plan.named(key).items()}  # fmt: skip
            finding = Finding(kind, named, mine, theirs, columns, copies)
            self.result.findings.append(finding)
            self.confirmed.append(Confirmed(key, here, there, finding))


def _key_text(value: bytes, row: dict[str, object], column: str) -> str:
    """A key's bytes as the row shows them."""
    shown = row.get(column)
    return shown if isinstance(shown, str) else f"0x{value.hex()}"


def next_step(step: int, took: float) -> int:
    """How many rows the next chunk gets when one of `step` rows took so many seconds."""
    return max(100, min(MAX_STEP, step * 4, int(step * CHUNK_SECONDS / max(took, 1e-4))))


async def both(one: Coroutine[Any, Any, A], two: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Ask both sides at the same time; the first error ends the other question too."""
    tasks = asyncio.ensure_future(one), asyncio.ensure_future(two)
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    return tasks[0].result(), tasks[1].result()
