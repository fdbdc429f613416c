"""One proxy worker: accepts clients on an inherited listening socket, forwards, holds, redirects.

Enters: client bytes, and control's orders over the channel. Leaves: the same bytes on the active server's side, and
counts. It must not know why it holds or who decides; it reads SQL only as far as `look` does and never keeps more than
one chunk per client.

- `hot`  the two protocols that take each chunk
- `pump`, `_pump.c`  the compiled path; `_walk.h` where a reply ends, `_rules.h` what a client may send unseen
- `look`, `state`  what a statement changes; what a session carries
- `door`  who may come in and for how long one is waited for; `limits` the numbers, and counts that workers share
- `base`, `commands`, `session`  one client: what it holds, its commands, its replies and safe points
- `login`  the relayed login, TLS on either hop; `credentials` what is learnt by it
- `adoption`  giving live sessions to another server: `spare` the session there, `asked` and `facts` what only the old
  server can say, `loading` the commands that make it so, `asking` running them, `echo` what our questions overwrote
- `compression`  the compressed protocol towards a client
- `tls`  TLS over a transport, by memory buffers; `certificate` the proxy's own
- `worker`  the process
"""
