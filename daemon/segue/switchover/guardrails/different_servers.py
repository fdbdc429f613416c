"""Two names for one server, or a clone with the old uuid, would feed a server its own changes."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    for server in context.both:
        await server.connection()
    one, two = context.source.identity, context.target.identity
    assert one is not None
    assert two is not None
    target = context.target
    if one.uuid is not None and one.uuid == two.uuid:
        if (one.hostname, one.port) == (two.hostname, two.port):
            return [Problem(f"blue and green are the same server ({one.uuid})", "Give green its own server")]
        mend = f"On {target.side.where}: stop it, delete auto.cnf in its data directory, start it"
        return [Problem(f"blue and green have the same server_uuid ({one.uuid})", mend)]
    if (one.hostname, one.port, one.server_id) == (two.hostname, two.port, two.server_id):
        return [Problem(f"blue and green are the same server ({one.hostname}:{one.port})", "Give green its own server")]
    if one.server_id == two.server_id:
        return [Problem(f"blue and green have the same server_id, {one.server_id}", "and in its configuration file",
                        target, f"SET GLOBAL server_id = {one.server_id % 4294967294 + 1};")]  # fmt: skip
    return []


GUARDRAIL = Guardrail(
    "different_servers", "blocks", "Blue and green are two servers with identities of their own.", _check,
    unsafe="a server would be fed its own changes", at_start=True,
)  # fmt: skip
