"""An application that may write despite read_only would write past the fence."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    found = []
    for server in context.both:
        flavour, conn = await server.get()
        accounts = await flavour.bypassing_accounts(conn, server.side.endpoint.user)
        if accounts:
            found.append(Problem(f"{', '.join(accounts)} on {server.side.where} may write while read_only is on",
                                 "REVOKE SUPER, CONNECTION_ADMIN or READ_ONLY ADMIN from them"))  # fmt: skip
    return found


GUARDRAIL = Guardrail(
    "bypassing_accounts", "warns", "No account but Segue's may write while read_only is on.", _check
)
