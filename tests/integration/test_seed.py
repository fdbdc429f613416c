"""The seed on real servers: an empty target is filled under load, killed anywhere, and the stream goes on alone."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.amount import WHOLE
from tests.conftest import FLAVOURS
from tests.integration.seedrig import Rig, churn, fill

from lab import Deployment, Lab, Server
from lab.deployment import APP_PASSWORD

pytestmark = pytest.mark.servers
Make = Callable[..., Rig]
SMALL = {"turn": 0.3, "chunk_bytes": 20_000}


@pytest.fixture
async def rig(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> AsyncIterator[Make]:
    made: list[Rig] = []
    blue, green = pairs(flavour)

    def make(rows: int = 3000, **seed: object) -> Rig:
        fill(blue, rows)
        made.append(Rig(blue, green, **(SMALL | seed)))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def still(one: Rig) -> int:
    """Rows copied, once chunks that were under way have ended and none has begun for a second."""
    began = last = time.monotonic()
    rows = -1
    while time.monotonic() < last + 1.0:
        assert time.monotonic() < began + 60.0, "the copy does not stand still"
        if (now := int((await one.status())["seed"]["rows"])) != rows:
            rows, last = now, time.monotonic()
        await asyncio.sleep(0.05)
    return rows


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_empty_target_is_filled_under_load(rig: Make) -> None:
    one = rig(max_rate_mb=1.0)
    blue, green = one.blue, one.green
    for statement in (
        "CREATE VIEW shop.seen AS SELECT id FROM shop.big",
        "CREATE TRIGGER shop.trig BEFORE INSERT ON shop.parent FOR EACH ROW SET NEW.v = 5",
        "CREATE PROCEDURE shop.proc() SELECT 1",
        "CREATE EVENT shop.ev ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM shop.keyless",
        "CREATE USER kind@'%' IDENTIFIED BY 'secret'",
        "GRANT SELECT ON shop.* TO kind@'%'",
    ):
        blue.sql(statement)
    try:
        dice = random.Random(5)
        await one.start(users=True)
        while not (status := await one.status())["seed"] or status["seed"]["state"] != "done":
            await asyncio.to_thread(churn, blue, dice, 3)
        value = await one.done()
        await asyncio.to_thread(churn, blue, dice, 10)
        await one.assert_equal()
        whole = {t["table"] for t in value["tables"] if t["whole"]}
        family = {"shop.parent", "shop.child"} if blue.flavour == "mariadb" else set()
        assert whole == {"shop.keyless"} | family
        assert green.sql("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'shop'")[0][0] == "seen"
        assert green.sql("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'ev'")[0][0] == "DISABLED"
        assert green.sql("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'")[0][0] == 1
        assert green.sql("SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop'")[0][0] == 1
        assert any("SELECT" in str(r[0]) and "shop" in str(r[0]) for r in green.sql("SHOW GRANTS FOR kind@'%'"))
        with green.connect(user="kind", password="secret") as conn, conn.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM shop.big")
        mode = "@@GLOBAL.slave_exec_mode" if blue.flavour == "mariadb" else "'STRICT'"
        assert green.sql(f"SELECT {mode}")[0][0] == "STRICT"
        # From now on a divergence is an error again, and not silence.
        green.sql("DELETE FROM shop.parent WHERE id = 5")
        blue.sql("UPDATE shop.parent SET v = 77 WHERE id = 5")
        status = await one.until(lambda s: s["state"] == "stopped")
        assert "shop.parent" in status["error"]
    finally:
        for server in (blue, green):
            server.sql("DROP USER IF EXISTS kind@'%'")


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS if WHOLE else FLAVOURS[1:])
async def test_rows_much_larger_than_the_others_are_cut_off_from_them(rig: Make) -> None:
    """What a chunk will have is guessed from the chunks before it; one of these rows takes two packets."""
    one = rig(rows=100)
    blue, green = one.blue, one.green
    limits = [s.sql("SELECT @@GLOBAL.max_allowed_packet")[0][0] for s in (blue, green)]
    try:
        for server in (blue, green):
            server.sql(f"SET GLOBAL max_allowed_packet = {64 << 20}")
        blue.sql("CREATE TABLE shop.fat (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB")
        for count, size in ((5000, 1), (30, 300_000), (1, 17 << 20), (30, 300_000), (5000, 1)):
            row = f"(REPEAT(0x5C27000A, {size // 4 + 1}))"
            for begin in range(0, count, 1000):
                more = min(1000, count - begin)
                blue.sql(f"INSERT INTO shop.fat (b) VALUES {', '.join([row] * more)}")
        await one.start()
        await one.done()
        await one.assert_equal()
        assert green.sql("CHECKSUM TABLE shop.fat") == blue.sql("CHECKSUM TABLE shop.fat")
        assert green.sql("SELECT COUNT(*), MAX(LENGTH(b)) FROM shop.fat") == blue.sql("SELECT COUNT(*), MAX(LENGTH(b)) FROM shop.fat")
    finally:
        for server, limit in zip((blue, green), limits, strict=True):
            server.sql(f"SET GLOBAL max_allowed_packet = {limit}")


async def lose(one: Rig, what: str) -> None:
    """Kill one part, and bring it back."""
    if what == "replicator":
        await one.kill()
        return
    server = one.blue if what == "source" else one.green
    server.kill()
    server.start()  # in this thread: a server dies with the thread that started it


PLACES = "0, 3000000000, 3000000400, 4611686018427387904, 18446744073709550000"


@pytest.mark.parametrize("flavour", ["mysql"])
async def test_integer_keys_with_gaps_and_crowds(rig: Make) -> None:
    """All the numbers that a key can be, near each other and far apart, some of them negative."""
    one = rig(rows=100)
    tables = {"gaps": "BIGINT UNSIGNED", "signed": "BIGINT", "tiny": "TINYINT", "filled": "INT(9) UNSIGNED ZEROFILL"}
    for name, kind in tables.items():
        one.blue.sql(f"CREATE TABLE shop.{name} (id {kind} PRIMARY KEY, v VARCHAR(40), c INT AS (LENGTH(v))) ENGINE=InnoDB")
    numbers = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
    for place in PLACES.split(", "):
        one.blue.sql(f"INSERT INTO shop.gaps (id, v) {numbers.format(count=900)} SELECT {place} + n, 'gap' FROM s"
                     " ON DUPLICATE KEY UPDATE v = 'twice'")  # fmt: skip
    one.blue.sql(f"INSERT INTO shop.signed (id, v) {numbers.format(count=900)} SELECT n * n * n * 12000000000 - 9223372036854775807, 'far' FROM s")
    one.blue.sql(f"INSERT INTO shop.signed (id, v) {numbers.format(count=900)} SELECT n, REPEAT('near', 9) FROM s")
    one.blue.sql(f"INSERT INTO shop.tiny (id, v) {numbers.format(count=255)} SELECT n - 128, 'tiny' FROM s")
    one.blue.sql(f"INSERT INTO shop.filled (id, v) {numbers.format(count=900)} SELECT n * 777, 'filled' FROM s")
    await one.start()
    await one.done()
    await one.assert_equal()
    for name in tables:
        assert one.green.sql(f"CHECKSUM TABLE shop.{name}") == one.blue.sql(f"CHECKSUM TABLE shop.{name}")
        assert one.green.sql(f"SELECT COUNT(*) FROM shop.{name}") == one.blue.sql(f"SELECT COUNT(*) FROM shop.{name}")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_anywhere_it_goes_on(rig: Make, tmp_path: Path) -> None:
    """At moments of the copy's own progress; of what was committed nothing is read again."""
    kills = int(os.environ.get("SEED_KILLS", "3"))
    rows = int(os.environ.get("SEED_ROWS", "6000"))
    dice = random.Random(int(os.environ.get("SEED_DICE", "3")))
    one = rig(rows=rows, max_rate_mb=max(rows / 30_000, 2.0) if kills > 3 else rows / 30_000, lanes=2)
    log = {"general_log_file": str(tmp_path / "general.log"), "general_log": 1}
    for variable, value in log.items():
        one.blue.sql(f"SET GLOBAL {variable} = %s", (value,))
    one.blue.options |= log  # and when it is started again
    victims = ["replicator", "target", "source"] if kills <= 3 else ["replicator", "replicator", "target", "source"]
    try:
        await killed(one, kills, dice, victims)
    finally:
        for variable in log:
            one.blue.options.pop(variable)  # type: ignore[attr-defined]
        one.blue.sql("SET GLOBAL general_log = 0")
    # MariaDB's chunks are prepared first, which reads nothing.
    read = len(re.findall(rb"(?:Query|Execute)\tSELECT /\* segue seed: chunk \*/", (tmp_path / "general.log").read_bytes()))
    kept = one.green.sql("SELECT COUNT(*) FROM segue.seed_chunk WHERE deployment = 'rig'")[0][0]
    print(f"seed: {kills} kills, {kept} chunks, {read - kept} read again: {100.0 * (read - kept) / kept:.2f} %")
    assert kept <= read <= kept + 2 * kills  # one of each lane
    if kept > 1000:
        assert (read - kept) / kept < 0.02


