"""What a seed keeps on the target, in schema `segue`: how far it is, written with the rows that it speaks of.

seed        one row per deployment: the state, and what to restore at the end
seed_table  one row per table: how it is copied, its definition, how far it is
seed_chunk  one row per chunk that is committed: (low, high] of the table's key, as SQL literals

States of a seed: unseeded (the daemon waits for `segue seed`), new (asked for, not yet planned), copying, done,
cancelled. `paused` is beside that. States of a table: waiting, copying, copied (its rows are there, its keys not
yet), done. A table's `settled` is a position of the source by which everything that any of its chunks may have shown
has been sent: behind it the stream alone is right. A whole table's `snapshot` is the position that its copy shows
exactly: the stream's events for it begin there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from segue.copy.keys import Bound
from segue.schema.mapping import Name
from segue.sql import Connection, quote

SEED, TABLES, CHUNKS = "`segue`.`seed`", "`segue`.`seed_table`", "`segue`.`seed_chunk`"
ACTIVE = frozenset({"new", "copying"})
_NAME = "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
_DEPLOYMENT = "deployment VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
_SEED = (
    f"CREATE TABLE IF NOT EXISTS {SEED} ({_DEPLOYMENT} PRIMARY KEY, state VARCHAR(16) NOT NULL,"
    " paused BOOLEAN NOT NULL DEFAULT FALSE, options LONGTEXT NOT NULL, restore_values LONGTEXT NOT NULL,"
    " notes LONGTEXT NOT NULL, started TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),"
    " ended TIMESTAMP(6) NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
)
_TABLES = (
    f"CREATE TABLE IF NOT EXISTS {TABLES} ({_DEPLOYMENT}, schema_name {_NAME}, table_name {_NAME},"
    " whole BOOLEAN NOT NULL, state VARCHAR(16) NOT NULL, definition LONGTEXT NOT NULL, origin LONGTEXT NOT NULL,"
    " walk VARCHAR(64) NOT NULL, est_rows BIGINT NOT NULL, est_bytes BIGINT NOT NULL,"
    " done_rows BIGINT NOT NULL DEFAULT 0, done_bytes BIGINT NOT NULL DEFAULT 0, again INT NOT NULL DEFAULT 0,"
    " snapshot LONGTEXT NOT NULL, settled LONGTEXT NOT NULL,"
    " PRIMARY KEY (deployment, schema_name, table_name)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
)
_CHUNKS = (
    f"CREATE TABLE IF NOT EXISTS {CHUNKS} ({_DEPLOYMENT}, schema_name {_NAME}, table_name {_NAME},"
    " number DOUBLE NOT NULL, low LONGTEXT NOT NULL, high LONGTEXT NOT NULL, done_rows BIGINT NOT NULL,"
    " done_bytes BIGINT NOT NULL, PRIMARY KEY (deployment, schema_name, table_name, number))"
    " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
)


@dataclass(slots=True)
class Seed:
    state: str
    paused: bool
    options: dict[str, Any]
    restore: dict[str, str]
    """Global variables of the target to set back at the end."""
    notes: list[str]


@dataclass(slots=True)
class TableRecord:
    """One row of `seed_table`; `name` is the source's."""

    name: Name
    whole: bool
    state: str
    definition: str
    """The target table's complete definition (CREATE TABLE with all keys)."""
    origin: str
    """The source's definition when the copy began, as `Definition.fingerprint`."""
    walk: str
    """Name of the key it is walked by; empty for a whole table."""
    est_rows: int
    est_bytes: int
    rows: int = 0
    bytes: int = 0
    again: int = 0
    """How often it was begun anew."""
    snapshot: str = ""
    settled: str = ""
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return ".".join(self.name)


@dataclass(slots=True)
class Chunk:
    """Rows with low < key <= high; None is open."""

    number: float
    """In the order of the key; one made between two others lies between them."""
    low: Bound | None
    high: Bound | None
    rows: int = 0
    bytes: int = 0
    large: bool = False
    """Of more bytes than should be read at once, as far as is known."""
    whole: bool = False
    """Large, and no number is left to cut it by: to be read whatever it has."""


async def ensure(conn: Connection) -> None:
    """Make the tables where they are missing."""
    await conn.query("CREATE SCHEMA IF NOT EXISTS `segue`")
    for statement in (_SEED, _TABLES, _CHUNKS):
        await conn.query(statement)


async def there(conn: Connection) -> bool:
    rows = await conn.query(
        "SELECT 1 AS x FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'segue' AND TABLE_NAME = 'seed_chunk'"
    )
    return bool(rows)


