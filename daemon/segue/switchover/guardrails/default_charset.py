"""A table made after the switch would get another character set."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "default_charset", "warns", "Both sides have the same default character set.",
    must_agree("character_set_server", "collation_server"),
)  # fmt: skip