async def killed(one: Rig, kills: int, dice: random.Random, victims: list[str]) -> None:
    """A seed in whose way this comes, until it is done and both sides are equal."""
    await one.start()
    for number in range(kills):
        wanted = 100.0 * (number + dice.random()) / (kills + 0.5)
        status = await one.until(lambda s, w=wanted: s["seed"] and (s["seed"]["percent"] >= w or s["seed"]["state"] == "done"))
        if status["seed"]["state"] == "done":
            break
        await asyncio.to_thread(churn, one.blue, dice, 3)
        await lose(one, victims[number % len(victims)])
        await asyncio.to_thread(churn, one.blue, dice, 3)
    await one.done(400.0)
    await asyncio.to_thread(churn, one.blue, dice, 10)
    await one.assert_equal()


@pytest.fixture
def replica(lab: Lab, pairs: Callable[[str], tuple[Server, Server]]) -> Iterator[Server]:
    """A replica of MySQL's blue by its own replication, from now on."""
    blue, server = pairs("mysql")[0], lab.start("mysql", "replica")
    try:
        server.sql("RESET BINARY LOGS AND GTIDS")
        server.sql("SET GLOBAL gtid_purged = %s", (blue.sql("SELECT @@GLOBAL.gtid_executed")[0][0],))
        server.sql("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1,"
                   f" SOURCE_PORT = {blue.port}, GET_SOURCE_PUBLIC_KEY = 1")  # fmt: skip
        server.sql("START REPLICA")
        yield server
    finally:
        lab.servers.remove(server)
        server.destroy()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flavour", ["mysql"])
