"""A clash of keys after the switch, where an application counts on the step."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "auto_increment", "blocks", "Both sides hand out AUTO_INCREMENT values by the same step and offset.",
    must_agree("auto_increment_increment", "auto_increment_offset"),
)  # fmt: skip
