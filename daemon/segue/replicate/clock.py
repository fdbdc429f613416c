"""The source's clock as seen from here: events carry its time, and lag is counted against it.

Kept by our monotonic clock from the moment it was asked for, so that neither a difference between the two machines'
clocks nor a jump of ours (NTP, an operator) shows as lag. A jump of the source's own does until it is asked again.
"""

from __future__ import annotations

import time


class SourceClock:
    """Unix seconds of the source; our own until it was `set`."""

    def __init__(self) -> None:
        self.set(time.time())

    def set(self, now: float) -> None:
        """What the source says that the time is."""
        self._ahead = now - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._ahead

    def since(self, began: float) -> float:
        """Seconds from the source's time `began` until now, never below 0; 0 when `began` is 0, for not known."""
        return max(0.0, self.now() - began) if began else 0.0
