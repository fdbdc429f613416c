"""What tables look like on a server, which of them are replicated, and how two of them differ.

Enters: an SQL connection and name patterns. Leaves: `Table` values and `Difference` findings in plain sentences.
It must not know which side is active, nor anything of events beyond the type bytes of a table map.
"""

from __future__ import annotations

from segue.schema.catalogue import Column, Key, Table, read_tables
from segue.schema.compare import Difference, compare
from segue.schema.selection import Selection

__all__ = ["Column", "Difference", "Key", "Selection", "Table", "compare", "read_tables"]
