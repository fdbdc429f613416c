"""What happens to held sessions when another side has become active.

This is the seam for moving sessions live: a `Relocation` gets each held session once, in the pause.
"""

from __future__ import annotations

from typing import Protocol

from segue.proxy.session import Session


class Relocation(Protocol):
    """Takes a held session to the new active side; True when its client noticed nothing."""

    def relocate(self, session: Session) -> bool: ...


class LeaveAtSafePoint:
    """The client leaves at its safe point and connects again; a waiting command is answered with an error."""

    def relocate(self, session: Session) -> bool:
        session.leave()
        return False
