"""Moves at awkward moments: half a packet, a command without a reply, an error in the middle, a client that goes away
or becomes somebody else while its new session is opened. One worker between two real servers, driven as control does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT
from tests.amount import WHOLE
from tests.conftest import FLAVOURS
from tests.integration.proxyrig import ProxyRig
from tests.integration.test_sessions import one

from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from segue.wire.framing import packet

pytestmark = pytest.mark.servers


class Scene:
    """A worker, both servers, and raw clients."""

    def __init__(self, rig: ProxyRig, blue: Any, green: Any) -> None:
        self.rig, self.blue, self.green = rig, blue, green
        self.target = rig.side(green, "green")

    def client(self, **kw: Any) -> Any:
        settings = {"user": "app", "password": APP_PASSWORD, "database": "shop", "ssl_disabled": True, "autocommit": True,
                    "client_flag": CLIENT.MULTI_STATEMENTS, "read_timeout": 20}  # fmt: skip
        return pymysql.connect(host="127.0.0.1", port=self.rig.port, **(settings | kw))

    async def prepare(self) -> dict[str, Any]:
        return await self.rig.ask("prepare", target=self.target, users={"app": APP_PASSWORD, "other": APP_PASSWORD})

    async def move(self) -> None:
        """Everybody, who must all be free to go."""
        assert (await self.rig.ask("hold", timeout=10))["waiting"] == []
        assert (await self.rig.ask("adopt", timeout=10))["unmovable"] == []
        assert (await self.rig.ask("release", active=self.target))["lost"] == []

    async def back(self) -> None:
        """As they were, nothing moved."""
        await self.rig.ask("release", active=self.rig.side(self.blue, "blue"))

    def of_app(self, server: Any) -> int:
        return int(server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER IN ('app', 'other', 'unauthenticated user')")[0][0])


@pytest.fixture(params=FLAVOURS if WHOLE else FLAVOURS[:1])
async def scene(request: pytest.FixtureRequest, pairs: Callable[[str], tuple[Any, Any]], tmp_path: Path) -> AsyncIterator[Scene]:
    blue, green = pairs(request.param)
    for server in (blue, green):
        create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=("shop",))
        server.sql("SET GLOBAL max_allowed_packet = 67108864")
        server.sql("DROP USER IF EXISTS other@'%'")
        server.sql("CREATE USER other@'%%' IDENTIFIED BY %s", (APP_PASSWORD,))
        server.sql("GRANT ALL ON shop.* TO other@'%'")
    rig = await ProxyRig(tmp_path).start(blue)
    try:
        yield Scene(rig, blue, green)
    finally:
        await rig.stop()
        for server in (blue, green):
            server.sql("DROP USER other@'%'")


def say(conn: Any, payload: bytes) -> None:
    conn._sock.sendall(packet(payload, 0))
    conn._next_seq_id = 1


def prepares(conn: Any, sql: bytes, parameters: int = 0) -> bytes:
    """The statement's id."""
    say(conn, b"\x16" + sql)
    number = bytes(conn._read_packet()._data[1:5])
    for _ in range((parameters + 1 if parameters else 0) + 2):
        conn._read_packet()
    return number


def cursor(conn: Any) -> bytes:
    """An open one: the statement's id."""
    number = prepares(conn, b"SELECT 1 UNION ALL SELECT 2")
    say(conn, b"\x17" + number + b"\1\1\0\0\0")
    for _ in range(3):
        conn._read_packet()
    return number


async def soon(what: Callable[[], bool], limit: float = 10.0) -> bool:
    until = time.monotonic() + limit
    while not await asyncio.to_thread(what):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.02)
    return True


@pytest.mark.parametrize("how", ["cursor", "long data", "half a command"])
async def test_who_becomes_free_without_a_reply_is_held(scene: Scene, how: str) -> None:
    """COM_STMT_CLOSE has none: nothing else tells that the session can be held now."""
    conn = await asyncio.to_thread(scene.client)
    number = await asyncio.to_thread(cursor, conn) if how == "cursor" else await asyncio.to_thread(prepares, conn, b"SELECT ?", 1)
    close = packet(b"\x19" + number, 0)
    if how == "long data":
        say(conn, b"\x18" + number + b"\0\0abc")
    elif how == "half a command":
        conn._sock.sendall(close[:7])
        close = close[7:]
    assert await asyncio.to_thread(one, await asyncio.to_thread(scene.client), "SELECT 1") == 1
    held = asyncio.create_task(scene.rig.ask("hold", timeout=8))
    done, _ = await asyncio.wait([held], timeout=0.3)
    assert not done, "it is not free yet"
    conn._sock.sendall(close)
    assert (await held)["waiting"] == []
    await scene.back()
    assert await asyncio.to_thread(one, conn, "SELECT 7") == 7


