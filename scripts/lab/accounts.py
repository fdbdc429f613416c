"""The accounts of a Segue deployment: `segue` with what it needs and no more, `app` for the application."""

from __future__ import annotations

from lab.server import Server

_BOTH = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE,"
    " TRIGGER, EVENT, RELOAD, PROCESS, REPLICATION SLAVE"
)
_SEED = "LOCK TABLES, SHOW VIEW, EXECUTE, CREATE USER"
"""What `segue seed` needs besides."""
SEGUE = {
    "mysql": f"{_BOTH}, REPLICATION CLIENT, CONNECTION_ADMIN, SYSTEM_VARIABLES_ADMIN, REPLICATION_APPLIER,"
    f" BACKUP_ADMIN, CLONE_ADMIN, SESSION_VARIABLES_ADMIN, XA_RECOVER_ADMIN, SET_ANY_DEFINER, {_SEED}, ALLOW_NONEXISTENT_DEFINER, SHOW_ROUTINE",
    "mariadb": f"{_BOTH}, BINLOG MONITOR, SLAVE MONITOR, READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG REPLAY, BINLOG ADMIN, SET USER,"
    f" {_SEED}, REPLICATION SLAVE ADMIN",
}
APP = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE,"
    " CREATE ROUTINE, ALTER ROUTINE, REFERENCES"
)


def create_accounts(
    server: Server, *, segue_password: str, app_password: str, schemas: tuple[str, ...] = ("shop",), plugin: str = ""
) -> None:
    """Make both accounts on one server, outside its binlog, so that each side has its own."""
    how = f"IDENTIFIED WITH {plugin} BY" if plugin else "IDENTIFIED BY"
    with server.connect() as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("CREATE USER IF NOT EXISTS segue@'%%' IDENTIFIED BY %s", (segue_password,))
        cursor.execute(f"CREATE USER IF NOT EXISTS app@'%%' {how} %s", (app_password,))
        cursor.execute(f"GRANT {SEGUE[server.flavour]} ON *.* TO segue@'%' WITH GRANT OPTION")
        for schema in schemas:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{schema}`")
            cursor.execute(f"GRANT {APP} ON `{schema}`.* TO app@'%'")
