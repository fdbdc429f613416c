"""What has been open for long may not reach a safe point in time.

Behind the proxy it only costs an abort after drain_timeout, so that is a warning. Past the proxy it is not waited for: the
fence would refuse its commit.
"""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem, Severity

_NAMED = 3


async def _check(context: Context) -> list[Problem]:
    flavour, conn = await context.source.get()
    limit = context.config.proxy.drain_timeout
    own = context.source.side.endpoint.user
    proxied = {int(s.get("server_connection_id") or 0): s for s in context.sessions or ()}
    found = []
    for s in await flavour.open_transactions(conn):
        if s.seconds <= limit or s.user == own:
            continue
        client = proxied.get(s.id)
        who = f"client {client['client']} connection {client['connection_id']}" if client else f"{s.host} connection {s.id}"
        sentence = (
            f"{s.user} from {who} has an open transaction with changes for {s.seconds} s, longer than"
            f" drain_timeout = {limit:g} s"
        )
        severity: Severity | None = "warns" if client or context.sessions is None else None
        found.append(Problem(sentence, "or let it finish", context.source, f"KILL {s.id};", severity))
    return found[:_NAMED]


GUARDRAIL = Guardrail(
    "long_transactions", "blocks", "No open transaction past the proxy is older than proxy.drain_timeout.", _check
)
