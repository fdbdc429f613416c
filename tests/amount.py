"""How much of a repetition a run of the tests does."""

from __future__ import annotations

import os
from typing import Final

WHOLE: Final = os.environ.get("SEGUE_LONG") == "1"
"""`make test-long`: as often as the claim in the documents says, instead of a few of each."""


def flavours(one: str) -> tuple[str, ...]:
    """Both, or in a short run this one: where the other flavour's part of the path has tests of its own."""
    return ("mysql", "mariadb") if WHOLE else (one,)
