"""Both sides' definitions and what their comparison says, both ways; read once for all guardrails of a run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from segue.errors import SegueError
from segue.flavour import Flavour
from segue.roles import mapping_from
from segue.schema import Comparison, Mapping, Sides, Tables, compare, read_tables
from segue.schema.report import report
from segue.sql import Connection
from segue.switchover.guardrails.base import Context


@dataclass(frozen=True, slots=True)
class Definitions:
    mapping: Mapping
    """From the active side to the standby."""
    source: Tables
    target: Tables
    there: list[Comparison]
    back: list[Comparison]
    """The way back, as it would be after a switchover."""


async def definitions(context: Context) -> Definitions:
    """Raises SegueError."""
    found = context.cache.get("definitions")
    if not isinstance(found, Definitions):
        found = context.cache["definitions"] = await _read(context)
    return found


async def _read(context: Context) -> Definitions:
    mapping = mapping_from(context.source.label, context.config.replicate)
    (here, one), (there, two) = [await server.get() for server in context.both]
    source, target = await asyncio.gather(read_tables(one, mapping), read_tables(two, mapping.inverse()))
    sides = Sides(here.name, there.name, here.cascades_logged, await may_use_binlog(there, two))
    back = Sides(there.name, here.name, there.cascades_logged, await may_use_binlog(here, one))
    return Definitions(mapping, source, target, _compare(source, target, mapping, sides),
                       _compare(target, source, mapping.inverse(), back))  # fmt: skip


async def tables_report(context: Context) -> list[dict[str, Any]]:
    """Every replicated table's plan; empty when the definitions cannot be read, which a guardrail says."""
    try:
        found = await definitions(context)
    except SegueError:
        return []
    return report(found.there, found.back)


async def may_use_binlog(flavour: Flavour, conn: Connection) -> bool:
    return not any(p.optional for p in await flavour.missing_privileges(conn))


def _compare(source: Tables, target: Tables, mapping: Mapping, sides: Sides) -> list[Comparison]:
    made = []
    for key in sorted(source):
        rule = mapping.table(*key)
        made.append(compare(source[key], target.get(rule.target), rule, sides))
    missing = [m for m in mapping.rules() if m.source not in source]
    if missing:
        raise SegueError(f"replicate.table names {missing[0].source_name}, which does not exist on its side",
                         mend="Create it, or mend the [[replicate.table]] section")  # fmt: skip
    return made
