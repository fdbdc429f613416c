"""What an operator touches: the Unix socket, the command line, HTTP for reading, signals, systemd's notifications.

Enters: commands. Leaves: one JSON document each, progress lines before it, an exit code.
It must not decide anything: it asks control.

Wire form on the socket: one JSON object per line. A request is `{"command": name, "args": {...}}`; the answer is
any number of `{"progress": {...}}` lines and one last `{"ok": true, "value": {...}}` or
`{"ok": false, "error": text, "mend": text}`.
"""
