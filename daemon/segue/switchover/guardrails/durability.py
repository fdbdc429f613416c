"""A source that forgets commits in a crash would leave the standby with rows that it no longer has."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    found = []
    for server in context.both:
        flavour, conn = await server.get()
        have = await flavour.variables(conn, "sync_binlog", "innodb_flush_log_at_trx_commit")
        found += [
            Problem(f"{name} is {value} on {server.side.where}: a crash of it may forget commits that were replicated",
                    "", server, f"SET GLOBAL {name} = 1;")
            for name, value in have.items() if value != "1"
        ]  # fmt: skip
    return found


GUARDRAIL = Guardrail("durability", "warns", "Both sides write each commit to disk before they acknowledge it.", _check)
