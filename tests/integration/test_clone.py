"""`segue seed --clone` on real servers: a whole server cloned under load, killed on the way, refused where it must be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.amount import WHOLE
from tests.conftest import Load, Shop

import workload
from lab import Lab, Server
from lab.deployment import SEGUE_PASSWORD

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


@pytest.fixture
def shop(lab: Lab, tmp_path: Path) -> Iterator[Shop]:
    """Two servers of their own, the standby empty: a clone would take the accounts of the others' with it."""
    blue, green = lab.pair("mysql", "mysql")
    one = Shop(tmp_path / "clone", blue, green)
    green.sql("DROP DATABASE shop")
    workload.create_history(blue, 20_000)
    try:
        yield one
    finally:
        one.deployment.stop()
        for server in (blue, green):
            lab.servers.remove(server)
            server.destroy()


def install(*servers: Server) -> None:
    for server in servers:
        server.sql("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")


def started_again(server: Server, limit: float = 60.0) -> None:
    """What systemd does with a server that has shut itself down after a clone."""
    deadline = time.monotonic() + limit
    while server.running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.start()


def seeding(shop: Shop) -> None:
    shop.deployment.launch()
    shop.deployment.wait_for(lambda s: s["phase"] == "unseeded", 90)


@pytest.mark.slow
def test_a_whole_server_under_load(shop: Shop) -> None:
    install(shop.blue, shop.green)
    shop.blue.sql("CREATE USER kind@'%' IDENTIFIED BY 'secret'")
    seeding(shop)
    load = Load(shop.deployment.port, 4, 0.01)
    try:
        shop.deployment.segue("seed", "--clone", "--detach")
        shop.deployment.wait_for(lambda s: s["phase"] == "seeding" and "shuts itself down" in (s["seed"]["waits_for"] or ""))
        code, answer = shop.deployment.segue("switchover", check=False)
        assert (code, answer["error"]) == (1, "the standby has not been seeded")
        started_again(shop.green)
        shop.deployment.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "streaming")
        assert shop.deployment.segue("verify")[1]["equal"]
        assert shop.deployment.segue("switchover")[1]["outcome"] == "done"
    finally:
        told = load.stop()
    shop.assert_equal()
    verdict = workload.verify(shop.green, told["clients"])
    assert verdict.good, verdict
    with shop.green.connect(user="kind", password="secret"):
        pass
    assert shop.blue.sql("SHOW TABLES FROM segue LIKE 'clone'") == []


@pytest.mark.slow
def test_killed_on_the_way(shop: Shop) -> None:
    """The daemon while the clone is copied, the standby then, the daemon while the standby is down, and again at its end."""
    install(shop.blue, shop.green)
    seeding(shop)
    log = shop.deployment.folder / "general.log"
    shop.green.sql("SET GLOBAL general_log_file = %s", (str(log),))
    for variable, value in (("clone_delay_after_data_drop", 100), ("general_log", 1)):  # the worst moment lasts
        shop.green.sql(f"SET GLOBAL {variable} = {value}")
    shop.deployment.segue("seed", "--clone", "--detach")
    at_work = "SELECT STATE FROM performance_schema.clone_status"
    shop.deployment.wait_for(lambda _s: shop.green.sql(at_work) == [("In Progress",)])
    assert SEGUE_PASSWORD not in log.read_text()
    assert "CLONE INSTANCE" in log.read_text()
    shop.deployment.kill()
    shop.deployment.launch()
    shop.deployment.wait_for(lambda s: s["phase"] == "seeding" and s["seed"]["state"] == "cloning")
    assert shop.green.sql(at_work) == [("In Progress",)]  # the same: a second one is not begun
    shop.green.kill()
    shop.green.start()
    shop.deployment.wait_for(lambda s: "shuts itself down" in (s["seed"]["waits_for"] or ""))
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (77, 1)")
    shop.deployment.kill()
    shop.deployment.launch()
    shop.deployment.wait_for(lambda s: s["phase"] == "seeding" and s["seed"] is not None)
    started_again(shop.green)
    shop.deployment.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "streaming")
    assert shop.deployment.segue("verify")[1]["equal"]


