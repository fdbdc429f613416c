"""Statements would give other rows on the other side; only row events are replicated."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_be

GUARDRAIL = Guardrail(
    "binlog_format", "blocks", "binlog_format is ROW on both sides.",
    must_be("binlog_format", "ROW", statement="SET GLOBAL binlog_format = ROW;", mend="and let sessions reconnect"),
    unsafe="changes written as statements are not replicated", at_start=True,
)  # fmt: skip
