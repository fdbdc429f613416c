"""The loop over runs, and the words printed about each."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults import clock
from faults.catalogue import FAULTS, MOMENTS, Plan
from faults.rig import BACK_LIMIT, Rig, background
from lab import LabError

SWITCHOVER_LIMIT = 20.0
LATE_LIMIT = 120.0
"""Seconds until service is back where the operator was told what it waits for: a server looks for room once a minute."""


@dataclass
class Result:
    """What one run showed."""

    plan: Plan
    hit: bool = False
    outcome: str = ""
    back: float = 0.0
    told: str = ""
    """What the operator was told to do, where service did not come back by itself."""
    wrong: list[str] = field(default_factory=list)

    def line(self, flavour: str) -> str:
        verdict = "WRONG" if self.wrong else "operator" if self.told else "good"
        text = (
            f"{verdict:8} seed={self.plan.seed} {flavour} {self.plan.fault.name} at {self.plan.moment.name}"
            f"+{self.plan.delay * 1000:.0f}ms{'' if self.hit else ' (missed)'}: {self.outcome}, back in {self.back:.1f} s"
        )
        return "\n    ".join([text, *([f"told: {self.told}"] if self.told else []), *self.wrong[:8]])


def one(rig: Rig, plan: Plan) -> Result:
    """One run on a rig that is steady."""
    result = Result(plan)
    before = rig.status()
    active, epoch = str(before["active"]), int(before["epoch"])
    offset = rig.deployment.log.stat().st_size
    answer: dict[str, Any] = {}
    trap = plan.moment.trap(rig, active)
    asked = None
    if plan.moment.name != "steady":
        command = "rollback" if epoch % 2 == 0 else "switchover"
        asked = background(lambda: answer.update(rig.ask(command, 60.0, timeout=SWITCHOVER_LIMIT)))
    result.hit = plan.moment.wait(rig, trap, offset)
    if plan.delay:
        time.sleep(plan.delay)
    plan.fault.begin(rig, active)
    if trap is not None:
        for link in rig.links.values():
            link.pass_trap(trap)
    time.sleep(plan.fault.lasts)
    rig.heal()
    healed = time.monotonic()
    result.back, told = rig.wait_back(healed)
    if told.startswith("NOT BACK"):
        result.wrong.append(told)
    elif told:
        # What had to be done is done already, by the healing: then it must come back, and be checked like any other.
        result.told = told
        result.back, told = rig.wait_back(healed, LATE_LIMIT)
        if told:
            result.wrong.append(f"told, and not back after {LATE_LIMIT:g} s: {told}")
    if asked is not None:
        asked.join(BACK_LIMIT)
    result.outcome = _outcome(answer, asked is not None)
    if not result.wrong:
        result.wrong += rig.check(epoch)
    return result


def _outcome(answer: dict[str, Any], asked: bool) -> str:
    if not asked:
        return "steady"
    if answer.get("ok"):
        return str((answer.get("value") or {}).get("outcome"))
    return "aborted" if (answer.get("value") or {}).get("outcome") == "aborted" else str(answer.get("error", "unanswered"))[:80]


def campaign(flavour: str, folder: Path, seeds: list[int], only: str | None = None, *, clocks: bool = True) -> list[Result]:
    """Run them all, a fresh rig after each run that left one in doubt."""
    results: list[Result] = []
    rig: Rig | None = None
    try:
        for seed in seeds:
            plan = Plan.of(seed, disks=os.geteuid() == 0, clocks=clocks)
            if only is not None and only not in f"{plan.fault.name} at {plan.moment.name}":
                continue
            if rig is not None and bool(rig.clocks) != plan.fault.needs_clock:
                rig.close()  # asking a clock that can jump costs more: only where it is needed
                rig = None
            if rig is None:
                rig = _fresh(flavour, folder, clocks=plan.fault.needs_clock)
            try:
                result = one(rig, plan)
            except (LabError, KeyError, OSError) as error:
                result = Result(plan, wrong=[f"the run broke: {type(error).__name__}: {error}"])
            results.append(result)
            print(time.strftime("%H:%M:%S"), result.line(flavour), flush=True)
            if result.wrong:
                kept = folder.parent / f"{folder.name}-seed-{seed}.log"
                shutil.copy(rig.deployment.log, kept)
                rig.close()
                rig = None
    finally:
        if rig is not None:
            rig.close()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _fresh(flavour: str, folder: Path, *, clocks: bool) -> Rig:
    """A new rig; on a machine that is too busy for the moment it is tried again."""
    for attempt in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            return Rig(flavour, folder, clocks=clocks)  # type: ignore[arg-type] # argparse checks it
        except (LabError, OSError) as error:
            print(f"no rig, attempt {attempt + 1}: {error}", flush=True)
    raise LabError("no rig came up in five attempts")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb", "both"), default="both")
    parser.add_argument("--seed", type=int, default=None, help="replay this one; else the first of --runs")
    parser.add_argument("--first", type=int, default=int(time.time()) % 1_000_000 * 1000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", help="only plans whose 'fault at moment' contains this")
    parser.add_argument("--folder", type=Path, default=Path(".lab") / "faults")
    parser.add_argument("--no-clocks", action="store_true", help="no jumps of clocks; also to replay seeds of before these were")
    parser.add_argument("--list", action="store_true", help="print faults and moments")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no mount and no server behind
    if args.list:
        print(json.dumps({"faults": list(FAULTS), "moments": list(MOMENTS)}, indent=1))
        return 0
    seeds = [args.seed] if args.seed is not None else list(range(args.first, args.first + args.runs))
    flavours = ("mysql", "mariadb") if args.flavour == "both" else (args.flavour,)
    clocks = not args.no_clocks and clock.COMPILER is not None
    results = [r for f in flavours for r in campaign(f, (args.folder / f).resolve(), seeds, args.only, clocks=clocks)]
    counts = Counter("wrong" if r.wrong else "operator" if r.told else "good" for r in results)
    slowest = max((r.back for r in results if not r.told and not r.wrong), default=0.0)
    print(f"{len(results)} runs: {dict(counts)}; slowest way back {slowest:.1f} s; seeds {seeds[0]} to {seeds[-1]}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
