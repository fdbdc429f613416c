"""The MySQL client/server protocol without I/O: framing, login, commands, the boundaries of replies.

Enters: bytes in chunks cut anywhere. Leaves: packets, masked greetings, the knowledge whether a reply is complete
and what the server's status flags say. It must not know sockets, asyncio, the rest of Segue, or what a switchover
is. A peer that breaks the protocol raises ProtocolError and nothing else.

Source of formats: MySQL Source Code Documentation, "Client/Server Protocol"; MariaDB Knowledge Base, same title.
"""
