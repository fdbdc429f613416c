"""finalize, force, hooks, --allow, --dry-run, and daemons that must not act, on real servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest

import workload
from lab import Deployment, Server
from segue.admin.client import ask

pytestmark = pytest.mark.servers


def read_only(server: Server) -> bool:
    return bool(int(server.sql("SELECT @@GLOBAL.read_only + 0")[0][0]))


def looks_go_on(deployment: Deployment, active: Server) -> None:
    """Until the daemon has looked at its active side some times more: what it would do it has done then."""

    def asked() -> int:
        return int(active.sql("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])

    before = asked()
    deployment.wait_for(lambda _s: asked() > before + 20)  # four or five for each look; no client is there


def hook(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def configure(deployment: Deployment, text: str) -> None:
    deployment.config.write_text(deployment.config.read_text() + text)


def test_finalize_ends_the_way_back(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    d = shop.deployment
    code, answer = d.segue("finalize", check=False)
    assert code == 1
    assert "no switchover yet" in answer["error"]
    d.segue("switchover")
    d.wait_for(lambda s: s["replication"]["state"] == "streaming")
    _, answer = d.segue("finalize")
    assert answer["side"] == "blue"
    assert "not fed" in answer["means"]
    shop.green.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    for command in ("rollback", "switchover"):
        code, answer = d.segue(command, check=False)
        assert code == 1
        assert "finalize" in answer["error"]
        assert "segue seed" in answer["mend"]
    d.stop()
    d.launch()
    status = d.wait_for(lambda s: s["phase"] == "steady" and s["replication"]["state"] == "idle")  # up, and not told to feed
    assert status["way_back"]["state"] == "finalized"
    assert status["active"] == "green"
    assert read_only(shop.blue)
    looks_go_on(d, shop.green)
    assert d.status()["replication"]["state"] == "idle"
    assert shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 0


def test_force_says_what_is_lost_and_finds_it_later(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    d = shop.deployment
    code, answer = d.segue("switchover", "--force", check=False)
    assert code == 1
    assert "answers: nothing need be lost" in answer["error"]
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) VALUES (1, 1, 'replicated')")
    shop.assert_equal()
    replicator = d.pids()["replicate"]
    signal_to(replicator, signal.SIGSTOP)
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) VALUES (1, 2, 'lost')")
    shop.blue.sql("UPDATE shop.accounts SET balance = balance + 1 WHERE id = 3")
    shop.blue.kill()
    signal_to(replicator, signal.SIGKILL)
    d.wait_for(lambda s: s["replication"]["state"] == "connecting" and s["replication"]["error"])
    code, answer = d.segue("switchover", "--dry-run", "--force")
    assert "does not answer" in answer["forced"]["words"]
    code, report = d.segue("switchover", "--force")
    assert (code, report["outcome"]) == (0, "done")
    assert "Applied here" in report["forced"]["words"]
    status = d.segue("status")[1]
    assert (status["active"], status["way_back"]["state"]) == ("green", "lost")
    assert not read_only(shop.green)
    assert shop.green.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 1
    shop.blue.start()
    status = d.wait_for(lambda s: "transactions" in s["way_back"])
    assert read_only(shop.blue)
    lost = status["way_back"]["transactions"]
    assert [t["tables"] for t in lost] == [["shop.entries"], ["shop.accounts"]]
    code, answer = d.segue("rollback", check=False)
    assert code == 1
    assert "given up" in answer["error"]
    d.stop()
    d.launch()
    status = d.wait_for(lambda s: s["phase"] == "steady")
    assert status["way_back"]["transactions"] == lost


def signal_to(pid: int, number: int) -> None:
    os.kill(pid, number)


def test_source_dies_while_fenced_then_force(make_shop: Callable[..., Any], tmp_path: Path, flavour: str) -> None:
    """The abort cannot open the dead source; clients are not held for ever, and force ends the waiting."""
    shop = make_shop(flavour, start=False, max_pause=3.0)
    d = shop.deployment
    killer = hook(tmp_path, "killer", f"kill -9 $(cat {shop.blue.folder}/pid)")
    # The last hook before the pause; the watch over the source's death is the switchover's own.
    configure(d, f'[hooks]\nbefore_pause = "{killer}"\n')
    d.start()
    code, answer = d.segue("switchover", "--timeout", "10", check=False)
    assert code == 1, answer
    assert "segue switchover --force" in answer["mend"]
    code, report = d.segue("switchover", "--force")
    assert report["outcome"] == "done"
    assert d.segue("status")[1]["active"] == "green"
    assert not read_only(shop.green)


def test_everything_dies_right_behind_a_switchover(make_shop: Callable[..., Any], flavour: str) -> None:
    """Before anybody has looked at the new active side once more: it comes up closed and is opened all the same."""
    shop = make_shop(flavour)
    d = shop.deployment
    assert ask(d.socket, "switchover", {"timeout": 30.0})["outcome"] == "done"
    d.kill()
    try:
        for server in (shop.blue, shop.green):
            server.kill()
            server.options["read_only"] = 1
            server.start()
        d.launch()
        d.wait_for(lambda s: s["replication"]["state"] == "streaming" and not read_only(shop.green), 60.0)
    finally:
        for server in (shop.blue, shop.green):
            server.options.pop("read_only", None)
    assert read_only(shop.blue)
    assert d.segue("status")[1]["active_refuses_writes"] is None


def test_old_side_dead_after_the_commit(make_shop: Callable[..., Any], tmp_path: Path, flavour: str) -> None:
    """Forward without it; it follows when it is back, and nothing that was written meanwhile is missing there."""
    shop = make_shop(flavour, start=False)
    d = shop.deployment
    d.start()
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    shop.assert_equal()
    d.kill()
    with sqlite3.connect(d.folder / "state/journal.sqlite") as journal:
        # What a daemon leaves that was killed right behind the commit.
        position = shop.green.sql("SELECT @@GLOBAL.gtid_executed" if flavour == "mysql" else "SELECT @@GLOBAL.gtid_binlog_pos")[0][0]
        facts = json.dumps({"fence_tried": True, "target_position": position.replace("\n", "")})
        journal.execute("INSERT INTO switchover (started, source, target, state, facts) VALUES (1, 'blue', 'green', 'opening', ?)",
                        (facts,))  # fmt: skip
    journal.close()
    shop.blue.kill()
    d.launch()
    status = d.wait_for(lambda s: s["phase"] == "steady" and s["active"] == "green")
    assert status["way_back"]["state"] == "pending"
    assert not read_only(shop.green)
    shop.green.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 2)")
    shop.blue.start()
    d.wait_for(lambda s: s["way_back"]["state"] == "open" and s["replication"]["state"] == "streaming")
    shop.assert_equal()
    assert read_only(shop.blue)
    assert d.segue("rollback")[1]["outcome"] == "done"


def test_hooks(make_shop: Callable[..., Any], tmp_path: Path, flavour: str) -> None:
    shop = make_shop(flavour, start=False)
    d = shop.deployment
    log = tmp_path / "hooks.log"
    names = ("before_check", "before_pause", "after_commit", "after_switchover", "on_abort")
    tell = hook(tmp_path, "tell", f'echo "$SEGUE_HOOK $SEGUE_SOURCE $SEGUE_TARGET $SEGUE_TARGET_POSITION $(cat)" >> {log}')
    config = d.config.read_text()
    configure(d, "[hooks]\ntimeout = 2.0\n" + "".join(f'{n} = "{tell}"\n' for n in names))
    d.start()
    d.segue("switchover")
    d.wait_for(lambda _s: log.read_text().count("\n") == 4)
    lines = [line.split(" ", 4) for line in log.read_text().splitlines()]
    assert {line[0] for line in lines} == set(names) - {"on_abort"}
    assert {(line[1], line[2]) for line in lines} == {("blue", "green")}
    facts = {line[0]: json.loads(line[4]) for line in lines}
    assert facts["after_switchover"]["outcome"] == "done"
    assert facts["after_commit"]["target_position"]
    d.wait_for(lambda s: s["replication"]["state"] == "streaming")
    veto = hook(tmp_path, "veto", "echo not on a Friday; exit 3")
    slow = hook(tmp_path, "slow", "sleep 60")
    for path, said in ((veto, "ended with 3: not on a Friday"), (slow, "did not end within 2 s"), (tmp_path / "none", "cannot be run")):
        d.config.write_text(config + f'[hooks]\ntimeout = 2.0\nbefore_pause = "{path}"\non_abort = "{tell}"\n')
        d.segue("reload")
        code, answer = d.segue("rollback", check=False)
        assert code == 1
        assert said in answer["error"]
        assert d.segue("status")[1]["active"] == "green"
    d.wait_for(lambda _s: log.read_text().count("on_abort") >= 3)
    assert not read_only(shop.green)


def test_allow_and_dry_run(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    d = shop.deployment
    shop.green.sql("SET GLOBAL auto_increment_increment = 2")
    connects = d.status()["replication"]["details"]["connects"]
    try:
        code, answer = d.segue("switchover", check=False)
        assert code == 1
        assert "[auto_increment]" in answer["error"]
        replication = d.status()["replication"]
        assert (replication["state"], replication["details"]["connects"]) == ("streaming", connects)  # not interrupted
        for wrong, said in (("all", "no guardrail 'all'"), ("target_read_only", "cannot be passed over")):
            code, answer = d.segue("switchover", "--allow", wrong, check=False)
            assert code == 1
            assert said in answer["error"]
        _, answer = d.segue("switchover", "--dry-run", "--allow", "auto_increment")
        assert answer["forecast"]["measured"] == 0
        assert 20 < answer["forecast"]["ms"] < 5000
        _, report = d.segue("switchover", "--allow", "auto_increment")
        assert report["passed_over"] == ["auto_increment"]
    finally:
        shop.green.sql("SET GLOBAL auto_increment_increment = 1")
    d.wait_for(lambda s: s["replication"]["state"] == "streaming")
    forecast = d.segue("switchover", "--dry-run")[1]["forecast"]
    assert forecast["measured"] == 1
    assert forecast["ms"] == pytest.approx(report["pause_ms"], rel=1.5)
    assert d.segue("status")[1]["active"] == "green"


def test_a_daemon_that_is_not_the_owner(make_shop: Callable[..., Any], tmp_path: Path, flavour: str) -> None:
    """A second one elsewhere is refused; one that was stopped while another took over ends by itself."""
    shop = make_shop(flavour)
    first = shop.deployment
    second = Deployment(tmp_path / "second", shop.blue, shop.green, accounts=False)
    second.launch()
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert "another segue acts for deployment" in second.tail()
    # Another takes over while the first is stopped: its connections end, its state_dir is copied, its row replaced.
    assert first.process is not None
    pids = [first.process.pid, *first.pids().values()]
    for pid in pids:
        signal_to(pid, signal.SIGSTOP)
    shutil.rmtree(second.folder / "state")
    for server in (shop.blue, shop.green):
        for (number,) in server.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'segue'"):
            try:
                server.sql(f"KILL {number}")
            except pymysql.err.MySQLError:  # ended meanwhile
                continue
        server.sql("DELETE FROM segue.owner")
    second.start()
    second.segue("switchover")
    for pid in pids:
        signal_to(pid, signal.SIGCONT)
    try:
        assert first.process.wait(20) == 1
        assert "belongs to another segue" in first.tail() or "another segue acts" in first.tail()
        status = second.segue("status")[1]
        assert (status["active"], status["phase"]) == ("green", "steady")
        assert read_only(shop.blue)
        assert not read_only(shop.green)
    finally:
        second.stop()


def test_an_old_copy_of_the_state_dir_is_refused(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("mysql")
    d = shop.deployment
    for _ in range(3):
        d.segue("switchover")
        d.wait_for(lambda s: s["replication"]["state"] == "streaming")
    d.stop()
    with sqlite3.connect(d.folder / "state/journal.sqlite") as journal:
        journal.execute("UPDATE deployment SET active = 'blue', epoch = 1")
    journal.close()
    d.launch()
    assert d.process is not None
    assert d.process.wait(20) == 1
    assert "the state_dir is an old copy" in d.tail()


def test_both_servers_restart_read_only_and_come_back(make_shop: Callable[..., Any], flavour: str) -> None:
    """With read_only in their configuration both come up closed: the keeper opens the active one, and only it."""
    shop = make_shop(flavour)
    d = shop.deployment
    load = shop.load(clients=3, pause=0.01)
    try:
        for server in (shop.blue, shop.green):
            server.kill()
        for server in (shop.blue, shop.green):
            server.options["read_only"] = 1
            server.start()
        d.wait_for(lambda s: s["replication"]["state"] == "streaming" and not read_only(shop.blue))
        told = load.stop()
    finally:
        load.kill()
        for server in (shop.blue, shop.green):
            server.options.pop("read_only", None)
    assert read_only(shop.green)
    assert workload.verify(shop.blue, told["clients"]).good
    shop.blue.sql("SET GLOBAL read_only = ON")  # by hand: somebody means it
    status = d.wait_for(lambda s: s["active_refuses_writes"])
    assert "did not set it" in status["active_refuses_writes"]
    looks_go_on(d, shop.blue)
    assert read_only(shop.blue)


