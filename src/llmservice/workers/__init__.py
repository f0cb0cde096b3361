"""One process per loaded model: the wire between front and worker, and both of its ends."""
