"""An explicit-state model of a switchover: all interleavings of control, two servers, proxy and replicator."""
