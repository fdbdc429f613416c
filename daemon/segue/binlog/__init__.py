"""Binlog events as bytes, without I/O: headers, transactions' marks, table maps, row events, positions.

Enters: event bytes of a dump stream. Leaves: what an event is, which table and which rows bytes it carries, and
event bytes for a target server. Values are decoded only where somebody asks for them (values.py, decoder.py,
partial.py): for rows that pass as they are nobody does. It must not know sockets, servers, or the rest of Segue. An
event that is not understood raises BinlogError; nothing is guessed.

Source of formats: MySQL Source Code Documentation, "Binary Log Events"; MariaDB Knowledge Base, "Replication
Protocol".
"""