async def test_nothing_of_ours_comes_between_the_pieces_of_a_command(scene: Scene) -> None:
    conn = await asyncio.to_thread(scene.client)
    number = await asyncio.to_thread(prepares, conn, b"SELECT LENGTH(?)", 1)
    with pytest.raises(pymysql.err.MySQLError):
        await asyncio.to_thread(one, conn, "SELECT nosuch")
    data = b"\x18" + number + b"\0\0" + b"x" * (0xFFFFFF - 7)
    await asyncio.to_thread(conn._sock.sendall, b"\xff\xff\xff\0" + data)
    held = asyncio.create_task(scene.rig.ask("hold", timeout=8))
    done, _ = await asyncio.wait([held], timeout=0.5)
    assert not done
    conn._sock.sendall(packet(b"yz", 1))
    say(conn, b"\x17" + number + b"\0\1\0\0\0\0\1\xfc\0")
    packets = [await asyncio.to_thread(conn._read_packet) for _ in range(5)]
    assert int.from_bytes(packets[3]._data[2:6], "little") == 0xFFFFFF - 7 + 2
    say(conn, b"\x19" + number)
    assert (await held)["waiting"] == []
    await scene.back()
    # The same with our tracking, which a reset has turned off, and a command cut in two behind it.
    number = await asyncio.to_thread(prepares, conn, b"SELECT 5")
    close = packet(b"\x19" + number, 0)
    conn._sock.sendall(packet(b"\x1f", 0) + close[:6])
    conn._next_seq_id = 1
    await asyncio.to_thread(conn._read_packet)
    conn._sock.sendall(close[6:])
    assert await asyncio.to_thread(one, conn, "SELECT 8") == 8


async def test_an_error_among_several_statements_hides_nothing(scene: Scene) -> None:
    conn = await asyncio.to_thread(scene.client)

    async def fails(sql: str) -> None:
        with pytest.raises(pymysql.err.MySQLError):
            await asyncio.to_thread(several, conn, sql)

    async def pinned() -> str:
        return str((await scene.rig.ask("sessions"))["sessions"][0]["pinned"])

    assert await pinned() == ""
    await fails("CREATE TEMPORARY TABLE scratch (a INT); SELECT nosuch")
    assert "scratch" in await pinned()
    await fails("SELECT nosuch; DROP TEMPORARY TABLE scratch; SELECT * FROM nowhere")
    assert "scratch" in await pinned(), "it was not dropped"
    await fails("DROP TEMPORARY TABLE scratch; SELECT nosuch")
    assert await pinned() == ""
    await fails("SELECT nosuch; CREATE TEMPORARY TABLE never (a INT)")
    assert await pinned() == ""


def several(conn: Any, sql: str) -> None:
    with conn.cursor() as asking:
        asking.execute(sql)
        while asking.nextset():
            pass


async def test_a_client_that_becomes_another_user_moves_as_that_user(scene: Scene) -> None:
    """One before the move is prepared, one while its new session is being opened."""
    before, meanwhile = await asyncio.to_thread(scene.client), await asyncio.to_thread(scene.client)
    await asyncio.to_thread(becomes, before, "other")
    os.kill(scene.green.pid, signal.SIGSTOP)
    try:
        preparing = asyncio.create_task(scene.prepare())
        await asyncio.wait([preparing], timeout=0.1)
        assert (await scene.rig.ask("status"))["clients"] == 2
        await asyncio.to_thread(becomes, meanwhile, "other")
        assert not preparing.done()
    finally:
        os.kill(scene.green.pid, signal.SIGCONT)
    assert (await preparing)["failed"] == []
    await scene.move()
    for conn in (before, meanwhile):
        assert await asyncio.to_thread(one, conn, "SELECT CURRENT_USER()") == "other@%"
        assert await asyncio.to_thread(one, conn, "SELECT @@port") == scene.green.port


