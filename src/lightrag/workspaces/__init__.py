"""The pool of engines: one for each workspace that is in use."""
