"""What child processes of control do to themselves, in real processes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from segue import child

SAYS = "import os; from segue.child import give_way; give_way(); print(os.sched_getscheduler(0))"


def _policy(*before: str) -> int:
    done = subprocess.run([*before, sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_worker_gives_way() -> None:
    assert _policy() == os.SCHED_BATCH


def test_the_policy_of_an_operator_is_kept() -> None:
    assert _policy("chrt", "--idle", "0") == os.SCHED_IDLE


@pytest.mark.parametrize("allowed", [False, True])
def test_a_filter_that_forbids_it_is_no_error(monkeypatch: pytest.MonkeyPatch, *, allowed: bool) -> None:
    asked = []

    def answer(pid: int, policy: int, param: os.sched_param) -> None:
        asked.append((pid, policy, param.sched_priority))
        if not allowed:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", answer)
    child.give_way()
    assert asked == [(0, os.SCHED_BATCH, 0)]


def test_short_turns_keep_policy_and_nice() -> None:
    """What was asked for shows in /proc/PID/sched, where the kernel has such a file and heeds it (6.12 and newer)."""
    says = ("import os; from pathlib import Path; from segue.child import short_turns; short_turns();"
            "f = Path('/proc/self/sched'); text = f.read_text() if f.exists() else '';"
            "found = [l.split()[-1] for l in text.splitlines() if l.startswith('se.slice')];"
            "print(os.sched_getscheduler(0), os.nice(0), *found)")  # fmt: skip
    done = subprocess.run(["nice", "-n", "3", sys.executable, "-c", says], capture_output=True, text=True, check=True)
    policy, nice, *found = done.stdout.split()
    assert (int(policy), int(nice)) == (os.SCHED_OTHER, os.nice(0) + 3)
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if found and release >= (6, 12) and platform.machine() in ("x86_64", "aarch64"):
        assert found == ["100000"]
