"""The questions of a comparison, asked on one connection to one side. Every answer is one consistent snapshot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from segue.config import Endpoint
from segue.errors import ServerError
from segue.flavour import Flavour, detect
from segue.sql import Connection, connect
from segue.verify.expressions import Field, literal
from segue.verify.plan import End, KeyPart, KeyValue, Plan

QUERY_LIMIT: Final = 3600.0
"""Seconds for one question; a table without a usable key is one chunk."""
SHOWN: Final = 1000
"""Bytes of a value that are shown; what is longer is cut and has its length and SHA-256 beside it."""
# Names of results begin with segue_: MySQL takes a name in GROUP BY for a column of the table first.
Total = tuple[int, int]
"""(rows, sum of their hashes)."""


class Reader:
    """One side's connection. `number` is 0 for the source, 1 for the target."""

    def __init__(self, conn: Connection, flavour: Flavour, number: int) -> None:
        self.conn = conn
        self.flavour = flavour
        self._number = number

    @classmethod
    async def open(cls, endpoint: Endpoint, where: str, number: int) -> Reader:
        """Connect and set what makes values read alike. Raises ConnectionLost and ServerError."""
        conn = await connect(endpoint, where=where, program="segue-verify")
        try:
            flavour = await detect(conn)
            await conn.query(flavour.reading_session)
        except BaseException:
            conn.abandon()
            raise
        return cls(conn, flavour, number)

    async def close(self) -> None:
        await self.conn.close()

    @property
    def closed(self) -> bool:
        return self.conn.closed

    def abandon(self) -> None:
        self.conn.abandon()

    async def _ask(self, sql: str) -> list[dict[str, Any]]:
        return await self.conn.query(sql, timeout=QUERY_LIMIT)

    def _end(self, plan: Plan) -> End:
        return plan.ends[self._number]

    async def total(self, plan: Plan, low: KeyValue | None, high: KeyValue | None) -> Total:
        if plan.documents:
            found = await self.rows(plan, low, high, None, 1)
            return len(found), sum(found.values())
        end = self._end(plan)
        rows = await self._ask(
            f"SELECT COUNT(*) AS segue_n, COALESCE(SUM({end.hash}), 0) AS segue_s FROM {end.sql}{end.index}"
            f" WHERE {end.within(low, high)}"
        )
        return int(rows[0]["segue_n"]), int(rows[0]["segue_s"])

    async def buckets(self, plan: Plan, low: KeyValue | None, high: KeyValue | None, count: int) -> dict[int, Total]:
        """The same for each bucket that has rows."""
        end = self._end(plan)
        rows = await self._ask(
            f"SELECT {end.bucket(count)} AS segue_b, COUNT(*) AS segue_n, SUM({end.hash}) AS segue_s FROM {end.sql}{end.index}"
            f" WHERE {end.within(low, high)} GROUP BY segue_b"
        )
        return {int(r["segue_b"]): (int(r["segue_n"]), int(r["segue_s"])) for r in rows}

    async def rows(
        self, plan: Plan, low: KeyValue | None, high: KeyValue | None, buckets: Iterable[int] | None, count: int
    ) -> dict[KeyValue, int]:
        """Hashes by key, of the rows in these buckets; of a table without key, how often each hash is there."""
        end = self._end(plan)
        chosen = "" if buckets is None else f" AND {end.bucket(count)} IN ({','.join(map(str, buckets))})"
        return await self._hashes(plan, f"{end.index} WHERE {end.within(low, high)}{chosen}")

    async def lookup(self, plan: Plan, keys: Sequence[KeyValue], *, lock: bool = False) -> dict[KeyValue, int]:
        """As `rows`, for these keys; with `lock` they cannot change until the transaction ends."""
        end = self._end(plan)
        if lock and not end.key:
            await self._ask(f"SELECT 1 FROM {end.sql} WHERE {end.is_one_of(keys)} FOR UPDATE")
        found = await self._hashes(plan, f"{end.index} WHERE {end.is_one_of(keys)}{' FOR UPDATE' if lock and end.key else ''}")
        # A collation may hold other values for equal; only what is named by the very bytes counts.
        wanted = set(keys)
        return {k: h for k, h in found.items() if k in wanted}

    async def _hashes(self, plan: Plan, tail: str) -> dict[KeyValue, int]:
        end = self._end(plan)
        if not end.key:
            rows = await self._ask(f"SELECT {end.hash} AS segue_h, COUNT(*) AS segue_n FROM {end.sql}{tail} GROUP BY segue_h")
            return {(str(r["segue_h"]),): int(r["segue_n"]) for r in rows}
        idents = ", ".join(f"{k.ident} AS segue_k{n}" for n, k in enumerate(end.key))
        texts = "".join(f", {end.fields[n].read} AS segue_j{n}" for n in plan.documents)
        rows = await self._ask(f"SELECT {idents}, {end.hash} AS segue_h{texts} FROM {end.sql}{tail}")
        if plan.documents:
            return {_key(end.key, r): mixed(int(r["segue_h"]), [r[f"segue_j{n}"] for n in plan.documents]) for r in rows}
        return {_key(end.key, r): int(r["segue_h"]) for r in rows}

    async def boundary(self, plan: Plan, after: KeyValue | None, step: int) -> KeyValue | None:
        """The key of the `step`-th row behind `after`; None when there are fewer."""
        end = self._end(plan)
        idents = ", ".join(f"{k.ident} AS segue_k{n}" for n, k in enumerate(end.key))
        rows = await self._ask(
            f"SELECT {idents} FROM {end.sql}{end.index} WHERE {end.within(after, None)}"
            f" ORDER BY {end.order} LIMIT {step - 1}, 1"
        )
        return _key(end.key, rows[0]) if rows else None

    async def shown(self, plan: Plan, keys: Sequence[KeyValue]) -> dict[KeyValue, tuple[dict[str, Any], list[str]]]:
        """Whole rows as people read them, by key: text, "0x.." for bytes, None for NULL.

        Beside each a mark for every column that is the same on both sides when the values are.
        """
        end = self._end(plan)
        idents = [f"{k.ident} AS segue_k{n}" for n, k in enumerate(end.key)] or [f"{end.hash} AS segue_k0"]
        columns = []
        for n, field in enumerate(end.fields):
            mark = f"CONCAT_WS('#', {', '.join(filter(None, (field.head, field.body)))})"
            columns.append(f"SHA2({mark}, 256) AS segue_m{n}")
            if field.size is None:
                columns.append(f"{field.read} AS segue_c{n}")
            else:
                columns += [f"SUBSTRING({field.read}, 1, {SHOWN}) AS segue_c{n}", f"{field.size} AS segue_l{n}",
                            f"IF({field.size} > {SHOWN}, SHA2({field.read}, 256), NULL) AS segue_d{n}"]  # fmt: skip
        rows = await self._ask(
            f"SELECT {', '.join(idents + columns)} FROM {end.sql}{end.index} WHERE {end.is_one_of(keys)}"
        )
        key = end.key or (KeyPart("", "", "", "number", ""),)
        found = {
            _key(key, r): (
                {f.column: _show(f, r, n) for n, f in enumerate(end.fields)},
                [_meant(r[f"segue_c{n}"]) if f.document else str(r[f"segue_m{n}"]) for n, f in enumerate(end.fields)],
            )
            for r in rows
        }
        return {k: found[k] for k in keys if k in found}

    async def literals(self, plan: Plan, keys: Sequence[KeyValue]) -> dict[KeyValue, tuple[int, dict[str, str]]]:
        """Whole rows as SQL literals by the target's columns, each with its hash of the same moment."""
        end = self._end(plan)
        idents = [f"{k.ident} AS segue_k{n}" for n, k in enumerate(end.key)] or [f"{end.hash} AS segue_k0"]
        values = [f"{f.read} AS segue_c{n}" for n, f in enumerate(end.fields)]
        rows = await self._ask(
            f"SELECT {', '.join([*idents, *values])}, {end.hash} AS segue_h FROM {end.sql}{end.index}"
            f" WHERE {end.is_one_of(keys)}"
        )
        key = end.key or (KeyPart("", "", "", "number", ""),)
        names = [f.column for f in plan.target.fields]
        return {
            _key(key, r): (mixed(int(r["segue_h"]), [r[f"segue_c{n}"] for n in plan.documents]), {
                names[n]: literal(f.carrier, f.charset, r[f"segue_c{n}"]) for n, f in enumerate(end.fields)
            })
            for r in rows
        }  # fmt: skip

    async def position(self) -> str:
        return await self.flavour.position(self.conn)

    async def estimate(self, plan: Plan) -> int:
        """About how many rows the table has, by the server's statistics."""
        schema, table = self._end(plan).table
        try:
            value = await self.conn.value(
                "SELECT TABLE_ROWS FROM information_schema.TABLES"
                f" WHERE TABLE_SCHEMA = 0x{schema.encode().hex()} AND TABLE_NAME = 0x{table.encode().hex()}"
            )
        except ServerError:
            return 0
        return int(value or 0)


