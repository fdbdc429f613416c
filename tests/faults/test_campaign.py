"""A handful of the campaign's runs with fixed seeds; `make faults` has the rest."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.amount import WHOLE
from tests.conftest import FLAVOURS

from faults.campaign import one
from faults.catalogue import FAULTS, MOMENTS, Plan
from faults.clock import COMPILER
from faults.rig import BACK_LIMIT, Rig, background

pytestmark = pytest.mark.servers
SEEDS = {
    # kill-control at state-committed, kill-source at answer-fence, kill-all at state-opening, kill-target at answer-open-new
    "mysql": (97, 730, 125, 20),
    # kill-control-source at state-drained, cut-all-source at state-fenced, kill-proxy at state-draining,
    # kill-control-target at state-opening
    "mariadb": (18, 1320, 1139, 360),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_of_the_campaign(flavour: str, tmp_path: Path) -> None:
    rig = Rig(flavour, tmp_path / "rig", disks=False)  # type: ignore[arg-type] # one of the two
    try:
        for seed in SEEDS[flavour] if WHOLE else SEEDS[flavour][:3]:
            result = one(rig, Plan.of(seed, disks=False, clocks=False))
            print(result.line(flavour))
            assert not result.wrong, result.line(flavour)
            assert not result.told, result.line(flavour)
    finally:
        rig.close()


def test_clients_are_not_held_for_as_long_as_a_server_is_silent(tmp_path: Path) -> None:
    """The statement that opens the new side gets no answer: beyond max_pause its clients are let go, and it is opened yet."""
    rig = Rig("mysql", tmp_path / "rig", disks=False)
    try:
        active = str(rig.status()["active"])
        trap = MOMENTS["before-open-new"].trap(rig, active)
        assert trap is not None
        answer: dict[str, Any] = {}
        asked = background(lambda: answer.update(rig.ask("switchover", 120.0, timeout=20.0)))
        assert trap.sprung.wait(60.0)
        began = time.monotonic()
        while b"clients are released although" not in rig.deployment.log.read_bytes():
            assert time.monotonic() < began + 40.0  # a statement's own limit is 60 s
            time.sleep(0.05)
        for link in rig.links.values():
            link.pass_trap(trap)
        asked.join(60.0)
        assert answer["value"]["outcome"] == "done"
        rig.heal()
        assert rig.wait_back(time.monotonic())[1] == ""
        assert rig.check(1) == []
    finally:
        rig.close()


@pytest.mark.skipif(COMPILER is None, reason="the library by which a clock jumps has to be compiled")
@pytest.mark.parametrize("flavour", FLAVOURS if WHOLE else FLAVOURS[1:])
@pytest.mark.slow
def test_a_jump_of_any_clock_is_neither_lag_nor_an_obstacle(flavour: str, tmp_path: Path) -> None:
    """The source's set back by an hour is no lag of an hour; all of them set ahead in the midst of a switchover is nothing."""
    rig = Rig(flavour, tmp_path / "rig", disks=False, clocks=True)  # type: ignore[arg-type] # one of the two
    try:
        server = rig.servers["blue"]
        before = server.sql("SELECT UNIX_TIMESTAMP()")[0][0]
        rig.clocks["blue"].jump(-3600)
        assert server.sql("SELECT UNIX_TIMESTAMP()")[0][0] < before - 3500  # it does jump
        deadline = time.monotonic() + 20.0
        believable = 0
        while believable < 100:  # readings in a row; some of them are taken while rows are under way
            assert time.monotonic() < deadline, "an hour's lag is still shown"
            believable = believable + 1 if (rig.status()["replication"]["lag_seconds"] or 0.0) < 60.0 else 0
        answer = rig.ask("switchover", 60.0, timeout=15.0)
        assert answer["value"]["outcome"] == "done", answer
        assert rig.check(1) == []
        rig.heal()
        result = one(rig, Plan(0, FAULTS["clock-ahead-all"], MOMENTS["before-lock"], 0.0))
        assert result.hit, result.line(flavour)
        assert not result.wrong, result.line(flavour)
        assert not result.told, result.line(flavour)
        assert result.outcome == "done"
    finally:
        rig.close()


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS if WHOLE else FLAVOURS[:1])
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system that can be filled is mounted by root")
def test_a_full_disk_on_the_standby_is_named(flavour: str, tmp_path: Path) -> None:
    """Status says which side, what shows it, and what to do, within the time that the campaign gives."""
    rig = Rig(flavour, tmp_path / "rig")  # type: ignore[arg-type] # one of the two
    try:
        assert rig.status()["short_of_room"] == {}
        FAULTS["full-target"].begin(rig, "blue")
        server = rig.servers["green"]
        status = rig.deployment.wait_for(lambda s: s["short_of_room"] or not server.running, BACK_LIMIT)
        if not server.running:  # InnoDB ends the server for some files that it cannot write
            assert "green" in rig.deployment.wait_for(lambda s: s["unreachable"], BACK_LIMIT)["unreachable"]
            return
        told = status["short_of_room"]
        assert list(told) == ["green"]
        assert "Make room there" in told["green"]
        assert ("says at" in told["green"]) == (flavour == "mysql")
    finally:
        rig.close()
