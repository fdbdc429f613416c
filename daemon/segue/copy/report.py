"""How far a seed is, for status, logs and bars."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from segue.copy.record import Seed, TableRecord
from segue.errors import SegueError
from segue.log import get_logger

log = get_logger("seed")
WINDOW: Final = 30.0
"""Seconds over which the rate is taken."""
LOG_EVERY: Final = 10.0


class Report:
    """Filled by the seeder as it goes."""

    def __init__(self) -> None:
        self.state = "starting"
        self.paused = False
        self.error: SegueError | None = None
        self.tables: list[TableRecord] = []
        self.notes: list[str] = []
        self.again_bytes = 0
        """Bytes copied that had been copied before this process, or that had to be copied again."""
        self._moved: deque[tuple[float, int, int]] = deque()
        self._logged = 0.0
        self._began = time.monotonic()

    def begin(self, tables: list[TableRecord], seed: Seed) -> None:
        self.tables, self.paused, self.notes = tables, seed.paused, seed.notes
        self.state, self.error = "copying", None

    def moved(self, rows: int, size: int) -> None:
        """So much was committed just now."""
        now = time.monotonic()
        self.error = None
        self._moved.append((now, rows, size))
        while self._moved and now - self._moved[0][0] > WINDOW:
            self._moved.popleft()
        if now - self._logged > LOG_EVERY:
            self._logged = now
            value = self.status(None)
            log.info("seeding", **{k: value[k] for k in ("rows", "bytes", "percent", "bytes_per_second", "seconds_left")})

    def status(self, waits: str | None) -> dict[str, Any]:
        """The document: rows and bytes are of lines sent, estimates of the source's statistics."""
        tables = [_table(t) for t in sorted(self.tables, key=lambda t: -t.est_bytes)]
        rows, size = sum(t["rows"] for t in tables), sum(t["bytes"] for t in tables)
        share = sum(t["percent"] * max(t["estimated_bytes"], 1) for t in tables)
        total = sum(max(t["estimated_bytes"], 1) for t in tables)
        percent = share / total if total else 0.0
        now = time.monotonic()
        span = max(0.5, min(WINDOW, now - self._began, now - self._moved[0][0] if self._moved else WINDOW))
        rate = sum(m[2] for m in self._moved if now - m[0] <= WINDOW) / span
        left = None
        if rate > 0 and 0 < percent < 100:
            left = round(size / percent * (100 - percent) / rate, 1)
        return {
            "state": "paused" if self.paused and self.state == "copying" else self.state,
            "percent": round(percent, 1),
            "rows": rows,
            "bytes": size,
            "bytes_per_second": round(rate),
            "rows_per_second": round(sum(m[1] for m in self._moved) / span),
            "seconds_left": left,
            "waits_for": waits,
            "error": self.error.message if self.error else None,
            "mend": self.error.mend if self.error else None,
            "notes": self.notes,
            "tables": tables,
        }


def _table(t: TableRecord) -> dict[str, Any]:
    if t.state in ("copied", "done"):
        percent = 100.0
    else:
        percent = min(99.0, 100.0 * t.rows / t.est_rows) if t.est_rows else 0.0
    return {
        "table": t.full_name, "state": t.state, "rows": t.rows, "estimated_rows": t.est_rows, "bytes": t.bytes,
        "estimated_bytes": t.est_bytes, "percent": round(percent, 1), "whole": t.whole, "again": t.again,
    }  # fmt: skip
