"""Sessions that carry what cannot move make a switchover wait for them."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    policy = context.config.proxy.pinned
    end = "then closes it" if policy == "close" else "then aborts"
    return [
        Problem(f"client {s['client']}, user {s['user']}, {s['pinned']}: a switchover waits for it and {end}",
                f"Let it finish, or on the active side: KILL {s['server_connection_id']}")
        for s in (context.proxy or {}).get("pinned", ())
    ]  # fmt: skip


GUARDRAIL = Guardrail("pinned_sessions", "warns", "No session carries what cannot move to the other side.", _check)
