"""Without a key the target searches the whole table for each row."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.guardrails.definitions import definitions


async def _check(context: Context) -> list[Problem]:
    return [
        Problem(f"table {t.full_name} has no primary key: changes to it apply slowly",
                f"ALTER TABLE {t.full_name} ADD PRIMARY KEY ... on both sides")
        for t in (await definitions(context)).source.values() if not t.keys
    ]  # fmt: skip


GUARDRAIL = Guardrail("primary_key", "warns", "Every replicated table has a primary or unique key.", _check)
