"""LOCK TABLES and FLUSH TABLES WITH READ LOCK make the fence wait for their session."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    flavour, conn = await context.source.get()
    return [
        Problem(f"{s.user}@{s.host} connection {s.id} holds {s.statement} on {context.source.side.where}",
                "or UNLOCK TABLES in it", context.source, f"KILL {s.id};")
        for s in await flavour.table_locks(conn) if s.user != context.source.side.endpoint.user
    ]  # fmt: skip


GUARDRAIL = Guardrail("table_locks", "blocks", "No session holds an explicit table lock on the active side.", _check)
