"""The shape of a guardrail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from segue.config import Config
from segue.switchover.server import Server
from segue.switchover.wayback import WayBack

Severity = Literal["blocks", "warns"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a guardrail found: one sentence with the names in it, and how to mend it.

    `statement` is SQL to run on the server `on`; `mend` says in words what no statement says.
    """

    sentence: str
    mend: str = ""
    on: Server | None = None
    statement: str = ""
    severity: Severity | None = None
    """Where it differs from the guardrail's own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, as the operator sees it."""

    id: str
    severity: Severity
    sentence: str
    mend: str = ""
    side: str = ""
    """The label of the side on which `statement` is to be run."""
    statement: str = ""

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
    proxy: dict[str, Any] | None = None
    """The proxy's status, None where it was not asked."""
    cache: dict[str, object] = field(default_factory=dict, compare=False)
    """What one guardrail has asked and others need too."""
    sessions: list[dict[str, Any]] | None = None
    """The proxy's sessions; None when no daemon runs."""
    reports: list[dict[str, Any]] = field(default_factory=list)
    """Of the last switchovers, newest first."""
    way_back: WayBack | None = None

    @property
    def both(self) -> tuple[Server, Server]:
        return self.source, self.target


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Something that must be true before a switchover."""

    id: str
    severity: Severity
    says: str
    """What must be true, one sentence."""
    check: Callable[[Context], Awaitable[list[Problem]]]
    """Looks and changes nothing. Empty when all is well; raises SegueError when it cannot tell."""
    unsafe: str = ""
    """Why `--allow` does not pass over it; empty when an operator may."""
    at_start: bool = False
    """Also run before the daemon's start, which is refused when it blocks."""
    at_first_start: bool = False
    """The same before the very first start only: later clients are served all the same."""

    def finding(self, problem: Problem) -> Finding:
        mend = problem.mend
        if problem.statement and problem.on is not None:
            mend = f"On {problem.on.side.where}: {problem.statement}{f' ({mend})' if mend else ''}"
        side = problem.on.label if problem.on is not None else ""
        return Finding(self.id, problem.severity or self.severity, problem.sentence, mend, side, problem.statement)
