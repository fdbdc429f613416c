"""Applications in many languages, each with its own driver, kept working through switchovers.

`programs` holds one small application per driver, all with one contract:

- arguments: port, password, the number it writes as `client`, and a file; it ends when that file exists;
- on each connection it sets state of its own: `@mark` to its number, `time_zone` to '+03:00';
- one round is a transaction: an update, an insert of (client, seq) by a prepared statement where the driver has them,
  and a look at its own state;
- it prints `ok SEQ` after a commit, `error CODE TEXT` when the driver raised, then connects again and goes on with
  the next number; `lost TEXT` when its state is not what it set; `bye` at the end.

`harness` starts them, `test_matrix` counts what they say against what the servers hold.
"""
