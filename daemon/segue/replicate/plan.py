"""For each table map: do its rows pass, is it none of ours, or must the stream stop?"""

from __future__ import annotations

from segue.binlog.rows import TableMap
from segue.replicate.assembler import Stop
from segue.schema import Selection, Table, compare
from segue.schema.compare import fits

Tables = dict[tuple[str, str], Table]


class Planner:
    """Decides from both sides' definitions, read at connect and after each DDL."""

    def __init__(self, selection: Selection, source: Tables, target: Tables) -> None:
        self._selection = selection
        self._source = source
        self._target = target

    def __call__(self, event: TableMap) -> bool:
        """Raises Stop with all differences when rows written under `event` cannot pass."""
        if not self._selection.wants(event.schema, event.table):
            return False
        key = (event.schema, event.table)
        target = self._target.get(key)
        if target is None:
            raise Stop(f"table {event.schema}.{event.table} does not exist on the target",
                       mend="Create it there as it is on the source")  # fmt: skip
        problems = fits(event, target)
        source = self._source.get(key)
        if source is not None and not problems:
            problems = [d.sentence for d in compare(source, target) if d.severity == "blocks"]
        if problems:
            raise Stop("; ".join(problems), mend="Make the table the same on both sides, or exclude it")
        return True

    def differences(self, schemas: set[str]) -> list[str]:
        """What differs in these schemas, in both directions."""
        found: list[str] = []
        for key, table in self._source.items():
            if key[0] in schemas:
                found += [d.sentence for d in compare(table, self._target.get(key)) if d.severity == "blocks"]
        found += [
            f"table {t.full_name} exists only on the target"
            for key, t in self._target.items()
            if key[0] in schemas and key not in self._source
        ]
        return found
