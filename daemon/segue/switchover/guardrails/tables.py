"""Guardrails about the tables that are replicated."""

from __future__ import annotations

import asyncio

from segue.errors import ServerError
from segue.schema import Selection, compare, read_tables
from segue.schema.catalogue import Table
from segue.switchover.guardrails.base import Context, Finding, Guardrail

_SHOWN = 10


async def _both(context: Context) -> tuple[dict[tuple[str, str], Table], dict[tuple[str, str], Table]]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    (_, source), (_, target) = await asyncio.gather(context.source.get(), context.target.get())
    return await read_tables(source, selection), await read_tables(target, selection)


async def same_tables(context: Context) -> list[Finding]:
    """Every replicated table exists on both sides with the same columns and unique keys."""
    source, target = await _both(context)
    differences = [d for key, table in source.items() for d in compare(table, target.get(key))]
    blocking = [d.sentence for d in differences if d.severity == "blocks"]
    blocking += [f"table {t.full_name} exists only on the standby" for key, t in target.items() if key not in source]
    mend = "Make it the same on both sides, or put it into replicate.exclude"
    findings = [Finding("same_tables", "blocks", sentence, mend) for sentence in blocking[:_SHOWN]]
    if len(blocking) > _SHOWN:
        findings.append(Finding("same_tables", "blocks", f"and {len(blocking) - _SHOWN} more differences", mend))
    findings += [Finding("column_defaults", "warns", d.sentence) for d in differences if d.severity == "warns"][:_SHOWN]
    return findings


async def something_to_replicate(context: Context) -> list[Finding]:
    source, _ = await _both(context)
    if source:
        return []
    patterns = ", ".join(context.config.replicate.schemas)
    return [
        Finding("something_to_replicate", "warns", f"no table matches replicate.schemas = {patterns}",
                "Check the patterns; a database that is empty for now is fine")
    ]  # fmt: skip


async def keys_and_engines(context: Context) -> list[Finding]:
    """Without a key the target searches whole tables; without transactions progress and data can part."""
    source, target = await _both(context)
    findings = [
        Finding("primary_key", "warns", f"table {t.full_name} has no primary key: changes to it apply slowly",
                f"ALTER TABLE {t.full_name} ADD PRIMARY KEY ...")
        for t in source.values() if not t.keys
    ]  # fmt: skip
    findings += [
        Finding("engine", "blocks", f"table {t.full_name} has engine {t.engine}, which is not transactional",
                f"ALTER TABLE {t.full_name} ENGINE=InnoDB; on both sides")
        for t in (*source.values(), *target.values()) if not t.transactional
    ]  # fmt: skip
    return findings


async def triggers(context: Context) -> list[Finding]:
    """Rows applied as events fire no trigger on the standby, which is right; they are listed to be known."""
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    _, conn = await context.target.get()
    rows = await conn.query(
        "SELECT TRIGGER_SCHEMA AS s, TRIGGER_NAME AS n, EVENT_OBJECT_TABLE AS t FROM information_schema.TRIGGERS"
    )
    named = [f"{r['s']}.{r['n']}" for r in rows if selection.wants(str(r["s"]), str(r["t"]))]
    if not named:
        return []
    return [Finding("triggers", "warns", f"triggers on the standby do not fire for replicated rows: {', '.join(named[:5])}")]


async def same_flavour(context: Context) -> list[Finding]:
    (source, _), (target, _) = await asyncio.gather(context.source.get(), context.target.get())
    if source.name == target.name:
        return []
    return [
        Finding("same_flavour", "blocks", f"the active side is {source.label} and the standby {target.label}",
                "Both must be of one flavour for now")
    ]  # fmt: skip


async def accounts(context: Context) -> list[Finding]:
    """Every account that has sessions on the source must exist on the target."""
    flavour, conn = await context.source.get()
    own = context.source.side.endpoint.user
    users = {s.user for s in await flavour.sessions(conn)} - {own, context.target.side.endpoint.user}
    users -= {"event_scheduler", "system user", "unauthenticated user", "root", ""}
    if not users:
        return []
    _, there = await context.target.get()
    try:
        rows = await there.query("SELECT DISTINCT GRANTEE AS g FROM information_schema.USER_PRIVILEGES")
    except ServerError:
        return []
    known = {str(r["g"]).split("@", maxsplit=1)[0].strip("'") for r in rows}
    if known <= {context.target.side.endpoint.user}:
        return []  # without SELECT on the grant tables a server shows us only ourselves
    return [
        Finding("accounts", "blocks", f"user '{u}' has sessions on the active side and does not exist on the standby",
                f"Create '{u}' on {context.target.side.where} with the same password and grants")
        for u in sorted(users - known)
    ]  # fmt: skip


ALL = (
    Guardrail("same_flavour", same_flavour),
    Guardrail("same_tables", same_tables),
    Guardrail("something_to_replicate", something_to_replicate),
    Guardrail("keys_and_engines", keys_and_engines),
    Guardrail("triggers", triggers),
    Guardrail("accounts", accounts),
)
