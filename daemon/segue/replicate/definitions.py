"""Both sides' definitions, read into a plan."""

from __future__ import annotations

from segue.flavour import Flavour
from segue.replicate.plan import Planner
from segue.schema import Mapping, Sides, read_tables
from segue.sql import Connection


async def read_plan(
    mapping: Mapping, source: Connection, target: Connection, flavours: tuple[Flavour, Flavour], *, binlog_allowed: bool
) -> Planner:
    """`flavours` of source and target. The two connections are used one after the other."""
    here, there = flavours
    return Planner(
        mapping, await read_tables(source, mapping), await read_tables(target, mapping.inverse()),
        Sides(here.name, there.name, here.cascades_logged, binlog_allowed), await here.collations(source), there,
    )  # fmt: skip
