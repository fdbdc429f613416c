"""DDL in the stream: what a statement does, whether the target has it already, running it there exactly once.

- `text`       tokens
- `statement`  what a statement names and does (pure; unsure is a kind of its own)
- `session`    the settings under which it ran on the source (pure)
- `target`     the target's answer: does it have it already; running it with a journal
- `gate`       waits, runs or passes, as `on_ddl` says

Enters: a QUERY event and the mapping. Leaves: permission to go on behind it. It must not know rows or batches.
"""
