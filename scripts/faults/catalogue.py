"""The faults, and the moments of a switchover at which they come."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from faults.rig import OTHER, Rig
from faults.tcp import Trap

LONG = 6.0
"""Seconds, longer than the rig's max_pause."""
SHORT = 2.0
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    begin: Callable[[Rig, str], None]
    """With the label of the side that is active."""
    lasts: float
    needs_disk: bool = False
    needs_clock: bool = False


def _kill(*who: str) -> Callable[[Rig, str], None]:
    def begin(rig: Rig, active: str) -> None:
        sides = {"source": active, "target": OTHER[active]}
        names = [sides.get(w, w) for w in who]
        rig.signal(signal.SIGKILL, *names)
        for name in names:
            if name in rig.servers:
                rig.servers[name].kill()
            elif name == "control":
                rig.deployment.kill()

    return begin


def _stop(*who: str) -> Callable[[Rig, str], None]:
    def begin(rig: Rig, active: str) -> None:
        sides = {"source": active, "target": OTHER[active]}
        rig.signal(signal.SIGSTOP, *(sides.get(w, w) for w in who))

    return begin


def _link(kind: str, side: str, *, cut: bool) -> Callable[[Rig, str], None]:
    def begin(rig: Rig, active: str) -> None:
        link = rig.front if side == "front" else rig.links[active if side == "source" else OTHER[active]]
        (link.cut if cut else link.stall)(kind)

    return begin


def _fill(where: str) -> Callable[[Rig, str], None]:
    def begin(rig: Rig, active: str) -> None:
        sides = {"source": active, "target": OTHER[active]}
        folder = rig.state_dir if where == "state" else rig.servers[sides[where]].folder / "data"
        left = shutil.disk_usage(folder).free
        with contextlib.suppress(OSError), (folder / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, left - 1_000_000)  # at once; what is left by writing
        left = shutil.disk_usage(folder).free
        block = b"\0" * 65536
        try:
            with (folder / "filler").open("ab", buffering=0) as filler:
                while left > 0:
                    left -= filler.write(block[: min(left, len(block))])
        except OSError:
            pass  # it is full now

    return begin


def _slow_disk(who: str) -> Callable[[Rig, str], None]:
    """Each fsync of one server takes 150 ms longer, by strace's fault injection."""

    def begin(rig: Rig, active: str) -> None:
        name = {"source": active, "target": OTHER[active]}[who]
        delay = "inject=fsync,fdatasync:delay_exit=150000"
        process = subprocess.Popen(
            ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e", delay, "-o", "/dev/null",
             "-p", str(rig.servers[name].pid)], stderr=subprocess.DEVNULL,
        )  # fmt: skip
        threading.Timer(LONG, process.terminate).start()

    return begin


def _jump(who: str, seconds: int) -> Callable[[Rig, str], None]:
    """The wall clock of one machine or of all of them; the run's end sets it right, which is the jump back."""

    def begin(rig: Rig, active: str) -> None:
        name = {"source": active, "target": OTHER[active]}.get(who, who)
        for clock in rig.clocks.values() if who == "all" else (rig.clocks[name],):
            clock.jump(seconds)

    return begin


