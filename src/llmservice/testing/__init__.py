"""Tiny real models for tests and benchmarks, made on the spot; needs the extra `convert`."""
