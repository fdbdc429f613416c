"""The proof that both sides hold the same rows, while both are written to and without locks.

Enters: two servers, the mapping between them, and a way to wait until the target has applied a position. Leaves: which
tables were compared, and each row that differs with both versions. It must not know roles, clients or the
switchover's order, and it reads values only to show or to repair them: comparing is done by the servers.

- `expressions`  one column as SQL on both sides, such that equal text means equal stored values
- `plan`  one table as SQL on both sides: the row's hash, the key, ranges of the key (pure)
- `reader`  these questions asked on one connection
- `compare`  chunks, differing chunks narrowed to rows, rows looked at again until they settle
- `findings`  what was found, as documents
- `repair`  rows copied from source to target beside the running stream
- `session`  one run of all this over all tables; `process` is the child of control that it runs in
"""
