"""What reading rows costs: Segue's codec against mysql-replication's decoder, on the same events in one run.

A server writes tables of 5, 20 and 60 columns (a mix of integers, decimals, texts, dates and times; one column in ten
is NULL in one row of three) in multi-row inserts. The events are read from its binlog file once; then each way takes
all of them several times, and the best time counts. Per row, in microseconds of CPU:

decode   Python values of all columns: `Decoder.rows`
slices   where each value lies: `Layout.slices`
split    images cut whole: `Layout.split`
encode   images made of values again: `Decoder.encode`
library  mysql-replication's row dicts
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import servers
from benchmarks.report import Cell, Report, ratio, times
from binlogs import Event, Recorder, SecondOpinion
from lab import Server
from segue.binlog import events as ev
from segue.binlog.decoder import Decoder
from segue.binlog.images import Head, Layout
from segue.binlog.rows import TableMap

KINDS = (
    ("INT UNSIGNED", "{n}"), ("VARCHAR(40)", "'some text {n}'"), ("DECIMAL(12,2)", "{n}.25"), ("DATETIME", "'2024-02-29 12:34:56'"),
    ("BIGINT", "-{n}"), ("CHAR(8)", "'c{n}'"), ("TIMESTAMP(6) NULL", "'2024-02-29 12:34:56.123456'"), ("DOUBLE", "{n}.5"),
    ("TINYINT", "1"), ("DATE", "'2024-02-29'"),
)  # fmt: skip
NULL_EACH = 10


def fill(server: Server, columns: int, rows: int) -> None:
    """A table of an id and `columns` - 1 others."""
    kinds = [KINDS[n % len(KINDS)] for n in range(columns - 1)]
    server.sql(f"CREATE TABLE bench.t{columns} (id INT PRIMARY KEY, {', '.join(f'c{n} {k}' for n, (k, _) in enumerate(kinds))})")
    lines = []
    for row in range(1, rows + 1):
        values = ["NULL" if n % NULL_EACH == NULL_EACH - 1 and row % 3 == 0 else v.format(n=row) for n, (_, v) in enumerate(kinds)]
        lines.append(f"({row}, {', '.join(values)})")
        if len(lines) == 500 or row == rows:
            server.sql(f"INSERT INTO bench.t{columns} VALUES {', '.join(lines)}")
            lines = []


def best(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of the fastest round."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def measure(events: list[Event], flavour: str, rounds: int) -> dict[str, float]:
    """Microseconds a row of each way."""
    table: TableMap | None = None
    work: list[tuple[int, Head, bytes]] = []
    raw: list[bytes] = []
    for event in events:
        if event.kind == ev.TABLE_MAP:
            table = TableMap.parse(event.body)
            raw.append(event.raw)
        elif table is not None:
            head, at = Layout(table).head(event.kind, event.body[8:])
            work.append((event.kind, head, event.body[8 + at :]))
            raw.append(event.raw)
    assert table is not None
    decoder, layout, library = Decoder(table.described), Layout(table), SecondOpinion(flavour)
    values = [after for _, head, rows in work for _, after in decoder.rows(head, rows) if after is not None]
    found = {
        "decode": best(lambda: [decoder.rows(h, r) for _, h, r in work], rounds),
        "slices": best(lambda: [layout.slices(k, h, r) for k, h, r in work], rounds),
        "split": best(lambda: [layout.split(k, h, r) for k, h, r in work], rounds),
        "encode": best(lambda: [decoder.encode(v) for v in values], rounds),
        "library": best(lambda: [library.rows(one) for one in raw], rounds),
    }
    return {name: seconds / len(values) * 1e6 for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of reading rows, Segue's codec against mysql-replication's.")
    parser.add_argument("--flavour", choices=("mysql", "mariadb", "both"), default="mysql")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    report = Report("codec", "Reading rows, µs of CPU a row", vars(args))
    report.version("mysql-replication", version("mysql-replication"))
    lines: list[list[Cell]] = []
    with servers.laboratory() as lab:
        for flavour in servers.flavours(args.flavour):
            server = lab.start(flavour, f"{flavour}-codec", buffer_pool="64M")
            report.version(flavour, server.version)
            server.sql("CREATE DATABASE bench")
            recorder = Recorder(server)
            sizes = (5, 20, 60)
            for columns in sizes:
                fill(server, columns, args.rows)
            events = recorder.events()
            for columns in sizes:
                found = measure(_of(events, columns), flavour, args.rounds)
                report.add(flavour=flavour, columns=columns, **found)
                lines.append([flavour, columns, *(found[n] for n in ("split", "slices", "decode", "encode", "library")),
                              times(ratio(found["library"], found["decode"]))])  # fmt: skip
            server.destroy()
    report.show(["server", "columns", "split", "slices", "decode", "encode", "library", "library / decode"], lines)
    report.write()


def _of(events: list[Event], columns: int) -> list[Event]:
    """The events of one table: each map and the row events behind it."""
    out, ours = [], False
    for event in events:
        if event.kind == ev.TABLE_MAP:
            ours = TableMap.parse(event.body).table == f"t{columns}"
        if ours and (event.kind == ev.TABLE_MAP or event.kind in ev.ROWS):
            out.append(event)
    return out


if __name__ == "__main__":
    main()
