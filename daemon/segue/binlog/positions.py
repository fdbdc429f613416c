"""Positions in a binlog: MySQL GTID sets, MariaDB GTID positions, file:offset. Pure.

One class for each, with the same four operations; `parse` picks by the form of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Protocol

from segue.binlog.events import BinlogError
from segue.binlog.tagged import encode_set


class Position(Protocol):
    """Where a stream is. `text` can be given to `parse` again."""

    def text(self) -> str: ...
    def contains(self, other: Position) -> bool: ...
    def copy(self) -> Position: ...


class GtidSet:
    """A MySQL GTID set, tags included. Intervals are half open: [start, stop)."""

    __slots__ = ("_sets",)

    def __init__(self, text: str = "") -> None:
        self._sets: dict[str, list[list[int]]] = {}
        for part in filter(None, (p.strip() for p in text.replace("\n", "").split(","))):
            self._parse(part)

    def _parse(self, part: str) -> None:
        uuid, *rest = part.split(":")
        if not rest or not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uuid):
            raise ValueError(part)
        key = uuid.lower()
        for item in rest:
            if re.fullmatch(r"\d+(-\d+)?", item):
                first, _, last = item.partition("-")
                self._sets.setdefault(key, []).append([int(first), int(last or first) + 1])
            elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,31}", item):
                key = f"{uuid.lower()}:{item.lower()}"
            else:
                raise ValueError(part)
        for intervals in self._sets.values():
            intervals.sort()
            merged: list[list[int]] = []
            for start, stop in intervals:
                if merged and start <= merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], stop)
                else:
                    merged.append([start, stop])
            intervals[:] = merged

    def add(self, source: str, number: int) -> None:
        """Add one transaction; the usual case, one more at the end, costs one comparison."""
        intervals = self._sets.get(source)
        if intervals is None:
            self._sets[source] = [[number, number + 1]]
            return
        last = intervals[-1]
        if last[1] == number:
            last[1] = number + 1
            return
        at = bisect_right(intervals, [number, 1 << 63])
        if at and intervals[at - 1][1] > number:
            return
        joins_left = at and intervals[at - 1][1] == number
        joins_right = at < len(intervals) and intervals[at][0] == number + 1
        if joins_left and joins_right:
            intervals[at - 1][1] = intervals[at][1]
            del intervals[at]
        elif joins_left:
            intervals[at - 1][1] = number + 1
        elif joins_right:
            intervals[at][0] = number
        else:
            intervals.insert(at, [number, number + 1])

    def contains(self, other: Position) -> bool:
        if not isinstance(other, GtidSet):
            raise BinlogError("a GTID set cannot be compared with another kind of position")
        for key, intervals in other._sets.items():
            mine = self._sets.get(key, [])
            for start, stop in intervals:
                at = bisect_right(mine, [start, 1 << 63]) - 1
                if at < 0 or mine[at][1] < stop:
                    return False
        return True

    def overlaps(self, other: GtidSet) -> bool:
        """Whether they have a transaction in common."""
        return any(
            start < there[1] and there[0] < stop
            for key, intervals in other._sets.items()
            for start, stop in intervals
            for there in self._sets.get(key, ())
        )

    def of(self, uuid: str) -> GtidSet:
        """What one server has written, with and without tags."""
        return self._made({k: v for k, v in self._sets.items() if k.partition(":")[0] == uuid.lower()})

    def without(self, other: GtidSet) -> GtidSet:
        """What is not in `other`."""
        out: dict[str, list[list[int]]] = {}
        for key, intervals in self._sets.items():
            for start, stop in intervals:
                begin = start
                for gone, end in other._sets.get(key, ()):
                    if gone < stop and end > begin:
                        if begin < gone:
                            out.setdefault(key, []).append([begin, gone])
                        begin = min(end, stop)
                if begin < stop:
                    out.setdefault(key, []).append([begin, stop])
        return self._made(out)

    @staticmethod
    def _made(sets: dict[str, list[list[int]]]) -> GtidSet:
        new = GtidSet()
        new._sets = {key: [list(i) for i in intervals] for key, intervals in sets.items()}
        return new

    def tagged(self) -> bool:
        return any(":" in key for key in self._sets)

    def encoded(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID wants a set with tags (MySQL 8.3 and later)."""
        return encode_set(self._sets)

    def text(self) -> str:
        return ",".join(
            key + "".join(f":{a}-{b - 1}" if b - a > 1 else f":{a}" for a, b in intervals)
            for key, intervals in sorted(self._sets.items())
        )

    def copy(self) -> GtidSet:
        return self._made(self._sets)


class MariaGtid:
    """A MariaDB position: per domain the server and sequence number of the last transaction."""

    __slots__ = ("_domains",)

    def __init__(self, text: str = "") -> None:
        self._domains: dict[int, tuple[int, int]] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            domain, server, sequence = map(int, part.split("-"))
            self._domains[domain] = (server, sequence)

    def add(self, domain: int, server: int, sequence: int) -> None:
        self._domains[domain] = (server, sequence)

    def contains(self, other: Position) -> bool:
        """Sequence numbers grow within a domain, so a higher one contains a lower one."""
        if not isinstance(other, MariaGtid):
            raise BinlogError("a MariaDB position cannot be compared with another kind of position")
        return all(
            domain in self._domains and self._domains[domain][1] >= sequence
            for domain, (_, sequence) in other._domains.items()
        )

    def text(self) -> str:
        return ",".join(f"{d}-{s}-{n}" for d, (s, n) in sorted(self._domains.items()))

    def copy(self) -> MariaGtid:
        new = MariaGtid()
        new._domains = dict(self._domains)
        return new


class FilePosition:
    """A binlog file and the offset behind the last event."""

    __slots__ = ("file", "offset")

    def __init__(self, file: str, offset: int) -> None:
        self.file = file
        self.offset = offset

    def contains(self, other: Position) -> bool:
        if not isinstance(other, FilePosition):
            raise BinlogError("file:offset cannot be compared with another kind of position")
        return (_number(self.file), self.offset) >= (_number(other.file), other.offset)

    def text(self) -> str:
        return f"{self.file}:{self.offset}"

    def copy(self) -> FilePosition:
        return FilePosition(self.file, self.offset)


def _number(file: str) -> int:
    return int(file.rpartition(".")[2])


def parse(text: str, *, mariadb: bool) -> GtidSet | MariaGtid | FilePosition:
    """A position from its text. Raises BinlogError for what is none."""
    text = text.strip()
    try:
        if match := re.fullmatch(r"([^\s:]+\.\d+):(\d+)", text):
            return FilePosition(match[1], int(match[2]))
        if mariadb:
            return MariaGtid(text)
        return GtidSet(text)
    except ValueError:
        raise BinlogError(f"'{text}' is no binlog position") from None