def _key(parts: Sequence[KeyPart], row: dict[str, Any]) -> KeyValue:
    return tuple(_plain(p, row[f"segue_k{n}"]) for n, p in enumerate(parts))


def _plain(part: KeyPart, value: Any) -> str | bytes | None:
    if value is None:
        return None
    if part.carrier in ("number", "real", "time"):
        return value.decode("ascii") if isinstance(value, bytes) else str(value)
    return value if isinstance(value, bytes) else str(value).encode()


def _show(field: Field, row: dict[str, Any], number: int) -> Any:
    value = row[f"segue_c{number}"]
    if value is None:
        return None
    if field.carrier in ("number", "real", "time"):
        return value.decode("ascii") if isinstance(value, bytes) else str(value)
    data = value if isinstance(value, bytes) else str(value).encode()
    text = text_of(data, field.charset)
    size = int(row[f"segue_l{number}"])
    return text if size <= SHOWN else f"{text}... ({size} bytes, SHA-256 {row[f'segue_d{number}']})"


def mixed(row: int, documents: Sequence[bytes | str | None]) -> int:
    """A row's hash together with what its JSON documents say, whatever the order of their keys and their spaces."""
    if not documents:
        return row
    said = hashlib.sha256(row.to_bytes(8, "little"))
    for text in documents:
        said.update(b"N" if text is None else f"{len(meant := meaning(text))}:{meant}".encode())
    return int.from_bytes(said.digest()[:8], "little")


def meaning(text: bytes | str) -> str:
    """A JSON document in one form; of two equal keys the last counts, as in the servers. What is no JSON is itself."""
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text


def _meant(text: bytes | str | None) -> str:
    return "" if text is None else f"{meaning(text)}."


def text_of(data: bytes, charset: str) -> str:
    """Bytes of a column as people read them."""
    if charset in ("utf8mb4", "utf8mb3", "utf8", "ascii"):
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    elif charset and charset != "binary":
        try:
            return data.decode({"latin1": "cp1252", "ucs2": "utf-16-be", "utf16": "utf-16-be"}.get(charset, charset))
        except (LookupError, UnicodeDecodeError):
            pass
    return f"0x{data.hex()}"

