"""Binlogs that are purged before they were read mean that a side has to be filled anew."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem

LEAST = 600
"""Seconds."""


async def _check(context: Context) -> list[Problem]:
    found = []
    for server in context.both:
        flavour, conn = await server.get()
        kept = await flavour.binlog_seconds(conn)
        if kept and kept < LEAST:
            found.append(Problem(f"binlogs on {server.side.where} are kept for {kept:.0f} s", "", server,
                                 "SET GLOBAL binlog_expire_logs_seconds = 86400;"))  # fmt: skip
    return found


GUARDRAIL = Guardrail("binlog_retention", "warns", "Both sides keep their binlogs for ten minutes at least.", _check)
