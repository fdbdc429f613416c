"""Walking one table chunk by chunk. The order of chunks is the key's; several may be under way at once."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right
from typing import Final

from segue.copy import record
from segue.copy.gate import Gate
from segue.copy.keys import Bound, WalkKey
from segue.copy.lane import Lane
from segue.copy.lines import Form
from segue.copy.load import load, room
from segue.copy.record import Chunk, TableRecord
from segue.copy.rows import MAX_ROWS, TooLarge, read_chunk
from segue.errors import ConnectionLost, SegueError, ServerError
from segue.sql import Connection, name

_BOUND_LIMIT: Final = 120.0
_NO_MORE_PREPARED: Final = 1461
_MOST: Final = 16
"""A chunk that turns out this many times larger than it should be is cut."""
_LEAST: Final = 1 << 20


class Walk:
    """What of a table is done, under way and left."""

    def __init__(self, table: TableRecord, key: WalkKey, form: Form, chunk_bytes: int) -> None:
        self.table = table
        self.key = key
        self.form = form
        self.under_way = 0
        self.lanes = 0
        """That are at it, or will be."""
        self.ended = False
        """No chunk is left to be begun."""
        self.dead = False
        """The table is being copied anew: what was found for this walk must not be written any more."""
        self._chunk_bytes = chunk_bytes
        average = table.est_bytes // table.est_rows if table.est_rows else 200
        self._most = MAX_ROWS // max(1, len(form.computed))
        self._rows = max(1, min(self._most, chunk_bytes // max(average, 20)))
        self._turn = asyncio.Lock()
        self._gaps: list[Chunk] = []
        self._numbers: list[float] = []
        self._low: Bound | None = None
        self._resume(table.chunks)

    @property
    def done(self) -> bool:
        return self.ended and not self.under_way and not self._gaps

    @property
    def has_work(self) -> bool:
        return not self.ended or bool(self._gaps)

    def _resume(self, chunks: list[Chunk]) -> None:
        """Chunks that were begun and not committed are gaps between those that were."""
        last = 0.0
        for chunk in chunks:
            if chunk.low != self._low:
                self._gaps.append(Chunk((last + chunk.number) / 2, self._low, chunk.low))
            last, self._low = chunk.number, chunk.high
            self.ended = chunk.high is None
        self._numbers = sorted(c.number for c in (*chunks, *self._gaps))

    async def take(self, lane: Lane) -> Chunk | None:
        """The next chunk to copy; None when there is none."""
        async with self._turn:
            if self._gaps:
                if self._gaps[0].large:
                    await self._split(lane, self._gaps[0])
                self.under_way += 1
                return self._gaps.pop(0)
            if self.ended:
                return None
            high = await self._bound(await lane.source(), self._low, None)
            chunk = Chunk(self._numbers[-1] + 1.0 if self._numbers else 1.0, self._low, high)
            self._numbers.append(chunk.number)
            self._low, self.ended = high, high is None
            self.under_way += 1
            return chunk

    async def _bound(self, conn: Connection, low: Bound | None, end: Bound | None) -> Bound | None:
        """The key of the last row of a chunk behind `low`, None when `end` (None: the table's) comes first."""
        rows = await conn.query(
            f"SELECT {self.key.fields()} FROM {name(*self.table.name)} FORCE INDEX ({name(self.key.name)})"
            f" WHERE {self.key.where(low, end)} ORDER BY {self.key.order} LIMIT 1 OFFSET {self._rows - 1}",
            timeout=_BOUND_LIMIT,
        )
        return self.key.bound(rows[0]) if rows else None

    async def copy(self, lane: Lane, chunk: Chunk, deployment: str, gate: Gate) -> None:
        """Read and commit one chunk. After an error its outcome is known, and it is a gap again."""
        done = False
        try:
            async with gate.copying():
                if self.dead:
                    return
                try:
                    await self._copy(lane, chunk, deployment)
                    done = True
                except BaseException:
                    await _settle(lane)
                    raise
        except TooLarge as told:
            self._rows = max(1, min(self._most, told.rows * self._chunk_bytes // told.bytes))
            chunk.large = True  # cut when it is taken again
        finally:
            self.under_way -= 1
            if not done and chunk not in self._gaps:
                self._gaps.append(chunk)

    async def _copy(self, lane: Lane, chunk: Chunk, deployment: str) -> None:
        source, target = await lane.source(), await lane.target()
        where = self.key.where(chunk.low, chunk.high)
        most = sys.maxsize if chunk.whole else max(_LEAST, _MOST * self._chunk_bytes)
        form, count, pieces = await read_fitting(source, target, self.form, name(*self.table.name), where, (self._most, most))
        await target.query("START TRANSACTION")
        if count:
            await load(target, form, pieces, count)
        chunk.rows, chunk.bytes = count, sum(map(len, pieces))
        await target.run(f"{record.chunk_done(deployment, self.table.name, chunk)}; COMMIT", count=2)
        self.table.rows += count
        self.table.bytes += chunk.bytes
        if count > 20:
            ideal = self._chunk_bytes * count // max(1, chunk.bytes)
            self._rows = max(1, min(self._most, self._rows * 2, ideal))

    async def _split(self, lane: Lane, chunk: Chunk) -> None:
        """Leave of a gap that is too large what should be read at once, and make a gap of the rest behind it."""
        middle = await self._bound(await lane.source(), chunk.low, chunk.high)
        if middle is not None and middle != chunk.high:
            at = bisect_right(self._numbers, chunk.number)
            number = between(chunk.number, self._numbers[at] if at < len(self._numbers) else chunk.number + 1.0)
            if number is None:
                chunk.whole = True
            else:
                self._numbers.insert(at, number)
                self._gaps.insert(1, Chunk(number, middle, chunk.high, large=True))
                chunk.high = middle
        chunk.large = False


async def read_fitting(  # noqa: PLR0917 - both ends, and what `read_chunk` takes
    source: Connection, target: Connection, form: Form, table: str, where: str, most: tuple[int, int]
) -> tuple[Form, int, list[bytes]]:
    """A chunk as `read_chunk` gives it, and in which form: lines where a row is larger than the target's packets, or the
    source prepares no more statements."""
    try:
        count, pieces = await read_chunk(source, form, table, where, most)
    except ServerError as error:
        if error.code != _NO_MORE_PREPARED or form.plain is None:
            raise
        form = form.plain
        count, pieces = await read_chunk(source, form, table, where, most)
    if form.plain is not None and max(map(len, pieces), default=0) > await room(target, form):
        form = form.plain
        count, pieces = await read_chunk(source, form, table, where, most)
    return form, count, pieces


def between(low: float, high: float) -> float | None:
    """A number between two, near the lower one: what is cut is mostly the rest, again and again. None: there is none."""
    for part in (2.0**-12, 0.5):
        number = low + (high - low) * part
        if low < number < high:
            return number
    return None


async def _settle(lane: Lane) -> None:
    """Until it is known whether the lane's last transaction was committed: by waiting for its connection's end."""
    lane.leave()
    while True:
        try:
            await lane.target()
            return
        except (ConnectionLost, SegueError):
            await asyncio.sleep(0.5)
