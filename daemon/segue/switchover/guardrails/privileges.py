"""What Segue's account lacks would only be noticed in the middle of a switchover."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem


async def _check(context: Context) -> list[Problem]:
    found = []
    for server in context.both:
        flavour, conn = await server.get()
        lacking = await flavour.missing_privileges(conn)
        if lacking and all(p.optional for p in lacking):
            what = ", ".join(p.name for p in lacking)
            found.append(Problem(f"without {what} on {server.side.where} rows are applied by statements, which is slower",
                                 "Grant it where the server lets you", severity="warns"))  # fmt: skip
        missing = [p for p in lacking if not p.optional]
        if missing:
            account = str(await conn.value("SELECT CURRENT_USER()"))
            user, _, host = account.rpartition("@")
            what = ", ".join(f"{p.name} ({p.why})" for p in missing)
            grant = flavour.grant_for([p.name for p in missing], f"'{user}'@'{host}'")
            found.append(Problem(f"account {account} on {server.side.where} lacks {what}", "", server, f"{grant};"))
    return found


GUARDRAIL = Guardrail(
    "privileges", "blocks", "Segue's account has every privilege that it needs, on both sides.", _check,
    unsafe="the switchover would fail in the middle", at_start=True,
)  # fmt: skip
