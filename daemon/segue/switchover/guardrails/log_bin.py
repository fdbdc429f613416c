"""Without a binlog there is nothing to replicate, in either direction."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_be

GUARDRAIL = Guardrail(
    "log_bin", "blocks", "Both sides write a binlog.", must_be("log_bin", "ON", "1", mend="start the server with --log-bin"),
    unsafe="without a binlog nothing can be replicated", at_start=True,
)  # fmt: skip
