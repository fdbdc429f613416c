"""Packages of Debian or Ubuntu unpacked into a cache, by name, through a private apt configuration.

Programs run through their own dynamic loader and libraries, so that MySQL from Debian's unstable release works
on an older system. Nothing is installed. The mirror is the one that the machine's own apt uses (see `archive.py`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.archive import choose, resolve


class LabError(Exception):
    """The lab cannot do what was asked; the text says why."""


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Debian's suite and names; see `archive.resolve` for other archives."""

    suite: str
    packages: tuple[str, ...]


SETS = {
    "mysql": PackageSet("sid", ("mysql-server-core", "mysql-client-core", "libc6")),
    "mariadb": PackageSet("bookworm", ("mariadb-server", "mariadb-client", "libc6")),
    "tools": PackageSet(
        "bookworm", ("sysbench", "haproxy", "python3", "python3-mysqldb", "php8.2-cli", "php8.2-mysql", "libc6")
    ),
    "java": PackageSet("bookworm", ("openjdk-17-jre-headless", "ecj", "libmariadb-java", "libc6")),
    "go": PackageSet("bookworm", ("golang-1.19-go", "golang-github-go-sql-driver-mysql-dev", "libc6")),
    "dump": PackageSet("sid", ("mydumper", "libc6")),
    "router": PackageSet("sid", ("mysql-router", "libc6")),
    "toolkit": PackageSet("bookworm", ("percona-toolkit", "perl", "libc6")),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A program's command line up to its own arguments, and what it needs in its environment."""

    argv: list[str]
    env: dict[str, str]

    def environment(self) -> dict[str, str]:
        return os.environ | self.env


def cache() -> Path:
    base = os.environ.get("SEGUE_LAB_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segue-lab"


def _sources() -> list[str]:
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [p.read_text(errors="replace") for p in places if p.is_file()]


def rootfs(name: str) -> Path:
    """The folder of an unpacked set; fetches it when it is not there. Raises LabError when it cannot."""
    folder = cache() / name
    if (folder / "complete").exists():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            work = Path(tempfile.mkdtemp(dir=cache(), prefix=f"{name}-"))
            try:
                _fetch(SETS[name], work)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


def _fetch(what: PackageSet, work: Path) -> None:
    archive = choose(Path("/etc/os-release").read_text(), _sources())
    if archive is None or not Path(archive.keyring).exists():
        raise LabError("no mirror of Debian or Ubuntu, or no key of it, among this machine's apt sources; install the"
                       " servers so that they are on PATH")  # fmt: skip
    apt = work / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(archive.sources(what.suite))
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::Etc::preferencesparts": "-",
        "Dir::State::lists": apt / "lists", "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
        "APT::Install-Recommends": "0", "Debug::NoLocking": "1", "APT::Sandbox::User": _user(),
    }  # fmt: skip
    conf = apt / "apt.conf"
    conf.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    print(f"lab: fetching {', '.join(what.packages)} from {archive.release or f'Debian {what.suite}'}", flush=True)
    _run(["apt-get", "-c", str(conf), "-qq", "update"])
    names = _named(what, set(_run(["apt-cache", "-c", str(conf), "pkgnames"]).split()))
    _run(["apt-get", "-c", str(conf), "-qq", "-y", "--download-only", "install", *names])
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(work / "rootfs")])
    shutil.rmtree(apt)
    (work / "complete").touch()


def _user() -> str:
    return "root" if os.geteuid() == 0 else ""


def _named(what: PackageSet, known: set[str]) -> list[str]:
    names = {wanted: resolve(wanted, known) for wanted in what.packages}
    if missing := [wanted for wanted, name in names.items() if name is None]:
        raise LabError(f"this machine's package archive has no {', '.join(missing)}")
    return [name for name in names.values() if name]


