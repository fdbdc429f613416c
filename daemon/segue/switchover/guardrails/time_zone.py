"""A session that never set it would see NOW() and TIMESTAMP columns shifted."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "time_zone", "warns", "Both sides have the same time_zone.",
    must_agree("time_zone"),
)  # fmt: skip
