"""Table maps made for a target. Pure.

Without optional metadata: a server that applies rows takes everything else from its own definition, and some of it
is known to one flavour only. Source of the format: MySQL Source Code Documentation, "Table_map_event".
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.binlog import columns as ct
from segue.binlog.columns import Column
from segue.binlog.rows import TableMap, lenenc_bytes


def table_map(schema: str, table: str, columns: Sequence[Column]) -> TableMap:
    """A TABLE_MAP of a table with exactly these columns."""
    body = bytearray(8)
    for name in (schema, table):
        data = name.encode()
        body += bytes((len(data),)) + data + b"\0"
    meta = b"".join(c.meta for c in columns)
    nulls = sum(1 << n for n, c in enumerate(columns) if c.nullable)
    body += lenenc_bytes(len(columns))
    body += bytes(ct.STRING if c.type in {ct.ENUM, ct.SET} else c.type for c in columns)
    body += lenenc_bytes(len(meta)) + meta + nulls.to_bytes((len(columns) + 7) // 8, "little")
    return TableMap.parse(bytes(body))
