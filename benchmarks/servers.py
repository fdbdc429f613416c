"""Servers of a benchmark: a filled source, copies of it with the same data, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from typing import Any

from lab import Lab, Server
from lab.server import Flavour

DATABASE = "sbtest"
BOTH: tuple[Flavour, ...] = ("mysql", "mariadb")


def flavours(choice: str) -> tuple[Flavour, ...]:
    """What --flavour stands for."""
    return BOTH if choice == "both" else ("mariadb",) if choice == "mariadb" else ("mysql",)


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    """A lab that is taken down at the end, also by Ctrl-C and SIGTERM. Only in the main thread."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with Lab() as lab:
            yield lab
    finally:
        signal.signal(signal.SIGTERM, before)


def settings(flavour: Flavour) -> dict[str, str | int]:
    """Options beside the lab's: replication waits to be started, and binlogs outlive the run."""
    skip = "skip_replica_start" if flavour == "mysql" else "skip_slave_start"
    return {skip: 1, "binlog_expire_logs_seconds": 7200}


def start(lab: Lab, flavour: Flavour, name: str, more: dict[str, str | int] | None = None, **kw: Any) -> Server:
    """A server with production's durability, running; `more` are options of its own."""
    return lab.start(flavour, name, options=settings(flavour) | (more or {}), **kw)


def clone(lab: Lab, source: Server, name: str, **kw: Any) -> Server:
    """A running server with the data that `source`, which must be stopped, has on disk; it is another server."""
    folder = lab.folder / name
    (folder / "tmp").mkdir(parents=True)
    shutil.copytree(source.folder / "data", folder / "data")
    (folder / "data/auto.cnf").unlink(missing_ok=True)
    return start(lab, source.flavour, name, **kw)


def tables(server: Server, schema: str = DATABASE) -> list[str]:
    """Names of all tables of a schema."""
    rows = server.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY 1", (schema,))
    return [str(row[0]) for row in rows]


def checksums(server: Server, schema: str = DATABASE) -> dict[str, int]:
    """CHECKSUM TABLE of every table of a schema. Reads all rows, so it also fills the buffer pool."""
    return {name: int(server.sql(f"CHECKSUM TABLE `{schema}`.`{name}`")[0][1]) for name in tables(server, schema)}


def position(server: Server) -> str:
    """Where the server's binlog ends now, as a GTID set or a MariaDB GTID position."""
    variable = "gtid_executed" if server.flavour == "mysql" else "gtid_binlog_pos"
    return str(server.sql(f"SELECT @@GLOBAL.{variable}")[0][0]).replace("\n", "")


def transactions(text: str) -> int:
    """How many transactions a position stands for; the difference of two is what lies between."""
    count = 0
    for part in filter(None, text.split(",")):
        if ":" not in part:
            count += int(part.rsplit("-", 1)[1])
            continue
        for interval in part.split(":")[1:]:
            first, _, last = interval.partition("-")
            count += int(last or first) - int(first) + 1
    return count
