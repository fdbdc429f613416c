"""What a comparison found, as values and as documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

MAX_SHOWN: Final = 10_000
"""Differing rows of one table that are looked at one by one; what is beyond is counted by chunk."""
Kind = Literal["missing", "extra", "different"]


@dataclass(slots=True)
class Finding:
    """One row that is not the same on both sides. `missing` and `extra` speak of the target."""

    kind: Kind
    key: dict[str, Any]
    """By column; of a table without key {"row_hash": ...}."""
    source: dict[str, Any] | None
    target: dict[str, Any] | None
    columns: list[str]
    """Source's names of the columns that differ; empty for a row that only one side has."""
    copies: int = 1
    """In a table without key: how many more of this row one side has."""
    repaired: bool = False
    problem: str = ""
    """Why it could not be repaired."""

    def message(self) -> dict[str, Any]:
        value: dict[str, Any] = {"kind": self.kind, "key": self.key, "source": self.source, "target": self.target,
                 "columns": self.columns, "repaired": self.repaired}  # fmt: skip
        if self.copies != 1:
            value["copies"] = self.copies
        if self.problem:
            value["problem"] = self.problem
        return value


@dataclass(slots=True)
class TableResult:
    """One table's outcome."""

    source: str
    target: str
    rows: int = 0
    """On the source, as compared."""
    chunks: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    """Differing rows beyond those in `findings`, at least."""
    unsettled: list[dict[str, Any]] = field(default_factory=list)
    """Keys of rows that changed too fast to be told equal or different."""
    looked_again: int = 0
    """Rows that differed at first sight only."""
    left_out: list[str] = field(default_factory=list)
    error: str = ""
    """Why the table could not be compared."""

    @property
    def open_findings(self) -> int:
        return sum(not f.repaired for f in self.findings) + self.more

    @property
    def equal(self) -> bool:
        return not (self.open_findings or self.unsettled or self.error)

    def message(self) -> dict[str, Any]:
        return {
            "source": self.source, "target": self.target, "equal": self.equal, "rows": self.rows,
            "chunks": self.chunks, "seconds": round(self.seconds, 3), "differences": len(self.findings) + self.more,
            "repaired": sum(f.repaired for f in self.findings), "rows_that_differ": [f.message() for f in self.findings],
            "more": self.more, "unsettled": self.unsettled, "looked_again": self.looked_again,
            "left_out": self.left_out, "error": self.error,
        }  # fmt: skip
