"""What the clients were told against what the servers hold. Pure but for reading the history's file.

An append that was acknowledged is there exactly once; one that was refused is not; one of unknown outcome is there
once or not at all; nothing is there that nobody asked for. A client's appends have growing ids. A client that reads
its own appends sees all that were acknowledged to it before. The sum over all accounts never changes. And the side
that accepts writes changes no more often than switchovers were committed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class History:
    """Facts of one run."""

    ops: dict[tuple[int, int], str] = field(default_factory=dict)
    reads: list[tuple[int, float, float, int, int]] = field(default_factory=list)
    """(client, invoked, ended, count, highest)"""
    watched: list[tuple[str, float, float]] = field(default_factory=list)
    acknowledged_at: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """By client: (when, seq) of each acknowledged append."""


class Reader:
    """Reads on where the last call ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def take(self, into: History) -> None:
        """Add the new facts."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        lines = data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            _note(into, json.loads(line))


def _note(history: History, fact: list[Any]) -> None:
    if fact[0] == "op":
        _, client, seq, _, _, ended, outcome = fact
        history.ops[client, seq] = outcome
        if outcome == "ok":
            history.acknowledged_at.setdefault(client, []).append((ended, seq))
    elif fact[0] == "read":
        history.reads.append((fact[1], fact[2], fact[3], fact[4], fact[5]))
    else:
        history.watched.append((fact[1], fact[2], fact[3]))


def anomalies(history: History, rows: list[tuple[int, int, int]]) -> list[str]:
    """`rows` are (id, client, seq) of one server, by id. Empty when all is as it must be."""
    found: list[str] = []
    counts = Counter((client, seq) for _, client, seq in rows)
    for key, outcome in history.ops.items():
        there = counts.get(key, 0)
        if outcome == "ok" and there == 0:
            found.append(f"lost: client {key[0]} append {key[1]} was acknowledged")
        if there > 1:
            found.append(f"doubled: client {key[0]} append {key[1]} is there {there} times")
        if outcome == "fail" and there:
            found.append(f"done although refused: client {key[0]} append {key[1]}")
    found += [f"nobody asked for client {k[0]} append {k[1]}" for k in counts if k not in history.ops]
    last: dict[int, int] = {}
    for _, client, seq in rows:
        if seq < last.get(client, 0):
            found.append(f"out of order: client {client} append {seq} has a later id than {last[client]}")
        last[client] = max(seq, last.get(client, 0))
    return found + _stale(history)


def _stale(history: History) -> list[str]:
    found = []
    for client, invoked, _, count, highest in history.reads:
        before = [seq for ended, seq in history.acknowledged_at.get(client, []) if ended < invoked]
        if before and (highest < max(before) or count < len(before)):
            found.append(f"stale read: client {client} saw {count} appends up to {highest} after {len(before)} up to"
                         f" {max(before)} had been acknowledged to it")  # fmt: skip
    return found


def changes(watched: list[tuple[str, float, float]]) -> int:
    """How often the accepting side provably changed: the longest chain of writes, each wholly after the one before
    and on the other side. A write's moment is somewhere between sent and answered, hence wholly after."""
    ordered = sorted(watched, key=lambda w: w[2])
    best = 0
    for first in ("blue", "green"):
        side, end, length = first, float("-inf"), 0
        for one, sent, answered in ordered:
            if one == side and sent > end:
                length, end = length + 1, answered
                side = "green" if side == "blue" else "blue"
        best = max(best, length - 1)
    return max(0, best)
