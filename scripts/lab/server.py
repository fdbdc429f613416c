"""Servers: start, stop, kill, restart. Each has its own folder, a free port, and dies with its owner.

Disk: binlogs are cut at 64 MB and expire after ten minutes, and a guard thread kills a server whose folder
passes `max_disk`, or when the disk has less than 2 GiB left.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pymysql

from lab.fetch import LabError, cache, rootfs, run_in

Flavour = Literal["mysql", "mariadb"]
_ids = itertools.count(int(time.time()) % 1000000 * 100 + 1)
_labs = itertools.count(1)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
Options = Mapping[str, str | int]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


_FITS: dict[str, tuple[str, tuple[int, int]]] = {"mysql": ("mysqld", (9, 0)), "mariadb": ("mariadbd", (10, 11))}
"""Program and oldest version of a server on PATH that is used instead of fetching one."""


def _on_path(flavour: Flavour) -> str | None:
    """A server that is installed here and fits."""
    program, oldest = _FITS[flavour]
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        return None
    text = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Ver (\d+)\.(\d+)", text)
    right = ("mariadb" in text.lower()) == (flavour == "mariadb")
    return path if found and right and (int(found[1]), int(found[2])) >= oldest else None


def _base(flavour: Flavour) -> tuple[list[str], Path]:
    """The server's command line up to its options, and where its shared files are."""
    installed = _on_path(flavour)
    if installed is not None:
        argv, share = [installed, "--no-defaults"], Path("/usr/share/mysql")
    else:
        root = rootfs(flavour) / "rootfs"
        share = root / "usr/share" / ("mysql" if flavour == "mysql" or (root / "usr/share/mysql").is_dir() else "mariadb")
        argv = run_in(root, _FITS[flavour][0])
        argv += [
            "--no-defaults", f"--basedir={root}/usr", f"--lc-messages-dir={share}",
            f"--character-sets-dir={share}/charsets", f"--plugin-dir={root}/usr/lib/mysql/plugin",
        ]  # fmt: skip
    argv.append("--secure-file-priv=")
    if os.geteuid() == 0:
        argv.append("--user=root")
    return argv, share


def _template(flavour: Flavour) -> Path:
    """An initialised data directory, made once and copied for each server."""
    folder = cache() / f"{flavour}-data"
    base, share = _base(flavour)
    if folder.is_dir():
        return folder
    work = cache() / f"{flavour}-data-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    log = cache() / f"{flavour}-init.log"
    if flavour == "mysql":
        command, text = [*base, "--initialize-insecure", f"--datadir={work}", f"--log-error={log}"], ""
    else:
        work.mkdir()
        names = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql",
                 "maria_add_gis_sp_bootstrap.sql", "mariadb_sys_schema.sql", "mysql_sys_schema.sql")  # fmt: skip
        text = "create database mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n"
        text += "".join((share / n).read_text() for n in names[:4] if (share / n).exists())
        command = [*base, "--bootstrap", f"--datadir={work}", "--max_allowed_packet=8M", f"--log-error={log}"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"{flavour} could not be initialised, see {log}")
    (work / "auto.cnf").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else was faster: theirs is as good
        work.rename(folder)
    shutil.rmtree(work, ignore_errors=True)
    return folder


