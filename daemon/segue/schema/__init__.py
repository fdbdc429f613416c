"""What tables look like on a server, which of them are replicated, and how two of them differ.

Enters: an SQL connection, name patterns and rules of the configuration. Leaves: `Table` values, which column is which
on the other side (`Mapping`), and `Finding`s in plain sentences.
It must not know which side is active, nor anything of events beyond the type bytes of a table map.
"""

from __future__ import annotations

from segue.schema.catalogue import Column, Key, Table, Tables, read_tables
from segue.schema.compare import Comparison, Finding, Sides, compare
from segue.schema.mapping import Mapping, Match, Pair, TableMapping
from segue.schema.selection import Selection

__all__ = [
    "Column", "Comparison", "Finding", "Key", "Mapping", "Match", "Pair", "Selection", "Sides", "Table", "TableMapping",
    "Tables", "compare", "read_tables",
]  # fmt: skip
