"""PARTIAL_JSON writes differences of a document, which BINLOG statements elsewhere cannot be trusted with."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_be

GUARDRAIL = Guardrail(
    "binlog_row_value_options", "blocks", "binlog_row_value_options is empty on both sides.",
    must_be("binlog_row_value_options", "", statement="SET GLOBAL binlog_row_value_options = '';"),
    unsafe="documents would be replicated in part", at_start=True,
)  # fmt: skip
