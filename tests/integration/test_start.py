"""`replicate.start` on real servers: a standby made from a backup, or one that was a replica, begins where that ended."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

import pytest
from tests.conftest import Load, Shop

from lab import Server
from lab.fetch import tool
from segue.config import Endpoint
from segue.control.begin import refuse_gaps
from segue.errors import Refused
from segue.roles import Side
from segue.switchover.server import Server as ControlServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]
Make = Callable[..., Shop]


def begin_at(shop: Shop, position: str) -> None:
    """The operator's line in the configuration."""
    config = shop.deployment.config
    text = re.sub(r"^start = .*\n", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(text.replace("[replicate]\n", f'[replicate]\nstart = "{position}"\n'))


def refused(shop: Shop) -> str:
    """What a first start says that ends by itself."""
    shop.deployment.launch()
    assert shop.deployment.process is not None
    assert shop.deployment.process.wait(60) == 1
    return shop.deployment.tail(3)


def new_server(server: Server) -> None:
    """As a server is that nothing was done with: no history of its own."""
    mysql = server.flavour == "mysql"
    server.sql("RESET BINARY LOGS AND GTIDS" if mysql else "RESET MASTER")
    if not mysql:
        server.sql("SET GLOBAL gtid_slave_pos = ''")


def client(server: Server, program: str) -> tuple[list[str], dict[str, str]]:
    one = tool(program)
    argv = [a for a in one.argv if a != "--no-defaults"]
    at = len(argv) if len(one.argv) == len(argv) else one.argv.index("--no-defaults")
    return [*argv[:at], "--no-defaults", *argv[at:], f"--host={server.host}", f"--port={server.port}", "--user=root"], one.environment()


def dumped(server: Server) -> tuple[bytes, str]:
    """A backup by the server's own tool, and the position in it, found as an operator finds it: by reading it."""
    mysql = server.flavour == "mysql"
    argv, env = client(server, "mysqldump" if mysql else "mariadb-dump")
    options = ["--source-data=2", "--set-gtid-purged=ON"] if mysql else ["--master-data=2", "--gtid"]
    done = subprocess.run([*argv, "--single-transaction", *options, "--databases", "shop"], capture_output=True, env=env, check=True)
    text = done.stdout.decode()
    pattern = r"GTID_PURGED=[^']*'\+?'?\*?/?\s*'([^']*)'" if mysql else r"gtid_slave_pos='([^']*)'"
    match = re.search(pattern, text)
    assert match, text[:3000]
    return done.stdout, match[1].replace("\n", "")


@pytest.mark.slow
def test_from_a_backup_taken_under_load(make_shop: Make, flavour: str) -> None:
    shop = make_shop(flavour, start=False)
    for server in (shop.blue, shop.green):
        new_server(server)
    load = Load(shop.blue.port, 3, 0.01)
    try:
        wait_for(lambda: shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] > 50)
        dump, position = dumped(shop.blue)
        seen = shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0]
        argv, env = client(shop.green, flavour)
        subprocess.run(argv, input=dump, env=env, check=True)
        wait_for(lambda: shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] > seen + 50)
        begin_at(shop, position)
        shop.deployment.start()
        assert shop.deployment.segue("verify")[1]["equal"]
    finally:
        load.stop()
    shop.assert_equal()
    assert shop.deployment.segue("switchover")[1]["outcome"] == "done"
    shop.green.sql("INSERT INTO shop.entries (client, seq) VALUES (99, 1)")
    shop.assert_equal()


def follow(replica: Server, source: Server) -> None:
    """The server's own replication, from the beginning of the source's binlog."""
    if replica.flavour == "mysql":
        replica.sql(f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {source.port},"
                    " SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1")  # fmt: skip
        replica.sql("START REPLICA")
    else:
        replica.sql(f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port}, MASTER_USER = 'root',"
                    " MASTER_USE_GTID = slave_pos")  # fmt: skip
        replica.sql("START SLAVE")


@pytest.mark.slow
def test_from_a_replica(make_shop: Make, flavour: str) -> None:
    """Stopped, its own position taken, forgotten: and each step that is left out is a refusal that says so."""
    shop = make_shop(flavour, start=False)
    green, words = shop.green, "REPLICA" if flavour == "mysql" else "SLAVE"
    for server in (shop.blue, green):
        new_server(server)
    load = Load(shop.blue.port, 3, 0.01)
    try:
        follow(green, shop.blue)
        wait_for(lambda: green.sql("SELECT COUNT(*) FROM shop.entries")[0][0] > 50)
        assert "replicates from 127.0.0.1" in refused(shop)
        green.sql(f"STOP {words}")
        assert "again after its next restart" in refused(shop)
        position = str(green.sql(f"SELECT @@GLOBAL.{'gtid_executed' if flavour == 'mysql' else 'gtid_slave_pos'}")[0][0])
        green.sql(f"RESET {words} ALL")
        begin_at(shop, position.replace("\n", ""))
        shop.deployment.start()
        assert shop.deployment.segue("verify")[1]["equal"]
    finally:
        load.stop()
        green.sql(f"STOP {words}")
        green.sql(f"RESET {words} ALL")
    shop.assert_equal()


def purge(server: Server) -> None:
    """Nothing but the newest binlog is left."""
    server.sql("FLUSH BINARY LOGS")
    last = server.sql("SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        server.sql(f"PURGE BINARY LOGS TO '{last}'")
        return len(server.sql("SHOW BINARY LOGS")) == 1  # MariaDB keeps them while its engine has not checkpointed

    wait_for(purged)


async def test_a_start_with_gaps_is_refused(pairs: Callable[[str], tuple[Server, Server]], flavour: str) -> None:
    """Another time line, transactions that are not of the source, holes and beginnings that are purged, the wrong kind."""
    blue, _ = pairs(flavour)
    mysql = flavour == "mysql"
    server = ControlServer(Side("blue", Endpoint(host=blue.host, port=blue.port, user="root")))

    async def says(reason: str, position: str) -> None:
        with pytest.raises(Refused, match=reason):
            await refuse_gaps(server, position)

    try:
        new_server(blue)
        for n in range(9):
            blue.sql(f"CREATE DATABASE IF NOT EXISTS shop{n}")
        place = await server.position()
        head = place.rpartition("-" if not mysql else ":")[0]
        own = head.split("-")[1]
        await says("has never executed", f"{head}:1-10" if mysql else f"{head}-10")
        await says("has never executed", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5" if mysql else f"0-{int(own) + 77}-5")
        await says("no place there", "binlog.000001:4")
        for position in ("", f"{head}:1-3:7-9" if mysql else f"{head}-3", place):
            await refuse_gaps(server, position)
        purge(blue)
        await says("is purged", "")
        await says("4-6 is purged" if mysql else "-9 is purged", f"{head}:1-3:7-9" if mysql else f"{head}-3")
        await refuse_gaps(server, place)
        blue.sql("CREATE DATABASE shop")
        await refuse_gaps(server, place)
        purge(blue)
        await says("is purged", place)
    finally:
        await server.close()


def wait_for(condition: Callable[[], bool], limit: float = 30.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
