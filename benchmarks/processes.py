"""CPU and memory of running processes, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """CPU time that these processes have used so far, all threads, user and system. 0 for one that is gone."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory_kb(pid: int) -> dict[str, int]:
    """Resident (`rss`) and proportional (`pss`) memory in kB, from smaps_rollup."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name.lower()] = int(rest.split()[0])
    return found


def child(pid: int, module: str) -> int:
    """The direct child of a process that runs a Python module. Raises LookupError when there is none."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for found in (thread / "children").read_text().split():
            if module in Path(f"/proc/{found}/cmdline").read_text().split("\0"):
                return int(found)
    raise LookupError(f"process {pid} has no child that runs {module}")
