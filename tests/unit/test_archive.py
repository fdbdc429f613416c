"""Which archive a machine has and what packages are called there."""

from __future__ import annotations

import pytest

from lab.archive import choose, resolve

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_CODENAME=bookworm\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n'
DEB822 = "Types: deb\nURIs: http://m.invalid/{0}/\nSuites: s s-updates\nComponents: main universe\n"
ONE_LINE = "# deb http://old.invalid/{0} s main\ndeb [arch=amd64] http://m.invalid/{0} s main restricted\n"


@pytest.mark.parametrize("form", [DEB822, ONE_LINE])
def test_debian_uses_the_suite_of_the_set(form: str) -> None:
    archive = choose(DEBIAN, ["", form.format("debian")])
    assert archive is not None
    assert archive.sources("sid") == (
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.invalid/debian sid main\n"
    )


@pytest.mark.parametrize("form", [DEB822, ONE_LINE])
@pytest.mark.parametrize("name", ["ubuntu", "ubuntu-ports"])
def test_ubuntu_uses_its_own_release(form: str, name: str) -> None:
    archive = choose(UBUNTU, [form.format(name)])
    assert archive is not None
    where = f"deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://m.invalid/{name}"
    assert archive.sources("sid") == f"{where} noble main universe\n{where} noble-updates main universe\n"


def test_a_derivative_is_what_it_is_made_of() -> None:
    archive = choose("ID=linuxmint\nVERSION_CODENAME=xia\nUBUNTU_CODENAME=noble\n", [ONE_LINE.format("ubuntu")])
    assert archive is not None
    assert archive.release == "noble"


def test_no_fitting_mirror() -> None:
    assert choose(DEBIAN, [ONE_LINE.format("debian-security"), ONE_LINE.format("ubuntu")]) is None
    assert choose(UBUNTU, [ONE_LINE.format("debian")]) is None


@pytest.mark.parametrize(
    ("wanted", "known", "name"),
    [
        ("haproxy", {"haproxy", "haproxy-2.8"}, "haproxy"),
        ("mysql-server-core", {"mysql-server-core-8.0", "mysql-server-core-8.4", "mysql-server"}, "mysql-server-core-8.4"),
        ("mysql-server-core", {"mysql-server-core-9.7", "mysql-server-core-10.1"}, "mysql-server-core-10.1"),
        ("php8.2-cli", {"php8.3-cli", "php8.3-cli-dbg", "php-cli"}, "php8.3-cli"),
        ("golang-1.19-go", {"golang-1.22-go", "golang-1.9-go"}, "golang-1.22-go"),
        ("mysql-router", {"mysql-server"}, None),
    ],
)
def test_names(wanted: str, known: set[str], name: str | None) -> None:
    assert resolve(wanted, known) == name
