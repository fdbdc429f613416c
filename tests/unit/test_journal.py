"""What the journal leaves on the disk."""

from __future__ import annotations

from pathlib import Path

from segue.switchover.journal import Journal
from segue.switchover.machine import State

ENTRIES = 12
FILES = 1 << 20
"""Bytes that a journal may take beside its reserve after a hundred switchovers."""


def test_a_hundred_switchovers_leave_small_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "shop")
    sides = ["blue", "green"]
    for _ in range(100):
        number = journal.begin(*sides)
        for _ in range(ENTRIES):
            journal.enter(number, State.DRAINING, position="3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5000")
        journal.finish(number, {"outcome": "done", "steps": [{"step": "draining", "ms": 1.0}] * ENTRIES}, new_active=sides[1])
        sides.reverse()
    largest = max(f.stat().st_size for f in tmp_path.iterdir())
    journal.close()
    assert largest < FILES
