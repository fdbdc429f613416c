"""Every driver through the proxy and through live switchovers, there and back, on both flavours."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest

from lab import tool
from lab.deployment import APP_PASSWORD
from lab.fetch import sysbench_script
from tests.drivers.harness import LIGHT, TOOLCHAINS, Fleet

pytestmark = pytest.mark.servers
SWITCHOVERS = 2


def tell_password(shop: Any) -> None:
    """Without TLS libmariadb, Connector/J and old Go cannot be asked for their password: another client tells it."""
    pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD).close()


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
        assert not program.errors, (program.name, program.errors)
    shop.assert_equal()


@pytest.mark.timeout(240)
def test_drivers(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    # MySQL's client of 9.x has no mysql_native_password any more: it cannot log in to this MariaDB directly either.
    names = tuple(n for n in LIGHT if (n, flavour) != ("mysql-cli", "mariadb"))
    began = time.monotonic()
    through_switchovers(make_shop(flavour), names, tmp_path)
    print(flavour, round(time.monotonic() - began, 1), "s")


@pytest.mark.parametrize("prepared", ["auto", "disable"])
def test_sysbench(make_shop: Callable[..., Any], prepared: str) -> None:
    """It stops at the first error but a deadlock among its own threads; here it meets two switchovers."""
    flavour = "mysql" if prepared == "auto" else "mariadb"
    shop = make_shop(flavour, replicate='on_ddl = "apply"')
    found = tool("sysbench")
    tell_password(shop)
    args = ["--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={shop.deployment.port}", "--mysql-user=app",
            f"--mysql-password={APP_PASSWORD}", "--mysql-db=shop", "--tables=2", "--table-size=500", "--threads=8",
            "--events=0", "--mysql-ssl=off", "--mysql-ignore-errors=1213,1205,1020", f"--db-ps-mode={prepared}", sysbench_script("oltp_read_write")]  # fmt: skip
    subprocess.run([*found.argv, *args, "prepare"], env=found.environment(), check=True, capture_output=True, timeout=60)
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    run = subprocess.Popen([*found.argv, "--time=7", *args, "run"], env=found.environment(), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    shop.deployment.wait_for(lambda s: s["proxy"]["clients"] >= 8)
    for _ in range(SWITCHOVERS):
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
        assert run.poll() is None
        assert shop.deployment.segue("switchover")[1]["outcome"] == "done"
    still = run.poll() is None
    out, _ = run.communicate(timeout=60)
    print(out[out.index("SQL statistics") :][:900])
    assert run.returncode == 0, out[-2000:]
    assert still, "it had ended before the last switchover"
    assert re.search(r"reconnects: +0 ", out), out[-2000:]
    shop.assert_equal()


@pytest.mark.drivers
@pytest.mark.timeout(300)
def test_toolchain_drivers(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    shop = make_shop(flavour)
    tell_password(shop)
    through_switchovers(shop, TOOLCHAINS, tmp_path)
