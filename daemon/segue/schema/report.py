"""What a comparison says, as a document for people and programs. Pure.

One entry for each replicated table: the plan there and back, every finding, and what becomes of each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segue.schema.compare import Comparison


def report(there: Sequence[Comparison], back: Sequence[Comparison]) -> list[dict[str, Any]]:
    """By the source's tables, in order; `back` holds the same tables from the other end."""
    by_target = {c.mapping.source: c for c in back}
    return [_entry(c, by_target.get(c.mapping.target)) for c in there]


def _entry(there: Comparison, back: Comparison | None) -> dict[str, Any]:
    return {
        "table": there.source.full_name,
        "target": there.mapping.target_name,
        **_direction(there),
        "back": _direction(back) if back is not None else None,
    }


def _direction(made: Comparison) -> dict[str, Any]:
    return {
        "plan": made.path,
        "why": list(dict.fromkeys(made.sql)),
        "columns": made.kinds,
        "findings": [f.message() for f in made.findings],
    }
