"""How long clients will probably be held. Pure.

drain     what the longest open transaction needs: unknown, so the median of the last switchovers' hold; and said
separately when a transaction is open for long
catch up  the lag: what the source has committed and the target has not, at the rate at which it is applied; a
target that is busy with one batch needs that batch's usual time
fixed     the median of what the last switchovers took for everything else, or what docs/architecture.md measured
sessions  each held session costs a little; the fixed part grows with their number beyond what was measured
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

FIXED_MS: Final = 60.0
HOLD_MS: Final = 10.0
SESSION_MS: Final = 0.1
_VARYING: Final = frozenset({"hold", "catch up"})


@dataclass(frozen=True, slots=True)
class Forecast:
    """Milliseconds, and where they come from."""

    ms: float
    drain_ms: float
    catch_up_ms: float
    fixed_ms: float
    sessions_ms: float
    measured: int
    """How many switchovers the figures come from; with 0 they are those of the documentation."""

    def message(self) -> dict[str, Any]:
        return asdict(self)


def forecast(reports: list[dict[str, Any]], replication: dict[str, Any] | None, sessions: int) -> Forecast:
    """From the reports of the last switchovers, the replicator's status, and the number of sessions now."""
    done = [r for r in reports if r.get("outcome") == "done" and r.get("pause_ms")]
    hold = median(_step(r, "hold") for r in done) if done else HOLD_MS
    fixed = median(max(0.0, float(r["pause_ms"]) - sum(_step(r, s) for s in _VARYING)) for r in done) if done else FIXED_MS
    usual = median(_step(r, "catch up") for r in done) if done else HOLD_MS
    lag = float((replication or {}).get("lag_seconds") or 0.0) * 1000
    held = median(int(r.get("held") or 0) for r in done) if done else 0
    more = max(0.0, sessions - held) * SESSION_MS
    catch_up = max(lag, usual)
    total = round(hold + catch_up + fixed + more, 1)
    return Forecast(total, round(hold, 1), round(catch_up, 1), round(fixed, 1), round(more, 1), len(done))


def _step(report: dict[str, Any], name: str) -> float:
    return float(sum(s["ms"] for s in report.get("steps", []) if s["step"] == name))
