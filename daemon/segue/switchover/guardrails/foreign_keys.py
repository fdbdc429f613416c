"""Other foreign keys on the standby would refuse rows, or cascade where the active side did not."""

from __future__ import annotations

from typing import Any

from segue.schema import Selection
from segue.switchover.guardrails.base import Context, Guardrail, Problem
from segue.switchover.server import Server

_ASK = (
    "SELECT r.CONSTRAINT_SCHEMA AS s, r.TABLE_NAME AS t, r.CONSTRAINT_NAME AS n, r.REFERENCED_TABLE_NAME AS rt,"
    " r.UPDATE_RULE AS u, r.DELETE_RULE AS d FROM information_schema.REFERENTIAL_CONSTRAINTS r"
)


async def _keys(server: Server, selection: Selection) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    _, conn = await server.get()
    rows: list[dict[str, Any]] = await conn.query(_ASK)
    return {(r["s"], r["t"], r["n"]): (r["rt"], _rule(r["u"]), _rule(r["d"]))
            for r in rows if selection.wants(r["s"], r["t"])}  # fmt: skip


def _rule(text: str) -> str:
    return "RESTRICT" if text == "NO ACTION" else text  # the same in InnoDB


async def _check(context: Context) -> list[Problem]:
    selection = Selection(context.config.replicate.schemas, context.config.replicate.exclude)
    source, target = await _keys(context.source, selection), await _keys(context.target, selection)
    return [
        Problem(f"foreign key {'.'.join(key[:2])}.{key[2]} is {_words(source.get(key))} on the active side and"
                f" {_words(target.get(key))} on the standby", "Make it the same on both sides")
        for key in sorted(source.keys() | target.keys()) if source.get(key) != target.get(key)
    ][:10]  # fmt: skip


def _words(key: tuple[str, str, str] | None) -> str:
    return f"to {key[0]} on update {key[1]} on delete {key[2]}" if key else "absent"


GUARDRAIL = Guardrail("foreign_keys", "blocks", "Foreign keys and their cascade rules are the same on both sides.", _check)
