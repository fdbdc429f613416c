"""Without transactions, rows and the progress written with them can part in a crash."""

from __future__ import annotations

from segue.sql import name
from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.guardrails.definitions import definitions


async def _check(context: Context) -> list[Problem]:
    both = await definitions(context)
    found = []
    for server, tables in zip(context.both, (both.source, both.target), strict=True):
        found += [
            Problem(f"table {t.full_name} on {server.side.where} has engine {t.engine}, which is not transactional",
                    "", server, f"ALTER TABLE {name(t.schema, t.name)} ENGINE = InnoDB;")
            for t in tables.values() if not t.transactional
        ]  # fmt: skip
    return found


GUARDRAIL = Guardrail(
    "engine", "blocks", "Every replicated table's engine is transactional.", _check,
    unsafe="a crash could lose or double rows",
)  # fmt: skip
