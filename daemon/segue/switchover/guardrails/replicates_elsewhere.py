"""A side that also follows another server by the server's own replication gets rows that Segue does not know."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    found = []
    for server, role in ((context.source, "active side"), (context.target, "standby")):
        flavour, conn = await server.get()
        running = await flavour.replica_running(conn)
        if running:
            ends = server is context.target  # a channel that is only stopped begins again with the server
            found.append(Problem(f"the {role} {server.side.where} replicates from {running} by itself", "", server,
                                 f"{flavour.stop_replica} {flavour.forget_replica}" if ends else flavour.stop_replica,
                                 "blocks" if ends else None))  # fmt: skip
        elif server is context.target and (rests := await flavour.replica_at_rest(conn)):
            found.append(Problem(f"the {role} {server.side.where} would replicate from {rests} again after its next restart",
                                 "", server, flavour.forget_replica, "blocks"))  # fmt: skip
    return found


GUARDRAIL = Guardrail(
    "replicates_elsewhere", "warns", "Neither side follows another server by its own replication.", _check,
    at_first_start=True,
)  # fmt: skip
