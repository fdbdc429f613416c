"""Clients that found room on the old side would be turned away on the new one."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_not_be_less

GUARDRAIL = Guardrail(
    "max_connections", "warns", "The standby takes at least as many connections as the active side.",
    must_not_be_less("max_connections"),
)  # fmt: skip
