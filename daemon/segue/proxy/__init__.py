"""One proxy worker: accepts clients on an inherited listening socket, forwards, holds, redirects.

Enters: client bytes, and control's orders over the channel. Leaves: the same bytes on the active server's side, and
counts. It must not know why it holds or who decides; it never parses SQL and never keeps more than one chunk per
client.

- `hot`  the two protocols that take each chunk
- `session`  one client and its server connection, forwarding and safe points
- `door`  who may come in and for how long one is waited for; `limits` the numbers, and counts that workers share
- `login`  the relayed login, TLS on either hop
- `tls`  TLS over a transport, by memory buffers
- `relocation`  what happens to held sessions when the active side is another (the seam for moving them live)
- `worker`  the process
"""
