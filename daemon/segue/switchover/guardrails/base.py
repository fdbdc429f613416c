"""The shape of a guardrail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from segue.config import Config
from segue.switchover.server import Server

Severity = Literal["blocks", "warns"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    id: str
    severity: Severity
    sentence: str
    mend: str = ""

    def message(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Context:
    """What guardrails may look at."""

    config: Config
    source: Server
    target: Server
    replication: dict[str, Any] | None = None
    """The replicator's status, None when no daemon runs."""


@dataclass(frozen=True, slots=True)
class Guardrail:
    id: str
    check: Callable[[Context], Awaitable[list[Finding]]]