async def test_it_waits_for_the_sources_load_and_for_its_replicas(replica: Server, rig: Make) -> None:
    one = rig(rows=8000, max_rate_mb=0.1, max_threads_running=12, replicas=[f"127.0.0.1:{replica.port}"], max_replica_lag=2)
    await one.start()
    await one.until(lambda s: s["seed"] and s["seed"]["rows"] and not s["seed"]["waits_for"])

    async def waits(reason: str) -> None:
        await one.until(lambda s: reason in (s["seed"]["waits_for"] or ""))
        await still(one)
        assert reason in ((await one.status())["seed"]["waits_for"] or "")

    async def goes_on() -> None:
        rows = (await one.status())["seed"]["rows"]
        await one.until(lambda s: s["seed"]["waits_for"] is None and s["seed"]["rows"] > rows)

    busy = [one.blue.connect() for _ in range(16)]
    pool = ThreadPoolExecutor(len(busy))
    sleepers = [asyncio.get_running_loop().run_in_executor(pool, c.query, "DO SLEEP(90)") for c in busy]
    await waits("Threads_running is")
    for conn in busy:
        one.blue.sql(f"KILL {conn.thread_id()}")
    await asyncio.gather(*sleepers, return_exceptions=True)
    pool.shutdown()
    await goes_on()
    replica.sql("STOP REPLICA SQL_THREAD")
    await waits("is not replicating")
    replica.sql("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 3600")
    replica.sql("START REPLICA SQL_THREAD")
    one.blue.sql("CREATE DATABASE late")
    await waits("s behind")
    replica.sql("STOP REPLICA SQL_THREAD")
    replica.sql("CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0")
    replica.sql("START REPLICA SQL_THREAD")
    await goes_on()
    await one.done()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("flavour", ["mariadb"])
