"""TLS towards a server with its certificate verified: right ones are taken, wrong ones let nobody in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pymysql
import pytest
import trustme
from tests.integration.proxyrig import ProxyRig

from lab import Lab

pytestmark = pytest.mark.servers


async def through(tmp_path: Path, server: Any, mode: str, ca: Path, host: str = "127.0.0.1") -> str:
    """The cipher of the server's hop for a client that comes in plain; the error's text when it is not let in."""
    rig = ProxyRig(tmp_path)
    rig.side = lambda one, name, _tls, _tracked: {  # type: ignore[method-assign, misc]
        "name": name, "host": host, "port": one.port, "user": "x", "tls": mode, "tls_ca": str(ca),
    }  # fmt: skip
    await rig.start(server)
    try:
        return await asyncio.to_thread(_cipher, rig.port)
    finally:
        await rig.stop()


def _cipher(port: int) -> str:
    try:
        with pymysql.connect(host="127.0.0.1", port=port, user="root", ssl_disabled=True, read_timeout=15) as conn:
            with conn.cursor() as cursor:
                cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
                return str(cursor.fetchone()[1])
    except pymysql.err.MySQLError as error:
        return f"error: {error}"


async def test_certificates_are_verified(lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    for name, ca in (("ours", ours), ("theirs", theirs)):
        ca.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    certificate = ours.issue_cert("127.0.0.1", "db.example")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    chain = tmp_path / "cert.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    server = await asyncio.to_thread(
        lab.start, "mariadb", "verified", buffer_pool="64M",
        options={"ssl_ca": str(tmp_path / "ours.pem"), "ssl_cert": str(chain), "ssl_key": str(tmp_path / "key.pem")},
    )  # fmt: skip
    try:
        good, bad = tmp_path / "ours.pem", tmp_path / "theirs.pem"
        for mode in ("verify-ca", "verify-identity"):
            assert (await through(tmp_path, server, mode, good)).startswith("TLS_"), mode
            assert (await through(tmp_path, server, mode, bad)).startswith("error"), mode
            assert "CERTIFICATE_VERIFY_FAILED" in capfd.readouterr().err
        # Another name of the same machine, which the certificate does not have.
        assert (await through(tmp_path, server, "verify-ca", good, "localhost")).startswith("TLS_")
        assert (await through(tmp_path, server, "verify-identity", good, "localhost")).startswith("error")
        assert "Hostname mismatch" in capfd.readouterr().err
    finally:
        await asyncio.to_thread(server.destroy)
