"""How a comparison looks on a terminal: its progress and its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

MAX_LINES: Final = 50
"""Rows shown; --json has all."""
_MEANING: Final = {"missing": "only on the source", "extra": "only on the target", "different": ""}


@contextmanager
def bar(console: Console, *, shown: bool) -> Iterator[Any]:
    """A function to call with each progress document."""
    if not shown:
        yield lambda _facts: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("comparing", total=None, text="")

        def show(facts: dict[str, Any]) -> None:
            left = "" if facts["seconds_left"] is None else f", {facts['seconds_left']:.0f} s left"
            text = (f"{facts['tables_done']}/{facts['tables']} tables, {facts['rows']:,} rows,"
                    f" {facts['rows_per_second']:,}/s{left}, {facts['differences']} differences")  # fmt: skip
            progress.update(task, total=facts["rows_estimated"] or None, completed=facts["rows"], text=text,
                            description=escape(facts["table"]) or "comparing")  # fmt: skip

        yield show


def result(value: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = []
    rows = [(t, r) for t in value["tables"] for r in t["rows_that_differ"]]
    if rows:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("table", "row", "column", value["source"], value["target"], ""):
            table.add_column(column, overflow="fold")
        for one, row in rows[:MAX_LINES]:
            _add_row(table, one["source"], row)
        parts.append(table)
        if len(rows) > MAX_LINES:
            parts.append(f"... and {len(rows) - MAX_LINES} rows more; --json has them all")
    for one in value["tables"]:
        name = escape(one["source"] or one["target"])
        if one["error"]:
            parts.append(f"[red]{name} was not compared:[/] {escape(one['error'])}")
        if one["more"]:
            parts.append(f"[red]{name}: at least {one['more']} rows more differ[/]")
        if one["unsettled"]:
            keys = "; ".join(", ".join(f"{c}={_value(v)}" for c, v in key.items()) for key in one["unsettled"][:10])
            parts.append(f"[yellow]{name}: {len(one['unsettled'])} rows could not be settled: {escape(keys)}[/]")
        parts += [f"[dim]{name}: {escape(text)}[/]" for text in one["left_out"]]
    repaired = f", {value['repaired']} repaired" if value["repaired"] else ""
    head = "[green]equal[/]" if value["equal"] else "[red]not proven equal[/]"
    parts.append(
        f"{head}: {value['source']} and {value['target']}, {len(value['tables'])} tables, {value['rows']:,} rows in"
        f" {value['seconds']:.1f} s, {value['differences']} differences{repaired}"
    )
    return Group(*parts)


def _add_row(table: Table, name: str, row: dict[str, Any]) -> None:
    key = ", ".join(f"{c}={_value(v)}" for c, v in row["key"].items())
    note = _MEANING[row["kind"]] + (" repaired" if row["repaired"] else "") + (f" {row['problem']}" if row["problem"] else "")
    if row["columns"] and row["source"] and row["target"]:
        for number, column in enumerate(row["columns"]):
            first = number == 0
            table.add_row(escape(name) if first else "", escape(key) if first else "", escape(column),
                          escape(_value(row["source"][column])), escape(_value(row["target"][column])),
                          note if first else "")  # fmt: skip
        return
    mine, theirs = (escape(_row(row[side])) for side in ("source", "target"))
    table.add_row(escape(name), escape(key), "", mine, theirs, escape(note))


def _row(values: dict[str, Any] | None) -> str:
    if values is None:
        return "-"
    return ", ".join(f"{c}={_value(v)}" for c, v in values.items())[:300]


def _value(value: Any) -> str:
    """Quotes show what is a string and where it ends; NULL stands for itself."""
    return "NULL" if value is None else f"'{value}'"
