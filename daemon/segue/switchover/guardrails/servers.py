"""Guardrails about the two servers themselves: settings, identity, privileges."""

from __future__ import annotations

from segue.switchover.guardrails.base import Context, Finding, Guardrail
from segue.switchover.server import Server


async def different_servers(context: Context) -> list[Finding]:
    """Two names for one server, or a clone with the old uuid, would feed a server its own changes."""
    await context.source.connection()
    await context.target.connection()
    one, two = context.source.identity, context.target.identity
    assert one is not None
    assert two is not None
    if one.uuid is not None and one.uuid == two.uuid:
        same_place = (one.hostname, one.port) == (two.hostname, two.port)
        what = "are the same server" if same_place else "have the same server_uuid"
        mend = "Give green its own server" if same_place else (
            f"On {context.target.side.where}: stop it, delete auto.cnf in its data directory, start it"
        )
        return [Finding("different_servers", "blocks", f"blue and green {what} ({one.uuid})", mend)]
    if (one.hostname, one.port, one.server_id) == (two.hostname, two.port, two.server_id):
        return [Finding("different_servers", "blocks", "blue and green are the same server"
                        f" ({one.hostname}:{one.port})", "Give green its own server")]  # fmt: skip
    if one.server_id == two.server_id:
        return [
            Finding(
                "different_servers", "blocks", f"blue and green have the same server_id, {one.server_id}",
                f"On {context.target.side.where}: SET GLOBAL server_id = {one.server_id % 4294967294 + 1};"
                " and in its configuration file",
            )
        ]  # fmt: skip
    return []


_WANTED = (
    ("log_bin", ("ON", "1"), "start the server with --log-bin"),
    ("binlog_format", ("ROW",), "SET GLOBAL binlog_format = ROW; (and let sessions reconnect)"),
    ("binlog_row_image", ("FULL",), "SET GLOBAL binlog_row_image = FULL; (and let sessions reconnect)"),
    ("binlog_row_metadata", ("FULL",), "SET GLOBAL binlog_row_metadata = FULL;"),
)


async def binlog_settings(context: Context) -> list[Finding]:
    """Both sides, since the target becomes the source of the way back."""
    findings = []
    for server in (context.source, context.target):
        flavour, conn = await server.get()
        have = await flavour.variables(conn, *(name for name, _, _ in _WANTED), "binlog_row_value_options")
        for name, wanted, mend in _WANTED:
            # MySQL removes variables whose only value is the right one (binlog_format one day).
            if name in have and have[name].upper() not in wanted:
                sentence = f"{name} is {have[name]} on {server.side.where}, {wanted[0]} is needed"
                findings.append(Finding(name, "blocks", sentence, f"On {server.side.where}: {mend}"))
        if "PARTIAL_JSON" in have.get("binlog_row_value_options", "").upper():
            findings.append(Finding("binlog_row_value_options", "blocks", "binlog_row_value_options is PARTIAL_JSON"
                            f" on {server.side.where}", "SET GLOBAL binlog_row_value_options = '';"))  # fmt: skip
    return findings


async def privileges(context: Context) -> list[Finding]:
    findings = []
    for server in (context.source, context.target):
        flavour, conn = await server.get()
        missing = await flavour.missing_privileges(conn)
        if missing:
            account = str(await conn.value("SELECT CURRENT_USER()"))
            user, _, host = account.rpartition("@")
            what = ", ".join(f"{p.name} ({p.why})" for p in missing)
            grant = flavour.grant_for([p.name for p in missing], f"'{user}'@'{host}'")
            findings.append(
                Finding("privileges", "blocks", f"account {account} on {server.side.where} lacks {what}",
                        f"On {server.side.where}: {grant};")
            )  # fmt: skip
    return findings


async def bypassing_accounts(context: Context) -> list[Finding]:
    """An application that may write despite read_only would write past the fence."""
    findings = []
    for server in (context.source, context.target):
        flavour, conn = await server.get()
        accounts = await flavour.bypassing_accounts(conn, server.side.endpoint.user)
        if accounts:
            findings.append(
                Finding("bypassing_accounts", "warns", f"{', '.join(accounts)} on {server.side.where} may write"
                        " while read_only is on", "REVOKE SUPER, CONNECTION_ADMIN or READ_ONLY ADMIN from them")
            )  # fmt: skip
    return findings


_COMPARED = {
    "lower_case_table_names": "blocks",
    "character_set_server": "warns",
    "collation_server": "warns",
    "sql_mode": "warns",
    "time_zone": "warns",
    "auto_increment_increment": "blocks",
    "auto_increment_offset": "blocks",
    "explicit_defaults_for_timestamp": "warns",
}


async def same_settings(context: Context) -> list[Finding]:
    """Global settings that a session which never set them would see change."""
    values = []
    for server in (context.source, context.target):
        flavour, conn = await server.get()
        values.append(await flavour.variables(conn, *_COMPARED, "max_connections", "max_allowed_packet"))
    source, target = values
    findings = []
    for name, severity in _COMPARED.items():
        if name in source and name in target and source[name] != target[name]:
            sentence = f"{name} is '{source[name]}' on the active side and '{target[name]}' on the standby"
            mend = f"On {context.target.side.where}: SET GLOBAL {name} = '{source[name]}';"
            findings.append(Finding(name, "blocks" if severity == "blocks" else "warns", sentence, mend))
    findings += [
        Finding(name, "warns", f"{name} is {target[name]} on the standby, {source[name]} on the active side",
                f"On {context.target.side.where}: SET GLOBAL {name} = {source[name]};")
        for name in ("max_connections", "max_allowed_packet")
        if name in source and name in target and int(target[name]) < int(source[name])
    ]  # fmt: skip
    return findings


async def durability(context: Context) -> list[Finding]:
    """A source that forgets commits in a crash would leave the standby with rows that it no longer has."""
    findings = []
    for server in (context.source, context.target):
        flavour, conn = await server.get()
        have = await flavour.variables(conn, "sync_binlog", "innodb_flush_log_at_trx_commit")
        findings += [
            Finding("durability", "warns", f"{name} is {value} on {server.side.where}: a crash of it may forget commits"
                    " that were replicated", f"On {server.side.where}: SET GLOBAL {name} = 1;")
            for name, value in have.items() if value != "1"
        ]  # fmt: skip
    return findings


async def target_read_only(context: Context) -> list[Finding]:
    if await context.target.held_by():
        return []
    return [
        Finding("target_read_only", "warns" if context.replication is None else "blocks",
                f"the standby {context.target.side.where} accepts writes",
                "segue run sets it; or SET GLOBAL read_only = ON; there")
    ]  # fmt: skip


async def source_writable(context: Context) -> list[Finding]:
    held = await context.source.held_by()
    if not held:
        return []
    return [_held_source(context.source, held)]


def _held_source(server: Server, held: list[str]) -> Finding:
    where = server.side.where
    return Finding(
        "source_writable", "blocks", f"the active side {where} refuses writes: {', '.join(held)} is on",
        f"If nobody means it: SET GLOBAL read_only = OFF; on {where}",
    )  # fmt: skip


ALL = (
    Guardrail("different_servers", different_servers),
    Guardrail("binlog_settings", binlog_settings),
    Guardrail("privileges", privileges),
    Guardrail("bypassing_accounts", bypassing_accounts),
    Guardrail("same_settings", same_settings),
    Guardrail("durability", durability),
    Guardrail("target_read_only", target_read_only),
    Guardrail("source_writable", source_writable),
)