def becomes(conn: Any, user: str) -> None:
    """COM_CHANGE_USER with an empty response: the server asks for another."""
    say(conn, b"\x11" + user.encode() + b"\0\0shop\0\x2d\0mysql_native_password\0\0")
    answer = conn._read_packet()
    if answer.is_auth_switch_request():
        conn.user, conn.password = user.encode(), APP_PASSWORD.encode()
        answer.read_uint8()
        conn._process_auth(answer.read_string(), answer)


async def test_a_move_that_is_given_up_leaves_no_session_behind(scene: Scene) -> None:
    """Not even those that were just being opened."""
    await scene.prepare()
    conn = await asyncio.to_thread(scene.client)
    os.kill(scene.green.pid, signal.SIGSTOP)
    try:
        assert (await scene.rig.ask("hold", timeout=10))["waiting"] == []
        assert (await scene.rig.ask("adopt", timeout=0.2))["unmovable"] != []
        await scene.back()
    finally:
        os.kill(scene.green.pid, signal.SIGCONT)
    assert await asyncio.to_thread(one, conn, "SELECT 3") == 3
    assert await soon(lambda: scene.of_app(scene.green) == 0, 5.0)


async def test_a_client_that_resets_its_connection_while_it_is_prepared_moves(scene: Scene) -> None:
    """What was being loaded is not its state any more: a new session is opened for it."""
    for server in (scene.blue, scene.green):
        server.sql("DROP TABLE IF EXISTS shop.locked")
        server.sql("CREATE TABLE shop.locked (a INT PRIMARY KEY)")
    conn = await asyncio.to_thread(scene.client)
    await asyncio.to_thread(prepares, conn, b"SELECT * FROM shop.locked")
    await asyncio.to_thread(one, conn, "SELECT @a := 1")
    reader, changer = scene.green.connect(autocommit=False), scene.green.connect()
    await asyncio.to_thread(one, reader, "SELECT a FROM shop.locked")
    changing = asyncio.create_task(asyncio.to_thread(several, changer, "ALTER TABLE shop.locked ADD b INT"))
    try:
        assert await soon(lambda: waits_for_a_table(scene.green, "root"))
        preparing = asyncio.create_task(scene.prepare())
        assert await soon(lambda: waits_for_a_table(scene.green, "app")), "the statement is not prepared there"
        say(conn, b"\x1f")
        await asyncio.to_thread(conn._read_packet)
        assert not preparing.done()
    finally:
        reader.close()
        await changing
    assert (await preparing)["failed"] == []
    await scene.move()
    assert await asyncio.to_thread(one, conn, "SELECT @a IS NULL") == 1
    assert await asyncio.to_thread(one, conn, "SELECT @@port") == scene.green.port


def waits_for_a_table(server: Any, user: str) -> bool:
    rows = server.sql(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = %s AND STATE LIKE 'Waiting for table metadata%%'", (user,)
    )
    return bool(rows[0][0])


async def test_a_kill_is_not_sent_with_a_number_of_the_side_that_was_left(scene: Scene) -> None:
    """The killed one belongs to another worker. The answer, which session it is on the server, is older than the move."""
    victims = [server.connect(user="app", password=APP_PASSWORD) for server in (scene.blue, scene.green)]
    numbers = [v.thread_id() for v in victims]
    asked: list[int] = []
    go_on = asyncio.Event()

    async def backend_id(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args["id"])
        if len(asked) == 1:
            await go_on.wait()
            return {"id": numbers[0]}
        return {"id": numbers[1]}

    scene.rig.answers["backend_id"] = backend_id
    conn = await asyncio.to_thread(scene.client)
    await scene.prepare()
    another = 1 << 30 | 1 << 24 | 5  # the fifth session of worker 1
    say(conn, b"\x03KILL %d" % another)
    assert await soon(lambda: asked == [another])
    await scene.move()
    go_on.set()
    assert (await asyncio.to_thread(conn._read_packet)).is_ok_packet()
    assert asked == [another, another]
    alive = [await asyncio.to_thread(lives, victim) for victim in victims]
    assert alive == [True, False]
    victims[0].close()


def lives(conn: Any) -> bool:
    try:
        return bool(one(conn, "SELECT 1") == 1)
    except pymysql.err.OperationalError:
        return False
