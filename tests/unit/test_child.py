"""What child processes of control do to themselves, in real processes."""

from __future__ import annotations

import os
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
