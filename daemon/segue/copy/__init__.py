"""The first copy of the data, from a source in use to an empty target, until the stream alone keeps both equal.

Enters: the two servers, the mapping, the stream's position as the target's progress has it. Leaves: a target that
holds what the source held at a known position, and rows in `segue.seed*` there that say how far the copy is, so
that a copy killed at any moment goes on. It must not know clients, switchovers, or which side is blue.

Theory, in full in docs/seeding.md. The stream's start is written down before the first row is read, and everything
behind it is applied again in overlap mode, where an event says what a row is and not what changed. Three rules make
both ways of getting a row agree:

1. **Barrier.** A chunk is read only from a snapshot that shows everything the stream has applied.
2. **Gate.** Nothing is applied between a chunk's reading and its commit.
3. **Bare tables.** During the overlap a table has one unique key, no foreign keys and no triggers.

- `keys`, `lines`, `definition`  pure: the key a table is walked by, what is selected and loaded, a definition taken apart
- `text`, `_text.c`  pure: rows of a result as LOAD DATA's lines or as arrays of parameters
- `record`  what is kept on the target
- `lane`  a pair of connections;  `rows`  takes rows out of the source;  `load`  gives them to the target;  `whole`  tables
  that cannot be walked
- `gate`  whose turn it is;  `overlap`  the stream's events made idempotent
- `plan`, `objects`  what there is to do, and what is not rows
- `seeder`  runs it all inside the replicator;  `desk`  control's end of it
"""
