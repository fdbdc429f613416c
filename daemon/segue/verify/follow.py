"""What has been touched since it was compared: the source's binlog read along, row keys cut out of its row images.

It reads a dump stream of its own, so that the replicator's path stays as it is and what is proved does not rest on what
the applier believes. Memory is bounded: beyond `MAX_KEYS` a table counts as touched in whole, as does one without
key, or whose key cannot be read from an event.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from segue.binlog.batch import Batch
from segue.binlog.events import BinlogError
from segue.binlog.images import ABSENT, Layout, Slice, Slices
from segue.binlog.positions import Position, parse
from segue.binlog.rows import TableMap
from segue.binlog.values import codec
from segue.flavour import Flavour
from segue.replicate.assembler import Assembler, Route
from segue.replicate.ddl.event import Ddl
from segue.replicate.dump import DumpRequest, DumpStream
from segue.verify.plan import KeyPart, KeyValue, Plan
from segue.verify.session import Order

MAX_KEYS: Final = 200_000
"""Touched rows remembered of all tables together; a key takes some 200 bytes."""
_LIMIT: Final = 1 << 30


class Touched:
    """One table's touched rows."""

    def __init__(self) -> None:
        self.keys: dict[KeyValue, float] = {}
        """Key -> monotonic second of the first touch not yet looked at."""
        self.whole = True
        """Anything may have changed."""

    def all(self) -> None:
        self.whole = True
        self.keys.clear()

    def take(self, before: float, most: int) -> list[KeyValue]:
        """The oldest keys touched before this second; they count as looked at."""
        found: list[KeyValue] = []
        for key, at in self.keys.items():
            if at > before or len(found) == most:
                break
            found.append(key)
        for key in found:
            del self.keys[key]
        return found


class _KeyRoute(Route):
    """The route of a table's rows here: their keys are noted and nothing is passed on."""

    __slots__ = ("_codecs", "_layout", "_note", "_parts", "_touched")

    def __init__(self, event: TableMap, plan: Plan, touched: Touched, note: Callable[[Touched, KeyValue], None]) -> None:
        super().__init__(event, as_is=False)
        self._touched = touched
        self._note = note
        self._layout = Layout(event)
        self._parts: list[tuple[int, KeyPart, str]] | None = None
        names = [n.lower() for n in event.names]
        fields = {f.column: f for f in plan.source.fields}
        if plan.keyed and all(k.column in names for k in plan.source.key):
            self._parts = [(names.index(k.column), k, fields[k.column].charset) for k in plan.source.key]
            self._codecs = {n: codec(event.described[n]).decode for n, _, _ in self._parts}

    def add(self, batch: Batch, kind: int, timestamp: int, flags: int, body: bytes) -> None:  # noqa: ARG002 - a Route
        touched = self._touched
        if self._parts is None:
            touched.all()
            return
        head, at = self._layout.head(kind, body)
        rows = body[at:]
        for before, after in self._layout.slices(kind, head, rows):
            for image in (before, after):
                if image is not None:
                    key = self._key(rows, image)
                    if key is None:
                        touched.all()
                        return
                    self._note(touched, key)

    def _key(self, rows: bytes, image: Slices) -> KeyValue | None:
        """As `ident` brings it; None where it cannot be told."""
        assert self._parts is not None
        values: list[str | bytes | None] = []
        for number, part, charset in self._parts:
            place: Slice = image[number]
            if place is None or place is ABSENT:
                return None
            assert isinstance(place, tuple)
            value = _ident(self._codecs[number](rows[place[0] : place[1]]), part, charset)
            if value is None:
                return None
            values.append(value)
        return tuple(values)


def _ident(value: Any, part: KeyPart, charset: str) -> str | bytes | None:
    if part.carrier == "number":
        return str(value) if isinstance(value, int) else format(value, "f") if isinstance(value, Decimal) else None
    if part.carrier == "time":
        return value if isinstance(value, str) else None
    if part.carrier in ("text", "bytes") and isinstance(value, bytes):
        return value if part.carrier == "bytes" or part.charset == charset else None
    return None


class Follower:
    """Reads along from a position on, until cancelled."""

    def __init__(self, order: Order, plans: dict[tuple[str, str], tuple[Plan, Touched]]) -> None:
        self._order = order
        self._plans = plans
        self._count = 0
        self.position: Position | None = None
        self._moved = asyncio.Event()
        self.events = 0

    async def run(self, flavour: Flavour, start: str) -> None:
        """Raises Stop, BinlogError, ConnectionLost, ServerError: what was touched is not known any more then."""
        order = self._order
        position = parse(start, mariadb=flavour.dump_is_mariadb)
        assembler = Assembler(position, self._route, order.mapping, _LIMIT)
        self.position = assembler.position
        seed = hashlib.sha256(f"segue:{order.deployment}:verify".encode()).digest()
        stream = await DumpStream.open(
            DumpRequest(order.source, order.where[0], flavour.dump_is_mariadb,
                        int.from_bytes(seed[:4], "little") | 0x8000_0000, str(uuid.UUID(bytes=seed[:16])), position.copy())
        )  # fmt: skip
        try:
            while True:
                packets = await stream.read()
                assembler.clock = time.time()
                rest = iter(packets)
                while (found := assembler.feed(rest)) is not False:
                    if isinstance(found, Ddl):
                        raise BinlogError("definitions changed")  # plans are made anew
                    assembler.take()
                self._moved.set()
        finally:
            stream.close()

    async def reached(self, position: str, mariadb: bool) -> None:
        """Until everything up to this position of the source has been noted."""
        wanted = parse(position, mariadb=mariadb)
        while self.position is None or not self.position.contains(wanted):
            self._moved.clear()
            await self._moved.wait()

    def _route(self, event: TableMap) -> Route | None:
        found = self._plans.get((event.schema, event.table))
        if found is None:
            return None
        return _KeyRoute(event, *found, self._note)

    def _note(self, touched: Touched, key: KeyValue) -> None:
        self.events += 1
        if touched.whole or key in touched.keys:
            return
        touched.keys[key] = time.monotonic()
        self._count += 1
        if self._count > MAX_KEYS:
            self._count = sum(len(t.keys) for _, t in self._plans.values())
            if self._count > MAX_KEYS:
                touched.all()