def _faults() -> dict[str, Fault]:
    found = [Fault("nothing", lambda _rig, _active: None, 0.0)]
    for who in ("control", "replicate", "proxy", "source", "target"):
        found += [Fault(f"kill-{who}", _kill(who), 0.3), Fault(f"stop-{who}", _stop(who), LONG)]
    found += [
        Fault("kill-all", _kill("control", "source", "target", "replicate", "proxy"), 0.3),
        Fault("kill-control-source", _kill("control", "source"), 0.3),
        Fault("kill-control-target", _kill("control", "target"), 0.3),
        Fault("stop-all", _stop("control", "replicate", "proxy"), LONG),
    ]
    for kind in ("control", "replicator", "client", "all"):
        for side in ("source", "target"):
            found += [
                Fault(f"cut-{kind}-{side}", _link(kind, side, cut=True), SHORT),
                Fault(f"stall-{kind}-{side}", _link(kind, side, cut=False), LONG),
            ]
    found += [Fault("cut-front", _link("all", "front", cut=True), SHORT), Fault("stall-front", _link("all", "front", cut=False), LONG)]
    found += [Fault(f"full-{where}", _fill(where), SHORT, needs_disk=True) for where in ("source", "target", "state")]
    if shutil.which("strace"):
        found += [Fault(f"slow-disk-{who}", _slow_disk(who), LONG) for who in ("source", "target")]
    for who in ("segue", "source", "target", "all"):
        for name, seconds in (("ahead", HOUR), ("back", -HOUR)):
            found.append(Fault(f"clock-{name}-{who}", _jump(who, seconds), SHORT, needs_clock=True))
    return {f.name: f for f in found}


FAULTS = _faults()


@dataclass(frozen=True, slots=True)
class Moment:
    """Waits for it: in `arm` before the switchover is asked for, in `wait` after."""

    name: str
    state: str = ""
    """A state that the daemon's log names."""
    statement: tuple[str, str, bool] | None = None
    """(side, pattern, before): control's statement on `source` or `target`; before it, or before its reply."""

    def wait(self, rig: Rig, trap: Trap | None, offset: int, limit: float = 8.0) -> bool:
        """True when it came; False when the switchover did not get there in time."""
        if trap is not None:
            return trap.sprung.wait(limit)
        if not self.state:
            return True
        wanted = f'"state":"{self.state}"'.encode()
        deadline = time.monotonic() + limit
        with rig.deployment.log.open("rb") as log:
            log.seek(offset)
            seen = b""
            while time.monotonic() < deadline:
                seen = seen[-200:] + log.read()
                if wanted in seen:
                    return True
                time.sleep(0.001)
        return False

    def trap(self, rig: Rig, active: str) -> Trap | None:
        if self.statement is None:
            return None
        side, pattern, before = self.statement
        trap = Trap("control", re.compile(pattern.encode(), re.IGNORECASE), before)
        rig.links[active if side == "source" else OTHER[active]].set_trap(trap)
        return trap


def _moments() -> dict[str, Moment]:
    found = [Moment("steady")]
    found += [
        Moment(f"state-{s}", state=s) for s in ("checking", "preparing", "draining", "fenced", "drained", "committed", "opening")
    ]
    for name, side, pattern in (
        ("fence", "source", r"SET GLOBAL (super_)?read_only = ON"),
        ("lock", "source", r"FLUSH TABLES WITH READ LOCK|super_read_only = ON"),
        ("final-position", "source", r"gtid_executed|gtid_binlog_pos"),
        ("first-position", "target", r"gtid_executed|gtid_binlog_pos"),
        ("unfence-old", "source", r"super_read_only = OFF|read_only = ON; UNLOCK"),
        ("way-back", "source", r"REPLACE INTO"),
        ("open-new", "target", r"read_only = OFF"),
    ):
        for before in (True, False):
            found.append(Moment(f"{'before' if before else 'answer'}-{name}", statement=(side, pattern, before)))
    return {m.name: m for m in found}


MOMENTS = _moments()


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, wholly from its seed."""

    seed: int
    fault: Fault
    moment: Moment
    delay: float
    """Seconds between moment and fault."""

    @classmethod
    def of(cls, seed: int, *, disks: bool, clocks: bool = True) -> Plan:
        dice = random.Random(seed)
        faults = [f for f in FAULTS.values() if (disks or not f.needs_disk) and (clocks or not f.needs_clock)]
        moment = dice.choice(list(MOMENTS.values()))
        delay = 0.0 if moment.statement else dice.choice((0.0, dice.uniform(0, 0.03), dice.uniform(0, 0.4)))
        return cls(seed, dice.choice(faults), moment, delay)
