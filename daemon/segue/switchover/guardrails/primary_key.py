"""Without a key the target searches the whole table for each row."""

from __future__ import annotations

from segue.schema import Selection, read_tables
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    _, conn = await context.source.get()
    return [
        Problem(f"table {t.full_name} has no primary key: changes to it apply slowly",
                f"ALTER TABLE {t.full_name} ADD PRIMARY KEY ... on both sides")
        for t in (await read_tables(conn, selection)).values() if not t.keys
    ]  # fmt: skip


GUARDRAIL = Guardrail("primary_key", "warns", "Every replicated table has a primary or unique key.", _check)
