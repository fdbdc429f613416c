"""Patterns that match nothing are more often a slip than a wish."""

from __future__ import annotations

from segue.schema import Selection, read_tables
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    _, conn = await context.source.get()
    if await read_tables(conn, selection):
        return []
    patterns = ", ".join(context.config.replicate.schemas)
    return [Problem(f"no table matches replicate.schemas = {patterns}",
                    "Check the patterns; a database that is empty for now is fine")]  # fmt: skip


GUARDRAIL = Guardrail("something_to_replicate", "warns", "The patterns of replicate.schemas match some table.", _check)