def _run(command: list[str]) -> str:
    """Its output. Raises LabError when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{command[0]} failed: {' '.join(lines[-3:])}")
    return done.stdout


def libraries(root: Path) -> list[str]:
    """Directories below an unpacked root that hold shared libraries."""
    triplets = [p.name for p in (root / "usr/lib").glob("*-linux-gnu*")]
    names = [f"{top}/{t}" for t in triplets for top in ("usr/lib", "lib")]
    names += ["usr/lib/mysql/private", "usr/lib/mysql-router", "usr/lib/mysqlrouter/private"]
    names += [f"usr/lib/{t}/mysqlrouter{tail}" for t in triplets for tail in ("", "/private", "/plugin")]
    names += ["usr/lib/mysqlrouter/plugin"]
    return [str(root / n) for n in names if (root / n).is_dir()]


def run_in(root: Path, program: str) -> list[str]:
    """The command line that runs a program of an unpacked root, found by its name or a pattern, with its own loader."""
    path = next((p for d in ("usr/bin", "usr/sbin", "bin", "sbin") for p in (root / d).glob(program) if p.exists()), None)
    if path is None:
        raise LabError(f"{program} is not in {root}")
    return [str(loader(root)), "--library-path", ":".join(libraries(root)), str(path.resolve())]


def loader(root: Path) -> Path:
    """The dynamic loader of an unpacked root."""
    found = next((p for d in ("usr/lib64", "lib64") for p in (root / d).glob("ld-linux*")), None)
    if found is None:
        found = next((p for d in ("usr/lib", "lib") for p in (root / d).glob("*/ld-linux*")), None)
    if found is None:
        raise LabError(f"{root} has no dynamic loader")
    return found


_HOME = {
    "mysql": ("mysql", "mysql"), "mysqldump": ("mysql", "mysqldump"), "mariadb": ("mariadb", "mariadb"),
    "mariadb-dump": ("mariadb", "mariadb-dump"),
    "sysbench": ("tools", "sysbench"), "haproxy": ("tools", "haproxy"), "php": ("tools", "php[0-9]*"),
    "python-mysqldb": ("tools", "python3"), "mysqlrouter": ("router", "mysqlrouter"),
    "pt-online-schema-change": ("toolkit", "perl"), "pt-table-sync": ("toolkit", "perl"), "pt-table-checksum": ("toolkit", "perl"),
    "mydumper": ("dump", "mydumper"), "myloader": ("dump", "myloader"),
}  # fmt: skip


def tool(name: str) -> Tool:
    """A client or load tool. Raises LabError for an unknown name."""
    if name not in _HOME:
        raise LabError(f"the lab has no {name}; it has {', '.join(sorted(_HOME))}")
    where, program = _HOME[name]
    root = rootfs(where) / "rootfs"
    argv = run_in(root, program)
    env: dict[str, str] = {}
    if name == "php":
        extensions = next((root / "usr/lib/php").glob("2*"))
        for module in ("mysqlnd", "mysqli"):
            argv += ["-d", f"extension={extensions}/{module}.so"]
    elif name.startswith("pt-"):
        argv.append(str(root / "usr/bin" / name))
        perl = [p for top in ("share/perl5", "share/perl", "lib/*/perl5", "lib/*/perl", "lib/*/perl-base")
                for p in root.glob(f"usr/{top}")]  # fmt: skip
        deeper = [d for p in perl for d in p.iterdir() if d.is_dir() and d.name[0].isdigit()]
        env = {"PERL5LIB": ":".join(map(str, [*deeper, *perl]))} | _client_plugins(root)
    elif name == "python-mysqldb":
        env = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
        env |= _client_plugins(root)
    elif name == "mysql":
        argv += ["--no-defaults", f"--character-sets-dir={root}/usr/share/mysql/charsets"]
    elif name in ("mariadb", "mariadb-dump"):
        argv += ["--no-defaults", f"--plugin-dir={next(root.glob('usr/lib/*/libmariadb3/plugin'), '')}"]
    elif name in ("mydumper", "myloader"):
        env = _client_plugins(root)
    elif name == "sysbench":
        share = root / "usr/share/sysbench"
        env = {"LUA_PATH": f"{share}/?.lua;;"} | _client_plugins(root)
    return Tool(argv, env)


def _client_plugins(root: Path) -> dict[str, str]:
    """Where MariaDB's client library finds caching_sha2_password."""
    folder = next(root.glob("usr/lib/*/libmariadb3/plugin"), None)
    return {"MARIADB_PLUGIN_DIR": str(folder)} if folder else {}


def sysbench_script(name: str) -> str:
    """The full path of one of sysbench's own scripts, for example 'oltp_write_only'."""
    return str(rootfs("tools") / "rootfs/usr/share/sysbench" / f"{name}.lua")
