"""Every driver through the proxy and through live switchovers, there and back, on both flavours."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.harness import LIGHT, TOOLCHAINS, Fleet

pytestmark = pytest.mark.servers
MOVES_SESSIONS = importlib.util.find_spec("segue.proxy.adoption") is not None
"""Sessions are moved over live: nobody may notice anything. Without it each may lose a connection at a switchover."""
SWITCHOVERS = 2
_ERRORS = {"sqlalchemy": 4, "go": 2}
"""A pool of four; a driver that meets its dead connection once more."""
_LOST = ("1053", "2006", "2013", "2014", "1927", "0")
"""How drivers name a connection that ended; 0: the driver gives no number."""


def through_switchovers(shop: Any, names: tuple[str, ...], work: Path) -> None:
    fleet = Fleet(names, shop.deployment.port, work)
    try:
        fleet.all_go_on(limit=60)
        assert all(not p.errors for p in fleet.programs), [(p.name, p.errors) for p in fleet.programs]
        for _ in range(SWITCHOVERS):
            shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
            assert shop.deployment.segue("switchover")[1]["outcome"] == "done"
            fleet.all_go_on()
    finally:
        fleet.stop()
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    active = shop.side(shop.deployment.segue("status")[1]["active"])
    fleet.verify(active)
    for program in fleet.programs:
        print(program.name, len(program.acknowledged), "acknowledged,", len(program.errors), "errors", program.errors[:2])
        if MOVES_SESSIONS:
            assert not program.errors, (program.name, program.errors)
        else:
            assert len(program.errors) <= SWITCHOVERS * _ERRORS.get(program.name, 1), (program.name, program.errors)
            assert all(e.startswith(_LOST) for e in program.errors), (program.name, program.errors)
    shop.assert_equal()


@pytest.mark.timeout(240)
def test_drivers(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    # MySQL's client of 9.x has no mysql_native_password any more: it cannot log in to this MariaDB directly either.
    names = tuple(n for n in LIGHT if (n, flavour) != ("mysql-cli", "mariadb"))
    began = time.monotonic()
    through_switchovers(make_shop(flavour), names, tmp_path)
    print(flavour, round(time.monotonic() - began, 1), "s")


@pytest.mark.drivers
@pytest.mark.timeout(300)
def test_toolchain_drivers(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    through_switchovers(make_shop(flavour), TOOLCHAINS, tmp_path)
