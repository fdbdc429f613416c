"""Fuzz targets: any bytes may come from a peer, and only the room's own error may come out."""
