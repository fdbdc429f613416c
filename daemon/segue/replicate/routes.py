"""Ways of row events to a target that does not take them as they are."""

from __future__ import annotations

from segue.binlog.batch import Batch
from segue.binlog.events import PARTIAL_UPDATE_ROWS, TWO_IMAGES, UPDATE_V2, WRITE_V1, WRITE_V2, BinlogError
from segue.binlog.images import ABSENT, Head, Layout
from segue.binlog.partial import complete
from segue.binlog.rows import TableMap
from segue.binlog.transcode import Transcoder, Unfit
from segue.binlog.values import codec
from segue.flavour import Flavour
from segue.replicate.assembler import Route, Stop
from segue.replicate.sqlpath import SqlTable
from segue.schema.compare import Comparison

_V2_DISTANCE = WRITE_V2 - WRITE_V1
_NO_EXTRA = b"\2\0"


def kind_for(flavour: Flavour, kind: int) -> int:
    """The row event type that the target takes."""
    if flavour.rows_v2:
        return kind if kind >= WRITE_V2 else kind + _V2_DISTANCE
    return kind - _V2_DISTANCE if kind >= WRITE_V2 else kind


def whole(layout: Layout, kind: int, body: bytes) -> tuple[int, bytes]:
    """A row event without JSON differences. Raises Stop where the event has not what that needs."""
    if kind != PARTIAL_UPDATE_ROWS:
        return kind, body
    try:
        return UPDATE_V2, complete(layout, body)
    except BinlogError as error:
        raise Stop(f"{layout.table.schema}.{layout.table.table}: {error}",
                   mend="SET GLOBAL binlog_row_value_options = ''; on the source, for running sessions too") from None  # fmt: skip


class Reframed(Route):
    """The same rows under a table map, and in events of a version, that the target takes."""

    __slots__ = ("_flavour", "_layout")

    def __init__(self, event: TableMap, target: TableMap, flavour: Flavour) -> None:
        super().__init__(event, as_is=False)
        self.map = target
        self._flavour = flavour
        self._layout = Layout(event)

    def add(self, batch: Batch, kind: int, timestamp: int, flags: int, body: bytes) -> None:
        if not self._flavour.rows_v2:
            kind, body = whole(self._layout, kind, body)
        at = body[0] | body[1] << 8 if kind >= WRITE_V2 else 0
        end = at + (self.update_head if kind in TWO_IMAGES else self.head)
        new = kind_for(self._flavour, kind)
        head = (_NO_EXTRA if new >= WRITE_V2 else b"") + body[at:end]
        batch.add(new, timestamp, flags & self._flavour.row_flags, head, body[end:], self.map)


class Transcoded(Route):
    """Rows re-written for the target's columns."""

    __slots__ = ("_comparison", "_event", "_flavour", "_layout", "_transcoder")

    def __init__(
        self, event: TableMap, target: TableMap, comparison: Comparison, flavour: Flavour, *, whole_rows: bool = False
    ) -> None:
        super().__init__(event, as_is=False)
        self.map = target
        self._event = event
        self._comparison = comparison
        self._flavour = flavour
        self._layout = Layout(event)
        self._transcoder = Transcoder(event.described, target.columns, comparison.steps, whole_rows=whole_rows)

    def add(self, batch: Batch, kind: int, timestamp: int, flags: int, body: bytes) -> None:
        kind, body = whole(self._layout, kind, body)
        head, at = self._layout.head(kind, body)
        new = kind_for(self._flavour, kind)
        rows = body[at:]
        try:
            made, out = self._transcoder.rows(kind, head, rows, timestamp, extra=_NO_EXTRA if new >= WRITE_V2 else b"")
        except Unfit as unfit:
            raise self._named(unfit, kind, head, rows[unfit.row :]) from None
        batch.add(new, timestamp, flags & self._flavour.row_flags, made, out, self.map)

    def _named(self, unfit: Unfit, kind: int, head: Head, rows: bytes) -> Stop:
        source, target = self._comparison.source, self._comparison.target
        assert target is not None
        here = source.column(unfit.column)
        name = self._comparison.mapping.column(unfit.column) or unfit.column
        there = target.column(name)
        return Stop(
            f"{source.full_name}.{unfit.column}: a value does not fit the target's {target.full_name}.{name}: {unfit}."
            f" The row: {self._row(kind, head, rows)}; {here.definition if here else ''} on the source,"
            f" {there.definition if there else ''} on the target",
            mend=f'Change the value or the target\'s column; allow_lossy = ["{unfit.column}"] cuts values to fit',
        )

    def _row(self, kind: int, head: Head, rows: bytes) -> str:
        """The key of the first row, for people; all of it where there is no key."""
        try:
            before, after = self._layout.slices(kind, head, rows)[0]
        except BinlogError as error:
            return f"(cannot be shown: {error})"
        source = self._comparison.source
        wanted = set(source.primary.names) if source.primary else {c.name.lower() for c in source.columns}
        shown = []
        for column, wired, place in zip(source.columns, self._event.described, before or after or (), strict=True):
            if column.name.lower() in wanted and place is not ABSENT:
                value = None if place is None else codec(wired).decode(rows[place[0] : place[1]])
                shown.append(f"{column.name} = {_short(value)}")
        return ", ".join(shown)


class BySql(Route):
    """Rows applied by statements."""

    __slots__ = ("_layout", "_table")

    def __init__(self, event: TableMap, comparison: Comparison) -> None:
        super().__init__(event, as_is=False)
        self._table = SqlTable(event, comparison)
        self._layout = Layout(event)

    def add(self, batch: Batch, kind: int, timestamp: int, flags: int, body: bytes) -> None:
        kind, body = whole(self._layout, kind, body)
        _, at = self._layout.head(kind, body)
        batch.add(kind, timestamp, flags, body[:at], body[at:], self._table)


def _short(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...") if isinstance(value, bytes | str) else text
