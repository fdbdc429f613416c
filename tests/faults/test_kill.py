"""Real processes killed at random under load: both sides end equal, nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.amount import WHOLE
from tests.conftest import FLAVOURS

import workload
from lab.deployment import APP_PASSWORD

pytestmark = pytest.mark.servers


@pytest.mark.slow
def test_replicator_killed_again_and_again(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    load = shop.load(clients=8)
    dice = random.Random(7)
    try:
        for _ in range(10 if WHOLE else 3):
            wanted = dice.randint(20, 600)
            begin = shop.deployment.wait_for(lambda s: s["replication"]["state"] in ("streaming", "catching_up"))
            rows = begin["replication"]["rows"]
            shop.deployment.wait_for(lambda s, more=rows + wanted: s["replication"]["rows"] >= more)
            victim = shop.deployment.pids()["replicate"]
            os.kill(victim, signal.SIGKILL)
            shop.deployment.wait_for(lambda s, old=victim: s["replication"]["details"].get("pid", old) != old)
        told = load.stop()
    finally:
        load.kill()
    assert workload.verify(shop.blue, told["clients"]).good
    shop.assert_equal()
    assert workload.verify(shop.green, told["clients"]).good


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_daemon_killed_in_switchovers(make_shop: Callable[..., Any], flavour: str) -> None:
    """SIGKILL to control in the middle: the next start finishes or undoes, with one side writable and no row lost."""
    shop = make_shop(flavour)
    load = shop.load(clients=6)
    dice = random.Random(11)
    try:
        for _ in range(6 if WHOLE else 3):
            shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
            asked = threading.Thread(target=lambda: shop.deployment.segue("switchover", check=False), daemon=True)
            asked.start()
            threading.Event().wait(dice.uniform(0.2, 0.6))  # where in the switchover is left to chance
            shop.deployment.kill()
            asked.join(30)
            shop.deployment.start()
            status = shop.deployment.segue("status")[1]
            assert status["phase"] == "steady"
            writable = [s for s in (shop.blue, shop.green) if not int(s.sql("SELECT @@GLOBAL.read_only + 0")[0][0])]
            assert writable == [shop.side(status["active"])]
        told = load.stop()
    finally:
        load.kill()
    active = shop.side(shop.deployment.segue("status")[1]["active"])
    assert workload.verify(active, told["clients"]).good
    shop.assert_equal()


@pytest.mark.slow
def test_standby_killed_and_restarted(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    load = shop.load(clients=6)
    try:
        shop.deployment.wait_for(lambda s: s["replication"]["rows"] > 500)
        shop.green.kill()
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "connecting" and s["replication"]["error"])
        shop.green.start()
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming", 60)
        told = load.stop()
    finally:
        load.kill()
    assert told["errors"] == 0
    shop.assert_equal()
    assert workload.verify(shop.green, told["clients"]).good
    # A restarted standby comes up writable: it is made read-only again.
    shop.deployment.wait_for(lambda _s: int(shop.green.sql("SELECT @@GLOBAL.read_only + 0")[0][0]) == 1)


@pytest.mark.slow
def test_source_killed_and_restarted(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    load = shop.load(clients=6)
    try:
        shop.deployment.wait_for(lambda s: s["replication"]["rows"] > 500)
        shop.blue.kill()
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "connecting")
        shop.blue.start()
        shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming", 60)
        rows = shop.deployment.segue("status")[1]["replication"]["rows"]
        shop.deployment.wait_for(lambda s: s["replication"]["rows"] > rows + 100)
        told = load.stop()
    finally:
        load.kill()
    shop.assert_equal()
    assert workload.verify(shop.blue, told["clients"]).good


def test_stop_and_start_loses_nothing(make_shop: Callable[..., Any], flavour: str) -> None:
    """What was written while no daemon ran is replicated after the next start."""
    shop = make_shop(flavour)
    assert shop.deployment.stop() == 0
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) VALUES (1, 1, 'nobody looked')")
    shop.deployment.start()
    shop.assert_equal()
    assert shop.green.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 1


def test_a_crash_between_opening_and_the_journals_end(make_shop: Callable[..., Any], flavour: str) -> None:
    """The feed back had already moved on: opening again must not set it back, which would apply rows twice."""
    shop = make_shop(flavour)
    shop.deployment.segue("switchover")
    shop.green.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    shop.deployment.wait_for(lambda _s: shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 1)
    shop.deployment.kill()
    # What the journal would hold, had the end come before its last entry.
    with sqlite3.connect(shop.deployment.folder / "state/journal.sqlite") as journal:
        journal.execute("UPDATE switchover SET state = 'opening', report = NULL")
        journal.execute("UPDATE deployment SET active = 'blue', epoch = 1")
    journal.close()
    shop.deployment.start()
    status = shop.deployment.segue("status")[1]
    assert (status["active"], status["epoch"], status["phase"]) == ("green", 2, "steady")
    assert status["last_switchover"]["outcome"] == "done"
    shop.green.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 2)")
    shop.assert_equal()


def test_a_replicator_that_does_not_answer_is_ended(make_shop: Callable[..., Any]) -> None:
    """Whatever has to stop it goes on without its answer, and the next one goes on where it was."""
    shop = make_shop("mysql")
    d = shop.deployment
    hanging = d.pids()["replicate"]
    os.kill(hanging, signal.SIGSTOP)
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) VALUES (1, 1, 'while it hangs')")
    d.config.write_text(d.config.read_text().replace("[replicate]\n", '[replicate]\non_ddl = "ignore"\n'))
    assert d.segue("reload")[1] == {"changed": ["replicate"]}
    status = d.wait_for(lambda s: s["replication"]["state"] == "streaming", 60.0)
    assert status["replication"]["details"]["pid"] != hanging
    shop.assert_equal()


def test_a_child_that_starts_slowly_is_waited_for(make_shop: Callable[..., Any]) -> None:
    """On a starved machine Python's own start takes longer than any answer should; ending it would only begin that again."""
    shop = make_shop("mysql")
    d = shop.deployment
    first = d.pids()["replicate"]
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 60.0
    while (slow := d.pids().get("replicate", first)) == first:  # caught before it is ready: nobody else is asked meanwhile
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(slow, signal.SIGSTOP)
    began = time.monotonic()
    while time.monotonic() < began + 13.0:  # it was ended after ten
        assert d.pids().get("replicate") == slow
        time.sleep(0.2)
    os.kill(slow, signal.SIGCONT)
    status = d.wait_for(lambda s: s["replication"]["state"] == "streaming", 60.0)
    assert status["replication"]["details"]["pid"] == slow


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS if WHOLE else FLAVOURS[:1])
def test_a_child_that_hangs_is_replaced(make_shop: Callable[..., Any], flavour: str) -> None:
    """Stopped for good: nobody asks them for anything, and both are ended and started again all the same."""
    shop = make_shop(flavour)
    d = shop.deployment
    hanging = d.pids()
    for pid in hanging.values():
        os.kill(pid, signal.SIGSTOP)
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) VALUES (1, 1, 'while they hang')")
    status = d.wait_for(lambda s: s["replication"]["state"] == "streaming"
                        and s["replication"]["details"]["pid"] != hanging["replicate"] and s["proxy"]["workers"][0], 90.0)  # fmt: skip
    assert not set(hanging.values()) & set(d.pids().values())
    with shop.blue.connect(host="127.0.0.1", port=d.port, user="app", password=APP_PASSWORD, connect_timeout=60) as conn:
        conn.query("SELECT 1")
    shop.assert_equal()
    assert status["phase"] == "steady"
