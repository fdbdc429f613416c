"""Switchovers and rollbacks one after another without a pause, under load: `python -m faults.alternate`.

At the end both sides are equal, nothing acknowledged is missing or doubled, the sum is what it was, the accepting side
changed exactly as often as asked, and the daemon's memory is shown from before and after.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from pathlib import Path

from faults.rig import Rig


def memory(rig: Rig) -> dict[str, float]:
    """Resident megabytes by process."""
    found = {}
    for name in ("control", "replicate", "proxy"):
        for pid in rig.pids(name):
            text = Path(f"/proc/{pid}/status").read_text()
            found[name] = round(int(text.split("VmRSS:")[1].split()[0]) / 1024, 1)
    return found


def alternate(rig: Rig, times: int) -> list[str]:
    """What was wrong; empty when all was as it must be."""
    epoch = int(rig.status()["epoch"])
    started = dict(memory(rig))
    settled: dict[str, float] = {}
    pauses: list[float] = []
    began = time.monotonic()
    last = began
    tries = 0
    while len(pauses) < times:
        if len(pauses) == times // 5 and not settled:
            settled = memory(rig)
        answer = rig.ask("rollback" if len(pauses) % 2 else "switchover", 60.0, timeout=30.0)
        if answer.get("ok"):
            pauses.append(float(answer["value"]["pause_ms"]))
            last = time.monotonic()
            continue
        tries += 1
        if time.monotonic() - last > 60.0:
            print(f"{rig.flavour}: refused for a minute after {len(pauses)}: {answer.get('error')}", flush=True)
            return ["refused for a minute"]
        time.sleep(0.02)  # replication has not begun the other way yet
    seconds = time.monotonic() - began
    ops = rig.acknowledged_since(began)
    wrong = rig.check(epoch)
    ordered = sorted(pauses)
    print(
        f"{rig.flavour}: {times} in {seconds:.1f} s, {ops} appends acknowledged, pause median"
        f" {statistics.median(pauses):.0f} ms, p99 {ordered[int(len(ordered) * 0.99) - 1]:.0f} ms, asked again {tries} times;"
        f" MB at start {started}, after a fifth {settled}, at the end {memory(rig)}; {'; '.join(wrong) or 'nothing wrong'}",
        flush=True,
    )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.alternate", description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb", "both"), default="both")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path(".lab") / "alternate")
    args = parser.parse_args()
    bad = 0
    for flavour in ("mysql", "mariadb") if args.flavour == "both" else (args.flavour,):
        folder = (args.folder / flavour).resolve()
        shutil.rmtree(folder, ignore_errors=True)
        rig = Rig(flavour, folder)
        try:
            bad += len(alternate(rig, args.times))
        finally:
            rig.close()
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
