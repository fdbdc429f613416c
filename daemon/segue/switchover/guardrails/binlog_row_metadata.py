"""Without column names in its table maps an event cannot be matched to a table that has changed since."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_be

GUARDRAIL = Guardrail(
    "binlog_row_metadata", "blocks", "binlog_row_metadata is FULL on both sides.",
    must_be("binlog_row_metadata", "FULL", statement="SET GLOBAL binlog_row_metadata = FULL;"),
    unsafe="columns could only be guessed", at_start=True,
)  # fmt: skip
