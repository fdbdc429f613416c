"""CONVERT_TZ and named time zones answer NULL on a server without the tables."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Guardrail, Problem

_ASK = "SELECT CONVERT_TZ('2020-01-01 00:00:00', 'UTC', 'Europe/Vienna') IS NOT NULL"


async def _check(context: Context) -> list[Problem]:
    (_, source), (_, target) = await context.source.get(), await context.target.get()
    if not int(await source.value(_ASK)) or int(await target.value(_ASK)):
        return []
    return [Problem(f"{context.target.side.where} has no time zone tables, the active side has",
                    "mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql -u root mysql")]  # fmt: skip


GUARDRAIL = Guardrail("time_zone_tables", "warns", "The standby knows named time zones if the active side does.", _check)
