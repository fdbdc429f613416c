"""A pause that is longer than clients may be held would only end in an abort."""

from __future__ import annotations

from segue.switchover.forecast import forecast
from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    if context.replication is None or context.sessions is None:
        return []
    seen = forecast(context.reports, context.replication, len(context.sessions))
    budget = context.config.proxy.max_pause * 1000
    if seen.ms <= budget:
        return []
    return [Problem(f"clients would be held for about {seen.ms:.0f} ms, of which {seen.catch_up_ms:.0f} ms catching up;"
                    f" proxy.max_pause is {budget:.0f} ms",
                    "Wait until segue status shows less lag, or raise proxy.max_pause")]  # fmt: skip


GUARDRAIL = Guardrail("pause_budget", "blocks", "The pause that is to be expected is within proxy.max_pause.", _check)
