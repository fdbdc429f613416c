"""Whether a daemon does what it is there for, from its status document. Pure."""

from __future__ import annotations

from typing import Any, Final

_GOING: Final = frozenset({"streaming", "catching_up"})
"""Behind is not ill: `lag_seconds` says how far."""
_ENDED: Final = frozenset({"finalized"})
"""The operator wants no replication any more."""


def reasons(value: dict[str, Any], workers: int) -> list[str]:
    """Why `value`, a status document, is not fine, one sentence each; empty when clients are served by all `workers`
    processes and the standby is fed.

    A switchover under way is fine as long as nothing of it has failed: clients wait, and replication stands in it.
    """
    found = []
    answering = sum(1 for w in value["proxy"].get("workers", ()) if "accepted" in w)
    if answering < workers:
        found.append(f"{workers - answering} of {workers} proxy workers do not answer")
    if value.get("paused"):
        found.append("clients are paused by an operator")
    if (refusal := value.get("active_refuses_writes")) is not None:
        found.append(str(refusal))
    found += [f"{side} cannot be reached: {why}" for side, why in value["unreachable"].items() if _needed(value, side)]
    found += [why for side, why in value["short_of_room"].items() if _needed(value, side) and why not in found]
    if (now := value.get("switchover")) is not None:
        found += [f"switchover {now['state']}: {error}" for error in now["errors"][-3:]]
        return found
    return found + _replication(value)


def _needed(value: dict[str, Any], side: str) -> bool:
    """A standby that is not fed any more may be gone."""
    return bool(side == value["active"] or value["way_back"]["state"] not in _ENDED)


def _replication(value: dict[str, Any]) -> list[str]:
    back = value["way_back"]
    if back["state"] in _ENDED:
        return []
    if back["state"] == "lost":
        return [f"{back['side']} was given up by force and has to be seeded"]
    if value["phase"] == "unseeded":
        return ["the standby is empty and has to be seeded"]
    if value["phase"] == "seeding":
        return ["the standby is being seeded"]
    replication = value["replication"]
    if back["state"] == "pending":
        return [f"{back['side']} does not answer and does not follow yet"]
    if replication["state"] not in _GOING:
        return [f"replication is {replication['state']}" + (f": {replication['error']}" if replication["error"] else "")]
    return [f"replication: {replication['error']}"] if replication["error"] else []
