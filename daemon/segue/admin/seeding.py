"""`segue seed` on a terminal: gives the command, then shows how far the daemon is until it is done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from segue.admin.client import ask
from segue.errors import Refused

POLL: Final = 0.3
SHOWN: Final = 8
"""Bars at a time: tables under way, largest first."""


def run_seed(path: Path, action: str, options: dict[str, bool], console: Console, *, bars: bool, wait: bool) -> dict[str, Any]:
    """The seed's last document. Raises Refused when the daemon refuses, or when the seed was cancelled meanwhile."""
    if action in ("pause", "resume", "cancel"):
        return ask(path, "seed", {"action": action})
    if action == "start":
        value = ask(path, "seed", {"action": "start", **options})
        if not wait:
            return value
    return _follow(path, console, bars=bars)


def _follow(path: Path, console: Console, *, bars: bool) -> dict[str, Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), DownloadColumn(),
               TransferSpeedColumn(), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not bars, transient=True) as progress:
        shown: dict[str, TaskID] = {}
        told: set[str] = set()
        while True:
            status = ask(path, "status")
            value: dict[str, Any] | None = status.get("seed")
            if value is None:
                if status["phase"] != "seeding":
                    raise Refused(f"no seed is under way; the phase is {status['phase']}", mend="segue seed begins one")
            else:
                _show(progress, shown, value)
                if value["error"] and value["error"] not in told:
                    told.add(value["error"])
                    progress.console.print(f"[yellow]{value['error']}[/yellow] {value['mend']}", highlight=False)
                if value["state"] == "done":
                    return value
                if value["state"] == "cancelled":
                    raise Refused(value["error"] or "the seed was cancelled", mend=value["mend"] or "segue seed begins anew")
            time.sleep(POLL)


def _show(progress: Progress, shown: dict[str, TaskID], value: dict[str, Any]) -> None:
    under_way = [t for t in value["tables"] if t["state"] not in ("waiting", "done")][:SHOWN]
    lines = [("all", value["percent"], value["bytes"], value["state"])]
    lines += [(t["table"], t["percent"], t["bytes"], t["state"]) for t in under_way]
    for name in set(shown) - {line[0] for line in lines}:
        progress.remove_task(shown.pop(name))
    for name, percent, size, state in lines:
        total = max(1, round(size * 100 / percent)) if percent else None
        if name not in shown:
            shown[name] = progress.add_task(name, total=total)
        progress.update(shown[name], completed=size, total=total, description=f"{name} ({state})")