REFUSALS = (
    ("the clone plugin is not loaded on blue", ""),
    ("the clone plugin is not loaded on green", "blue: INSTALL PLUGIN clone SONAME 'mysql_clone.so'"),
    ("lacks CLONE_ADMIN on green", "green: INSTALL PLUGIN clone SONAME 'mysql_clone.so'; green: REVOKE CLONE_ADMIN ON *.* FROM segue@'%'"),
    ("prepared XA", "green: GRANT CLONE_ADMIN ON *.* TO segue@'%'"),
    ("another engine than InnoDB would arrive empty: shop.old", "blue: XA ROLLBACK 'x'; blue: CREATE TABLE shop.old (a INT) ENGINE=MyISAM"),
    ("1 enabled events would run on green",
     "blue: DROP TABLE shop.old; blue: CREATE EVENT shop.often ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.entries"),
    ("what the standby holds: schema other",
     "green: SET GLOBAL event_scheduler = OFF; green: CREATE DATABASE other; green: CREATE TABLE other.t (a INT)"),
)  # fmt: skip


@pytest.mark.slow
def test_what_is_refused(shop: Shop) -> None:
    """Each with one sentence and its mend, and nothing changed; what is mended lets the next one be seen."""
    seeding(shop)
    holder = shop.blue.connect()
    with holder.cursor() as cursor:
        for statement in ("XA START 'x'", "INSERT INTO shop.entries (client, seq) VALUES (1, 1)", "XA END 'x'", "XA PREPARE 'x'"):
            cursor.execute(statement)
    holder.close()
    for sentence, statements in REFUSALS:
        for one in filter(None, statements.split("; ")):
            label, _, statement = one.partition(": ")
            shop.side(label).sql(statement)
        code, answer = shop.deployment.segue("seed", "--clone", check=False)
        assert code == 1
        assert sentence in answer["error"], answer
        assert answer["mend"]
        assert shop.deployment.status()["phase"] == "unseeded"
    assert shop.green.sql("SHOW TABLES FROM other") == [("t",)]


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE, reason="make test-long")
def test_a_clone_that_fails_leaves_a_standby_that_nothing_is_fed_to(shop: Shop) -> None:
    """By itself or cancelled: the reason is shown, a switchover is refused, and another kind of seed mends it."""
    install(shop.blue, shop.green)
    seeding(shop)
    shop.blue.sql("SET GLOBAL max_allowed_packet = 1048576")  # MySQL refuses to clone below 2 MB
    code, answer = shop.deployment.segue("seed", "--clone", check=False)
    assert code == 1
    assert "max_allowed_packet" in answer["error"], answer
    status = shop.deployment.wait_for(lambda s: s["phase"] == "unseeded" and s["seed"]["error"])
    assert "max_allowed_packet" in status["seed"]["error"]
    shop.deployment.kill()
    shop.deployment.launch()
    assert shop.deployment.wait_for(bool)["phase"] == "unseeded"
    assert shop.deployment.segue("switchover", check=False)[0] == 1
    shop.blue.sql("SET GLOBAL max_allowed_packet = DEFAULT")
    shop.green.sql("SET GLOBAL clone_delay_after_data_drop = 100")
    shop.deployment.segue("seed", "--clone", "--detach")
    shop.deployment.wait_for(lambda _s: shop.green.sql("SELECT STATE FROM performance_schema.clone_status") == [("In Progress",)])
    assert shop.deployment.segue("seed", "--pause", check=False)[0] == 1
    shop.deployment.segue("seed", "--cancel")
    shop.deployment.wait_for(lambda s: s["phase"] == "unseeded" and s["seed"]["error"] == "the clone was cancelled")
    assert ("segue",) not in shop.green.sql("SHOW DATABASES")  # not even the record of a seed is left
    shop.deployment.segue("seed")
    shop.deployment.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "streaming")
    assert shop.deployment.segue("verify")[1]["equal"]
