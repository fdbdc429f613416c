"""Which schemas and tables are replicated, by the patterns of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

NEVER: Final = frozenset({"segue", "mysql", "sys", "information_schema", "performance_schema"})
"""Segue's own schema and the servers' own."""


class Selection:
    """`schemas` are patterns over schema names; `exclude` over schema names or `schema.table`. Case counts."""

    def __init__(self, schemas: Iterable[str], exclude: Iterable[str] = ()) -> None:
        exclude = list(exclude)
        self._schemas = _one_of(schemas)
        self._without = _one_of(e for e in exclude if "." not in e)
        self._without_tables = _one_of(e for e in exclude if "." in e)

    def wants_schema(self, schema: str) -> bool:
        return (
            schema.lower() not in NEVER
            and self._schemas.fullmatch(schema) is not None
            and self._without.fullmatch(schema) is None
        )

    def wants(self, schema: str, table: str) -> bool:
        return self.wants_schema(schema) and self._without_tables.fullmatch(f"{schema}.{table}") is None


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(p) for p in patterns) or r"(?!)")
