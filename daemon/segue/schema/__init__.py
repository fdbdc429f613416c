"""What tables look like on a server, which of them are replicated, and how two of them differ.

Enters: an SQL connection, name patterns and rules of the configuration. Leaves: `Table` values, which column is which
on the other side (`Mapping`), and `Difference` findings in plain sentences.
It must not know which side is active, nor anything of events beyond the type bytes of a table map.
"""

from __future__ import annotations

from segue.schema.catalogue import Column, Key, Table, read_tables
from segue.schema.compare import Difference, compare
from segue.schema.mapping import Mapping, Match, Pair, TableMapping
from segue.schema.selection import Selection

__all__ = [
    "Column", "Difference", "Key", "Mapping", "Match", "Pair", "Selection", "Table", "TableMapping", "compare",
    "read_tables",
]  # fmt: skip
