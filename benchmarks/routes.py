"""Ways from a client to one MySQL server: direct, HAProxy, MySQL Router, Segue's proxy; one thread each, TLS off."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr
from tests.integration.proxyrig import ProxyRig

from benchmarks.processes import cpu_seconds
from lab import LabError, Server, tool
from lab.deployment import SEGUE_PASSWORD
from lab.fetch import rootfs
from lab.server import free_port
from segue.config import Endpoint
from segue.flavour import detect
from segue.proxy.certificate import ensure_certificate
from segue.sql import connect


@dataclass(frozen=True, slots=True)
class Tls:
    """What clients with TLS need: `folder` has client-key.pem, client-cert.pem and cacert.pem as sysbench wants them;
    `cert` and `key` are for whoever ends TLS."""

    folder: Path
    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Tls:
        """A new self-signed certificate that serves as all of them: nobody here checks who the other one is."""
        folder.mkdir(parents=True)
        cert, key = ensure_certificate(folder)
        shutil.copy(key, folder / "client-key.pem")
        for name in ("client-cert.pem", "cacert.pem"):
            shutil.copy(cert, folder / name)
        return cls(folder, cert, key)


class Route(ABC):
    """A port to connect to and the processes behind it."""

    name: ClassVar[str]

    def __init__(self, folder: Path, server: Server, tls: Tls | None = None) -> None:
        self.folder = folder / self.name
        self.server = server
        self.tls = tls
        self.port = server.port

    @abstractmethod
    async def open(self) -> None:
        """Make the port answer."""

    @abstractmethod
    async def close(self) -> None:
        """End its processes."""

    def cpu(self) -> float:
        """CPU seconds that its processes have used so far."""
        return 0.0

    def version(self) -> str | None:
        """Of the program, where there is one of its own."""
        return None


class Direct(Route):
    """The server's own port."""

    name = "direct"

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return


class _Program(Route):
    """A route that is a program of the lab with a configuration file."""

    program: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = ()
    version_flag: ClassVar[str] = "--version"

    def __init__(self, folder: Path, server: Server, tls: Tls | None = None) -> None:
        super().__init__(folder, server, tls)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def configuration(self) -> str:
        """The text of its file."""

    async def open(self) -> None:
        self.folder.mkdir(parents=True)
        self._process = self._launch(self.folder / "output.log")
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    texts = "".join(f.read_text(errors="replace") for f in sorted(self.folder.glob("*.log")))
                    raise LabError(f"{self.name} does not listen: {texts[-1500:]}") from None
                await asyncio.sleep(0.1)

    def _launch(self, log: Path) -> subprocess.Popen[bytes]:
        conf = self.folder / "proxy.conf"
        conf.write_text(self.configuration())
        what = tool(self.program)
        with log.open("wb") as out:
            return subprocess.Popen([*what.argv, *self.arguments, str(conf)], env=what.environment(),
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # fmt: skip

    async def close(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu(self) -> float:
        return cpu_seconds(self._process.pid) if self._process else 0.0

    def version(self) -> str | None:
        what = tool(self.program)
        done = subprocess.run([*what.argv, self.version_flag], env=what.environment(), capture_output=True, text=True,
                              check=False)  # fmt: skip
        words = done.stdout.split("\n", 1)[0].split()
        return next((word for word in words if word[0].isdigit()), None)


class HAProxy(_Program):
    """Forwards bytes."""

    name = "haproxy"
    program = "haproxy"
    arguments = ("-db", "-f")
    version_flag = "-v"

    def configuration(self) -> str:
        return f"""
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 10m
    timeout server 10m
listen mysql
    bind 127.0.0.1:{self.port}
    server one {self.server.host}:{self.server.port}
"""


class Router(_Program):
    """Classic-protocol routing of MySQL Router."""

    name = "router"
    program = "mysqlrouter"
    arguments = ("-c",)

    def configuration(self) -> str:
        root = rootfs("router") / "rootfs"
        plugins = next(root.glob("usr/lib/**/routing.so")).parent
        client = "client_ssl_mode=DISABLED"
        if self.tls is not None:
            client = f"client_ssl_mode=REQUIRED\nclient_ssl_cert={self.tls.cert}\nclient_ssl_key={self.tls.key}"
        return f"""
[DEFAULT]
logging_folder={self.folder}
runtime_folder={self.folder}
data_folder={self.folder}
plugin_folder={plugins}
[logger]
level=WARNING
[io]
threads=1
[routing:one]
bind_address=127.0.0.1
bind_port={self.port}
destinations={self.server.host}:{self.server.port}
routing_strategy=first-available
protocol=classic
{client}
server_ssl_mode=DISABLED
max_connect_errors=1000000
"""


class Segue(Route):
    """One worker process of Segue's proxy, ordered as control orders it."""

    name = "segue"

    def __init__(self, folder: Path, server: Server, tls: Tls | None = None) -> None:
        super().__init__(folder, server, tls)
        self._rig: ProxyRig | None = None

    async def open(self) -> None:
        self.folder.mkdir(parents=True)
        rig = ProxyRig(self.tls.folder if self.tls else self.folder)
        endpoint = Endpoint(host=self.server.host, port=self.server.port, user="segue", password=SecretStr(SEGUE_PASSWORD),
                            tls="disabled")  # fmt: skip
        conn = await connect(endpoint, where="the server", program="benchmark")
        tracked = await (await detect(conn)).session_variables(conn)
        await conn.close()
        self._rig = await rig.start(self.server, tls="disabled", tracked=",".join(tracked))
        self.port = rig.port

    async def close(self) -> None:
        if self._rig is not None:
            await self._rig.stop()

    def cpu(self) -> float:
        return cpu_seconds(self._rig.process.pid) if self._rig else 0.0


class Bare(_Program):
    """forwarder.c: the least that a forwarder can do, compiled for this run."""

    name = "bare"

    def _launch(self, log: Path) -> subprocess.Popen[bytes]:
        program = self.folder / "forwarder"
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("forwarder.c")], check=True)
        with log.open("wb") as out:
            return subprocess.Popen([program, str(self.port), str(self.server.port)], stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=out)  # fmt: skip

    def configuration(self) -> str:
        return ""

    def version(self) -> str | None:
        return None


ALL: tuple[type[Route], ...] = (Direct, HAProxy, Router, Segue, *((Bare,) if shutil.which("cc") else ()))
