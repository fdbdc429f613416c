"""Numbers of the protocol. Names are those of the manuals."""

from __future__ import annotations

from typing import Final


class ProtocolError(Exception):
    """The peer does not speak the protocol; its connection is of no use any more."""


CLIENT_MYSQL: Final = 1
CLIENT_CONNECT_WITH_DB: Final = 1 << 3
CLIENT_COMPRESS: Final = 1 << 5
CLIENT_PROTOCOL_41: Final = 1 << 9
CLIENT_SSL: Final = 1 << 11
CLIENT_MULTI_STATEMENTS: Final = 1 << 16
CLIENT_SECURE_CONNECTION: Final = 1 << 15
CLIENT_PLUGIN_AUTH: Final = 1 << 19
CLIENT_CONNECT_ATTRS: Final = 1 << 20
CLIENT_PLUGIN_AUTH_LENENC: Final = 1 << 21
CLIENT_SESSION_TRACK: Final = 1 << 23
CLIENT_DEPRECATE_EOF: Final = 1 << 24
CLIENT_QUERY_ATTRIBUTES: Final = 1 << 27
CLIENT_ZSTD_COMPRESSION: Final = 1 << 26

# MariaDB's, in the four bytes that MySQL leaves reserved. What changes the shape of replies is not offered.
MARIADB_PROGRESS: Final = 1 << 0
MARIADB_CACHE_METADATA: Final = 1 << 4
MARIADB_BULK_UNIT_RESULTS: Final = 1 << 5
MARIADB_NOT_RELAYED: Final = MARIADB_PROGRESS | MARIADB_CACHE_METADATA | MARIADB_BULK_UNIT_RESULTS
NOT_RELAYED: Final = CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION | CLIENT_QUERY_ATTRIBUTES
"""Query attributes stand before the text of each statement; the side to move to may not know them."""

IN_TRANS: Final = 0x0001
AUTOCOMMIT: Final = 0x0002
MORE_RESULTS: Final = 0x0008
CURSOR_EXISTS: Final = 0x0040
LAST_ROW_SENT: Final = 0x0080
PS_OUT_PARAMS: Final = 0x1000
IN_TRANS_READONLY: Final = 0x2000
STATE_CHANGED: Final = 0x4000
ANY_TRANSACTION: Final = IN_TRANS | IN_TRANS_READONLY

COM_QUIT: Final = 0x01
COM_INIT_DB: Final = 0x02
COM_QUERY: Final = 0x03
COM_FIELD_LIST: Final = 0x04
COM_STATISTICS: Final = 0x09
COM_PROCESS_INFO: Final = 0x0A
COM_PROCESS_KILL: Final = 0x0C
COM_PING: Final = 0x0E
COM_CHANGE_USER: Final = 0x11
COM_BINLOG_DUMP: Final = 0x12
COM_STMT_PREPARE: Final = 0x16
COM_STMT_EXECUTE: Final = 0x17
COM_STMT_SEND_LONG_DATA: Final = 0x18
COM_STMT_CLOSE: Final = 0x19
COM_STMT_RESET: Final = 0x1A
COM_SET_OPTION: Final = 0x1B
COM_STMT_FETCH: Final = 0x1C
COM_BINLOG_DUMP_GTID: Final = 0x1E
COM_RESET_CONNECTION: Final = 0x1F
COM_STMT_BULK_EXECUTE: Final = 0xFA

MAX_PAYLOAD: Final = 0xFFFFFF
PING_PACKET: Final = b"\x01\x00\x00\x00\x0e"
