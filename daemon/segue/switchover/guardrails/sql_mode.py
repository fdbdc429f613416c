"""A session that never set it would see statements refused, or taken, that were not before."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "sql_mode", "warns", "Both sides have the same sql_mode.",
    must_agree("sql_mode"),
)  # fmt: skip