async def test_interrupted_while_planning_it_gives_every_table_its_keys(rig: Make) -> None:
    """The bare tables of the first try are not taken for tables that somebody made on the target."""
    one = rig(rows=100)
    one.green.sql("CREATE DATABASE shop")
    by_hand = "CREATE TABLE shop.swap (id INT PRIMARY KEY, u INT NOT NULL, pad CHAR(50), UNIQUE KEY (u), KEY by_hand (pad))"
    one.green.sql(by_hand)
    with one.green.connect(autocommit=False) as holder, holder.cursor() as cursor:
        one.green.sql("CREATE TABLE shop.keyless (a INT, b VARCHAR(20))")
        cursor.execute("SELECT * FROM shop.keyless")  # the planning waits for it in the middle
        await one.start()
        made = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%' AND INFO LIKE 'DROP TABLE%'"
        await one.until(lambda _s: one.green.sql(made)[0][0])
        await one.kill()
        holder.rollback()
    await one.done()
    assert set(one.different()) == {"keyless", "swap"}  # as they were made by hand
    assert "by_hand" in str(one.green.sql("SHOW CREATE TABLE shop.swap")[0][1])


@pytest.mark.timeout(200)
@pytest.mark.parametrize("flavour", ["mysql"])
async def test_pause_cancel_and_begin_again(rig: Make) -> None:
    one = rig(rows=4000, max_rate_mb=0.2)
    await one.start()
    await one.until(lambda s: s["seed"] and s["seed"]["state"] == "copying" and s["seed"]["rows"] > 0)
    assert (await one.ask("seed", action="pause"))["state"] == "paused"
    rows = await still(one)
    await one.kill()
    await one.until(lambda s: s["seed"] and s["seed"]["state"] == "paused")
    await one.ask("seed", action="resume")
    await one.until(lambda s: s["seed"]["rows"] > rows)
    await one.ask("seed", action="cancel")
    status = await one.until(lambda s: s["seed"]["state"] == "cancelled")
    assert status["seed"]["percent"] < 100


@pytest.mark.timeout(200)
@pytest.mark.parametrize("flavour", ["mariadb"])
async def test_a_table_that_changes_meanwhile_is_copied_anew(rig: Make) -> None:
    """Chunks of before and after an ALTER do not go together."""
    one = rig(rows=4000, max_rate_mb=0.3)
    await one.start()
    await one.until(lambda s: s["seed"] and any(t["table"] == "shop.big" and t["rows"] for t in s["seed"]["tables"]))
    one.blue.sql("ALTER TABLE shop.big ADD COLUMN late INT NOT NULL DEFAULT 3")
    one.blue.sql("UPDATE shop.big SET late = id")
    value = await one.done()
    assert {t["table"]: t["again"] for t in value["tables"]}["shop.big"] >= 1
    await one.assert_equal()


@pytest.mark.timeout(100)
@pytest.mark.parametrize("flavour", ["mariadb"])
async def test_rows_of_its_own_on_the_target_are_refused(rig: Make) -> None:
    one = rig(rows=10)
    one.green.sql("CREATE DATABASE shop")
    one.green.sql("CREATE TABLE shop.big (id INT PRIMARY KEY)")
    one.green.sql("INSERT INTO shop.big VALUES (1)")
    await one.start()
    status = await one.until(lambda s: s["seed"] and s["seed"]["error"])
    assert "shop.big" in status["seed"]["error"]
    assert "--overwrite" in status["seed"]["mend"]
    assert one.green.sql("SELECT * FROM shop.big") == [(1,)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_daemon_serves_an_unseeded_pair_and_goes_on_after_its_death(
    pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path,
) -> None:  # fmt: skip
    blue, green = pairs("mysql")
    fill(blue, 4000)
    deployment = Deployment(tmp_path / "d", blue, green, replicate="[seed]\nmax_rate_mb = 0.1\nchunk_bytes = 20000")
    try:
        deployment.launch()
        deployment.wait_for(lambda s: s["phase"] == "unseeded", 90)
        with blue.connect(host="127.0.0.1", port=deployment.port, user="app", password=APP_PASSWORD) as conn:
            conn.query("SELECT 1")  # clients are served
        code, answer = deployment.segue("switchover", check=False)
        assert (code, answer["error"]) == (1, "the standby has not been seeded")
        deployment.segue("seed", "--detach")
        deployment.wait_for(lambda s: s["seed"] and s["seed"]["percent"] > 20, 60)
        code, answer = deployment.segue("switchover", check=False)
        assert code == 1
        assert "still being seeded" in answer["error"]
        deployment.kill()
        deployment.launch()
        assert deployment.wait_for(lambda s: s["seed"] and s["seed"]["rows"], 90)["phase"] == "seeding"
        deployment.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "streaming", 120)
        assert deployment.segue("verify")[1]["equal"]
        assert deployment.segue("switchover")[1]["outcome"] == "done"
    finally:
        deployment.stop()
