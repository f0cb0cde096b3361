"""Documents in, a graph out: chunking, extraction, folding, scheduling, deletion, verification."""
