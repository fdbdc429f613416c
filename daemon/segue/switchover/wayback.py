"""What stands of the way back: whether the old side follows, has still to be prepared, was given up, or is lost.

Kept in the journal as facts, since each outlives the daemon:

pending    {"side", "source_id", "position", "epoch"}   the old side did not answer while the new one was opened
finalized  {"side", "epoch", "at", "position"}          the operator ended the way back
lost       {"side", "epoch", "at", "words", ...}         the old side was given up by force; "transactions" once it is back
standby    {"side", "position", "foreign"}              up to where the standby's own binlog was looked through for
                                                        transactions that are not ours, and those that were found
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segue.errors import Refused
from segue.switchover.journal import Journal


@dataclass(frozen=True, slots=True)
class WayBack:
    """The facts, read and written by name."""

    journal: Journal

    @property
    def pending(self) -> dict[str, Any] | None:
        return self._get("way_back_pending")

    @property
    def finalized(self) -> dict[str, Any] | None:
        return self._get("finalized")

    @property
    def lost(self) -> dict[str, Any] | None:
        return self._get("lost")

    @property
    def standby(self) -> dict[str, Any] | None:
        return self._get("standby")

    def set_standby(self, side: str, position: str, foreign: list[dict[str, Any]]) -> None:
        """`position` in the side's own binlog: what is behind it has not been looked through."""
        self.journal.set_fact("standby", {"side": side, "position": position, "foreign": foreign})

    def set_opened(self, side: str, started: float) -> None:
        """Segue made this side writable in the life of the server that `started` then: closed after a restart, it is
        to be opened again; closed without one, somebody means it."""
        self.journal.set_fact("opened", {"side": side, "started": started})

    def set_pending(self, value: dict[str, Any] | None) -> None:
        self.journal.set_fact("way_back_pending", value)

    def set_finalized(self, value: dict[str, Any]) -> None:
        self.journal.set_fact("finalized", value)

    def set_lost(self, value: dict[str, Any]) -> None:
        self.journal.set_fact("way_back_pending", None)
        self.journal.set_fact("lost", value)

    def reseeded(self) -> None:
        """The standby was filled anew and follows from a position in its progress: there is a way back again."""
        for name in ("way_back_pending", "finalized", "lost", "standby"):
            self.journal.set_fact(name, None)

    @property
    def open(self) -> bool:
        """May the feed run?"""
        return self.finalized is None and self.lost is None

    def require(self) -> None:
        """Raises Refused when the standby cannot become active because nothing is fed to it."""
        if (done := self.finalized) is not None:
            raise Refused(
                f"the way back to {done['side']} was ended by segue finalize: what was written since is not there",
                mend=f"Fill {done['side']} anew with segue seed; then it follows again",
            )
        if (gone := self.lost) is not None:
            raise Refused(
                f"{gone['side']} was given up by force and may hold transactions that the active side never had",
                mend=f"segue status lists what is known of them; fill {gone['side']} anew with segue seed",
            )

    def _get(self, name: str) -> dict[str, Any] | None:
        value = self.journal.fact(name)
        return dict(value) if value else None


def describe(facts: WayBack, epoch: int) -> dict[str, Any]:
    """For status: "state" is none (no switchover yet), open, pending, finalized or lost; with the facts."""
    for name, value in (("lost", facts.lost), ("finalized", facts.finalized), ("pending", facts.pending)):
        if value is not None:
            return {"state": name} | value
    return {"state": "open" if epoch > 1 else "none"}
