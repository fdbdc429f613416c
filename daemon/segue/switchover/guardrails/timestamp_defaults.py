"""A TIMESTAMP column made after the switch would behave otherwise."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "timestamp_defaults", "warns", "Both sides give TIMESTAMP columns the same defaults.",
    must_agree("explicit_defaults_for_timestamp"),
)  # fmt: skip
