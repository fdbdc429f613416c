"""Who reaches the active side directly is neither held nor moved: the fence stops its writes, with an error."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.sessions import describe, past_the_proxy

_NAMED = 5


async def _check(context: Context) -> list[Problem]:
    if context.sessions is None:
        return []
    found = [s for s in await past_the_proxy(context.source, context.sessions) if s.user != "root"]
    if not found:
        return []
    named = "; ".join(describe(s) for s in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return [Problem(f"{len(found)} sessions do not come through the proxy, the fence will stop their writes: {named}{more}",
                    "Point them at proxy.listen")]  # fmt: skip


GUARDRAIL = Guardrail("sessions_past_the_proxy", "warns", "Every application session comes through the proxy.", _check)