class Server:
    """One real server."""

    host = "127.0.0.1"

    def __init__(self, flavour: Flavour, folder: Path, options: dict[str, str | int], max_disk: int) -> None:
        self.flavour: Flavour = flavour
        self.folder = folder
        self.port = free_port()
        self.socket = f"/tmp/segue-lab-{self.port}.sock"
        self.options = options
        self.env: dict[str, str] = {}
        """Of its next start, besides ours."""
        self.max_disk = max_disk
        self._process: subprocess.Popen[bytes] | None = None
        self._new = False

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError(f"{self.folder.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait: float = 60.0) -> None:
        """Start and wait until it answers. Raises LabError with the end of its log otherwise.

        Call it from a thread that lives as long as the server should: the kernel's parent-death signal, by
        which the server dies with its owner, means the thread and not the process.
        """
        self.launch()
        self.wait(wait)

    def launch(self) -> None:
        """Start the process without waiting for it."""
        data = self.folder / "data"
        if not data.exists():
            self._new = True
            (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
            shutil.copytree(_template(self.flavour), data)
        base, _ = _base(self.flavour)
        settings = self.options | {"datadir": str(data), "tmpdir": str(self.folder / "tmp"), "port": self.port,
                                   "socket": self.socket, "log_error": str(self.folder / "error.log"),
                                   "pid_file": str(self.folder / "pid"), "bind_address": self.host}  # fmt: skip
        argv = base + [f"--{k}={v}" if v != "" else f"--{k}" for k, v in settings.items()]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._forget_socket()
        keep = os.environ.get("SEGUE_LAB_KEEP") == "1"
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=os.environ | self.env,
            preexec_fn=None if keep else die_with_owner,  # noqa: PLW1509 - one system call, no lock taken
        )  # fmt: skip
        threading.Thread(target=self._guard_disk, args=(self._process,), daemon=True).start()

    def wait(self, limit: float = 60.0) -> None:
        """Until it answers; a new server's root account is opened then."""
        deadline = time.monotonic() + limit
        while True:
            try:
                pymysql.connect(unix_socket=self.socket, user="root", connect_timeout=2).close()
                break
            except pymysql.err.OperationalError as error:
                if not self.running or time.monotonic() > deadline:
                    log = self.folder / "error.log"
                    tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                    raise LabError(f"{self.folder.name} did not start: {error}\n" + "\n".join(tail)) from None
            time.sleep(0.05)
        if self._new:
            self._open_root()
            self._new = False

    def _open_root(self) -> None:
        """Root over TCP without a password: the lab's servers listen on loopback only."""
        statements = ["SET sql_log_bin = 0"]
        if self.flavour == "mariadb":
            statements += ["DELETE FROM mysql.global_priv WHERE User = ''", "FLUSH PRIVILEGES"]
        statements += ["CREATE USER IF NOT EXISTS root@'%'", "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION"]
        with pymysql.connect(unix_socket=self.socket, user="root", autocommit=True) as conn, conn.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _guard_disk(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            used = self._used()
            free = shutil.disk_usage(self.folder).free if self.folder.exists() else 1 << 40
            if used > self.max_disk or free < 2 << 30:
                print(f"lab: killing {self.folder.name}: {used >> 20} MiB used, {free >> 20} MiB free", file=sys.stderr)
                process.kill()
                return
            time.sleep(2.0)

    def _used(self) -> int:
        """Bytes in the folder; files come and go while they are counted."""
        total = 0
        for top, _, names in os.walk(self.folder):
            for one in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(top, one)).st_size
        return total

    def stop(self, limit: float = 30.0) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.terminate()
            try:
                self._process.wait(limit)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, **options: str | int) -> None:
        self.stop()
        self.options |= options
        self.start()

    def destroy(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._forget_socket()

    def _forget_socket(self) -> None:
        """A killed MySQL leaves both files, and does not start again when the process number in the lock is somebody's by then."""
        for path in (self.socket, f"{self.socket}.lock"):
            Path(path).unlink(missing_ok=True)

    def connect(self, **kw: Any) -> pymysql.Connection[Any]:
        settings: dict[str, Any] = {"host": self.host, "port": self.port, "user": "root", "autocommit": True}
        return pymysql.connect(**(settings | kw))

    def sql(self, statement: str, args: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement as root; its rows."""
        with self.connect() as conn, conn.cursor() as cursor:
            cursor.execute(statement, args)
            return list(cursor.fetchall())

    @property
    def version(self) -> str:
        return str(self.sql("SELECT VERSION()")[0][0])


class Lab:
    """A folder of servers, its own even where a process has several; as a context manager it removes them all at the end."""

    def __init__(self, folder: Path | None = None) -> None:
        top = os.environ.get("SEGUE_LAB")
        base = Path(top) if top else Path(__file__).resolve().parents[2] / ".lab"
        self.folder = folder or base / f"{os.getpid()}-{next(_labs)}"
        self.servers: list[Server] = []

    def start(
        self, flavour: Flavour, name: str, *, gtid: bool = True, binlog: bool = True, row_metadata: str = "FULL",
        row_image: str = "FULL", binlog_format: str = "ROW", buffer_pool: str = "128M", server_id: int | None = None,
        options: Options | None = None, max_disk: int = 4 << 30, wait: bool = True,
    ) -> Server:  # fmt: skip
        """Start one server with production's durability and settings that suit a test machine."""
        settings: dict[str, str | int] = {
            "server_id": server_id or next(_ids), "innodb_buffer_pool_size": buffer_pool, "max_connections": 2500,
            "sync_binlog": 1, "innodb_flush_log_at_trx_commit": 1, "character_set_server": "utf8mb4", "local_infile": 1,
        }  # fmt: skip
        if binlog:
            settings |= {"log_bin": "binlog", "binlog_format": binlog_format, "binlog_row_image": row_image,
                         "binlog_row_metadata": row_metadata, "max_binlog_size": "64M",
                         "binlog_expire_logs_seconds": 600}  # fmt: skip
        elif flavour == "mysql":
            settings["skip_log_bin"] = ""
        if flavour == "mysql":
            settings |= {"mysqlx": "OFF", "innodb_redo_log_capacity": "256M"}
            if gtid:
                settings |= {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"}
        else:
            settings |= {"log_slave_updates": 1, "innodb_log_file_size": "96M"}
        server = Server(flavour, self.folder / name, settings | dict(options or {}), max_disk)
        self.servers.append(server)
        server.launch()
        if wait:
            server.wait()
        return server

    def pair(self, blue: Flavour = "mysql", green: Flavour = "mysql", **kw: Any) -> tuple[Server, Server]:
        """Two servers, starting at the same time."""
        pair = self.start(blue, "blue", wait=False, **kw), self.start(green, "green", wait=False, **kw)
        for server in pair:
            server.wait()
        return pair

    def destroy(self) -> None:
        for server in self.servers:
            server.destroy()
        self.servers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


def die_with_owner() -> None:
    """For a child before it starts: the kernel kills it when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

