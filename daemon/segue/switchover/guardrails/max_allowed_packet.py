"""A statement or row that one side took would be refused by the other."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_not_be_less

GUARDRAIL = Guardrail(
    "max_allowed_packet", "warns", "The standby takes packets at least as large as the active side.",
    must_not_be_less("max_allowed_packet"),
)  # fmt: skip
