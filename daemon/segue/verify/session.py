"""One comparison of all tables, or of those asked for: connections, order of tables, progress, the document."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from segue.config import Endpoint, Replicate, Verify
from segue.errors import ConnectionLost, Refused, SegueError, ServerError
from segue.flavour import Flavour
from segue.log import get_logger
from segue.roles import mapping_from
from segue.schema import Table, read_tables
from segue.schema.mapping import Mapping
from segue.verify.compare import Clock, TableComparison, both
from segue.verify.expressions import Incomparable
from segue.verify.findings import TableResult
from segue.verify.plan import Plan, make_plan
from segue.verify.reader import Reader
from segue.verify.repair import repair

log = get_logger("verify")
MAX_DOCUMENT: Final = 16 << 20
"""Bytes of row versions in one document; rows beyond have their keys only."""


@dataclass(frozen=True, slots=True)
class Order:
    """Between what, and how. The mapping's direction is source -> target."""

    deployment: str
    source: Endpoint
    source_label: str
    target: Endpoint
    target_label: str
    mapping: Mapping
    settings: Verify

    @classmethod
    def from_message(cls, args: dict[str, Any]) -> Order:
        source, target = args["source"], args["target"]
        return cls(
            args["deployment"], Endpoint.from_message(source), source["name"], Endpoint.from_message(target),
            target["name"], mapping_from(source["name"], Replicate.model_validate(args["replicate"])),
            Verify.model_validate(args["verify"]),
        )  # fmt: skip

    @property
    def where(self) -> tuple[str, str]:
        return (f"{self.source_label} {self.source.host}:{self.source.port}",
                f"{self.target_label} {self.target.host}:{self.target.port}")  # fmt: skip

    async def readers(self) -> tuple[Reader, Reader]:
        """A connection to each side. Raises ConnectionLost and ServerError."""
        ends = ((self.source, self.where[0], 0), (self.target, self.where[1], 1))
        tasks = [asyncio.create_task(Reader.open(*end)) for end in ends]
        try:
            one, two = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            for opened in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(opened, Reader):
                    opened.abandon()
            raise
        return one, two