async def read(conn: Connection, deployment: str) -> Seed | None:
    """The seed's row; None when there is none or no table for it."""
    if not await there(conn):
        return None
    rows = await conn.query(f"SELECT * FROM {SEED} WHERE deployment = {quote(deployment)}")
    if not rows:
        return None
    r = rows[0]
    return Seed(str(r["state"]), bool(r["paused"]), orjson.loads(r["options"]),
                orjson.loads(r["restore_values"]), orjson.loads(r["notes"]))  # fmt: skip


async def begin(conn: Connection, deployment: str, state: str, options: dict[str, Any]) -> None:
    """Set the row to `state`, whatever there was, and forget all tables."""
    where = f"WHERE deployment = {quote(deployment)}"
    old = await read(conn, deployment)
    restore = old.restore if old else {}
    await conn.run(
        f"START TRANSACTION; DELETE FROM {CHUNKS} {where}; DELETE FROM {TABLES} {where};"
        f" REPLACE INTO {SEED} (deployment, state, options, restore_values, notes) VALUES ({quote(deployment)},"
        f" {quote(state)}, {_json(options)}, {_json(restore)}, '[]'); COMMIT",
        count=5,
    )


async def update(conn: Connection, deployment: str, **values: Any) -> None:
    """Change columns of the seed's row; lists and dicts go as JSON."""
    sets = ", ".join(f"{k} = {_json(v) if isinstance(v, list | dict) else quote(v)}" for k, v in values.items())
    ended = ", ended = NOW(6)" if values.get("state") in ("done", "cancelled") else ""
    await conn.query(f"UPDATE {SEED} SET {sets}{ended} WHERE deployment = {quote(deployment)}")


async def write_table(conn: Connection, deployment: str, t: TableRecord) -> None:
    """Set a table's row."""
    values = (deployment, *t.name, int(t.whole), t.state, t.definition, t.origin, t.walk, t.est_rows, t.est_bytes,
              t.rows, t.bytes, t.again, t.snapshot, t.settled)  # fmt: skip
    await conn.query(
        f"REPLACE INTO {TABLES} (deployment, schema_name, table_name, whole, state, definition, origin, walk,"
        " est_rows, est_bytes, done_rows, done_bytes, again, snapshot, settled)"
        f" VALUES ({', '.join(quote(v) for v in values)})"
    )


async def forget_origin(conn: Connection, deployment: str, name: Name) -> None:
    """What was copied of the table is not what it is now: whoever finishes it has to begin anew."""
    await conn.query(f"UPDATE {TABLES} SET origin = '' {_where(deployment, name)}")


async def forget_chunks(conn: Connection, deployment: str, name: Name) -> None:
    await conn.query(f"DELETE FROM {CHUNKS} {_where(deployment, name)}")


def chunk_done(deployment: str, name: Name, chunk: Chunk) -> str:
    """The statement that remembers a chunk, for the same commit as its rows."""
    values = (deployment, *name, chunk.number, _bound(chunk.low), _bound(chunk.high), chunk.rows, chunk.bytes)
    return (
        f"REPLACE INTO {CHUNKS} (deployment, schema_name, table_name, number, low, high, done_rows, done_bytes)"
        f" VALUES ({', '.join(quote(v) for v in values)})"
    )


async def read_tables(conn: Connection, deployment: str) -> list[TableRecord]:
    """All tables with their chunks in order."""
    where = f"WHERE deployment = {quote(deployment)}"
    chunks: dict[Name, list[Chunk]] = {}
    for r in await conn.query(f"SELECT * FROM {CHUNKS} {where} ORDER BY number"):
        chunk = Chunk(float(r["number"]), _unbound(r["low"]), _unbound(r["high"]), int(r["done_rows"]), int(r["done_bytes"]))
        chunks.setdefault((str(r["schema_name"]), str(r["table_name"])), []).append(chunk)
    out = []
    for r in await conn.query(f"SELECT * FROM {TABLES} {where}"):
        name = (str(r["schema_name"]), str(r["table_name"]))
        own = chunks.get(name, [])
        whole = bool(r["whole"])
        out.append(TableRecord(
            name, whole, str(r["state"]), str(r["definition"]), str(r["origin"]), str(r["walk"]), int(r["est_rows"]),
            int(r["est_bytes"]), int(r["done_rows"]) if whole else sum(c.rows for c in own),
            int(r["done_bytes"]) if whole else sum(c.bytes for c in own), int(r["again"]), str(r["snapshot"]),
            str(r["settled"]), own,
        ))  # fmt: skip
    return out


def _where(deployment: str, name: Name) -> str:
    return f"WHERE deployment = {quote(deployment)} AND schema_name = {quote(name[0])} AND table_name = {quote(name[1])}"


def _json(value: Any) -> str:
    return quote(orjson.dumps(value).decode())


def _bound(bound: Bound | None) -> str:
    return orjson.dumps(bound).decode()


def _unbound(text: str) -> Bound | None:
    value = orjson.loads(text)
    return None if value is None else tuple(value)
