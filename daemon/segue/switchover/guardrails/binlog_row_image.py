"""A row image without all columns cannot find and fill the row on the other side."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_be

GUARDRAIL = Guardrail(
    "binlog_row_image", "blocks", "binlog_row_image is FULL on both sides.",
    must_be("binlog_row_image", "FULL", statement="SET GLOBAL binlog_row_image = FULL;", mend="and let sessions reconnect"),
    unsafe="rows would be replicated in part", at_start=True,
)  # fmt: skip
