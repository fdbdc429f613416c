"""Names that one side finds and the other does not."""

from __future__ import annotations

from segue.switchover.guardrails.base import Guardrail
from segue.switchover.guardrails.settings import must_agree

GUARDRAIL = Guardrail(
    "lower_case_table_names", "blocks", "Both sides treat the case of table names alike.",
    must_agree("lower_case_table_names", mend="Make a standby with the same value: it is fixed when a server is initialised"),
    unsafe="tables would be missed",
)  # fmt: skip
