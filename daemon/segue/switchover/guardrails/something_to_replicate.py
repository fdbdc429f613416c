"""Patterns that match nothing are more often a slip than a wish."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.guardrails.definitions import definitions


async def _check(context: Context) -> list[Problem]:
    if (await definitions(context)).source:
        return []
    patterns = ", ".join(context.config.replicate.schemas)
    return [Problem(f"no table matches replicate.schemas = {patterns}",
                    "Check the patterns; a database that is empty for now is fine")]  # fmt: skip


GUARDRAIL = Guardrail("something_to_replicate", "warns", "The patterns of replicate.schemas match some table.", _check)