@dataclass(slots=True)
class Progress:
    """How far a session has got."""

    tables: int = 0
    tables_done: int = 0
    table: str = ""
    rows: int = 0
    rows_estimated: int = 0
    differences: int = 0
    began: float = field(default_factory=time.monotonic)

    def message(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.began
        rate = self.rows / seconds if seconds > 0 else 0.0
        left = max(0, self.rows_estimated - self.rows) / rate if rate else None
        return {"tables": self.tables, "tables_done": self.tables_done, "table": self.table, "rows": self.rows,
                "rows_estimated": self.rows_estimated, "differences": self.differences, "seconds": round(seconds, 1),
                "rows_per_second": round(rate), "seconds_left": None if left is None else round(left, 1)}  # fmt: skip


async def plans(
    mapping: Mapping, readers: tuple[Reader, Reader], patterns: list[str]
) -> tuple[list[Plan], list[TableResult]]:
    """All tables that are to be compared, and those that cannot be, with the reason.

    Raises Refused for a pattern that names no table.
    """
    here, there = await both(read_tables(readers[0].conn, mapping), read_tables(readers[1].conn, mapping.inverse()))
    ends = readers[0].flavour, readers[1].flavour
    chosen = {key: t for key, t in here.items() if not patterns or _asked(t, patterns)}
    for pattern in patterns:
        if not any(_asked(t, [pattern]) for t in here.values()):
            raise Refused(f"no replicated table is called {pattern}",
                          mend="Give schema.table, with * and ? if you like; segue check lists what is replicated")  # fmt: skip
    good: list[Plan] = []
    bad: list[TableResult] = []
    seen = set()
    for key, table in sorted(chosen.items()):
        rule = mapping.table(*key)
        seen.add(rule.target)
        found = _plan(table, there.get(rule.target), mapping, ends)
        (good if isinstance(found, Plan) else bad).append(found)  # type: ignore[arg-type]
    if not patterns:
        bad += [
            TableResult("", t.full_name, error="it is only on the target") for key, t in sorted(there.items())
            if key not in seen
        ]  # fmt: skip
    return good, bad


def _asked(table: Table, patterns: list[str]) -> bool:
    return any(fnmatchcase(table.full_name, p) for p in patterns)


def _plan(table: Table, other: Table | None, mapping: Mapping, ends: tuple[Flavour, Flavour]) -> Plan | TableResult:
    rule = mapping.table(table.schema, table.name)
    if other is None:
        return TableResult(table.full_name, rule.target_name, error="it is not there on the target")
    try:
        return make_plan(table, other, rule, ends)
    except Incomparable as why:
        return TableResult(table.full_name, other.full_name, error=str(why))


class Session:
    """Made, run once."""

    def __init__(self, order: Order, clock: Clock, *, repair: bool = False) -> None:
        self.order = order
        self._repair = repair
        self.progress = Progress()
        self._clock = clock
        self._results: list[TableResult] = []
        self._counted: dict[int, int] = {}
        self._running: list[TableComparison] = []

    async def run(self, patterns: list[str]) -> dict[str, Any]:
        """Compare; the document. Raises SegueError when it cannot be done."""
        began, clock = time.time(), time.monotonic()
        first = await self.order.readers()
        try:
            todo, self._results = await plans(self.order.mapping, first, patterns)
            sized = [(await first[0].estimate(p), p) for p in todo]
        except BaseException:
            for reader in first:
                reader.abandon()
            raise
        self.progress = Progress(tables=len(todo), rows_estimated=sum(size for size, _ in sized))
        queue = sorted(sized, key=lambda s: s[0])  # taken from the end: the largest first
        workers = [asyncio.create_task(self._work(queue, first if n == 0 else None)) for n in range(self.order.settings.parallel)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return self._document(began, time.monotonic() - clock)

    async def _work(self, queue: list[tuple[int, Plan]], readers: tuple[Reader, Reader] | None) -> None:
        """Compare tables while there are any, then help with one that another is at."""
        try:
            while True:
                large = next((c for c in self._running if c.can_be_helped), None)
                if not queue and large is None:
                    return
                taken = queue.pop() if queue else None
                if readers is None or any(r.closed for r in readers):
                    readers = await self.order.readers()
                if taken is not None:
                    self.progress.table = taken[1].source.name
                    self._results.append(await self._table(*taken, readers))
                    self.progress.tables_done += 1
                elif large is not None:
                    await self._help(large, readers)
        finally:
            for reader in readers or ():
                with contextlib.suppress(SegueError):
                    await reader.close()

    async def _table(self, expected: int, plan: Plan, readers: tuple[Reader, Reader]) -> TableResult:
        comparison = TableComparison(plan, readers, self._clock, _full_speed, self._advanced, expected=expected)
        self._running.append(comparison)
        try:
            result = await comparison.run()
            if self._repair and comparison.confirmed:
                await repair(self.order.deployment, plan, readers, comparison.confirmed)
            return result
        except ConnectionLost:
            raise
        except ServerError as error:
            # Dropped or altered meanwhile, or a right that is missing: said of this table, the others go on.
            comparison.result.error = error.message
            return comparison.result
        finally:
            self._running.remove(comparison)

    @staticmethod
    async def _help(comparison: TableComparison, readers: tuple[Reader, Reader]) -> None:
        try:
            await comparison.help(readers)
        except ConnectionLost:
            raise
        except ServerError as error:
            comparison.result.error = error.message

    def _advanced(self, result: TableResult) -> None:
        before = self._counted.get(id(result), 0)
        self._counted[id(result)] = result.rows
        self.progress.rows += result.rows - before
        self.progress.rows_estimated = max(self.progress.rows_estimated, self.progress.rows)
        self.progress.differences = sum(r.open_findings for r in self._results) + result.open_findings

    def _document(self, began: float, seconds: float) -> dict[str, Any]:
        results = sorted(self._results, key=lambda r: r.source or r.target)
        _shorten(results)
        rows = sum(r.rows for r in results)
        return {
            "equal": all(r.equal for r in results),
            "source": self.order.source_label,
            "target": self.order.target_label,
            "began": began,
            "seconds": round(seconds, 3),
            "rows": rows,
            "rows_per_second": round(rows / seconds) if seconds else 0,
            "differences": sum(len(r.findings) + r.more for r in results),
            "repaired": sum(f.repaired for r in results for f in r.findings),
            "unsettled": sum(len(r.unsettled) for r in results),
            "tables": [r.message() for r in results],
        }


def _shorten(results: list[TableResult]) -> None:
    """Keep the document within what can be sent."""
    spent = 0
    for result in results:
        for finding in result.findings:
            for row in (finding.source, finding.target):
                spent += sum(len(v) for v in (row or {}).values() if v is not None) + 100
            if spent > MAX_DOCUMENT:
                finding.source = finding.target = None
                finding.problem = finding.problem or "left out: the document would be too large"


async def _full_speed(_took: float) -> None:
    return
