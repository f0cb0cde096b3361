"""The command `lightrag`: documents in, questions, checks, from a terminal."""
