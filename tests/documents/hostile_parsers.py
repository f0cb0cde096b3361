"""Parsers that behave as badly as a native library can."""

from __future__ import annotations

import os
import signal
import sys
import time

from lightrag.documents.builder import TextBuilder
from lightrag.documents.formats import Source


def crash(source: Source, out: TextBuilder) -> None:
    out.add("partial")
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(source: Source, out: TextBuilder) -> None:
    time.sleep(600)


def grow(source: Source, out: TextBuilder) -> None:
    held = []
    while True:
        held.append(bytearray(32 * 1024 * 1024))


def write_file(source: Source, out: TextBuilder) -> None:
    with open(f"{source.path}.copy", "wb") as stream:
        stream.write(b"x" * 100)


def print_noise(source: Source, out: TextBuilder) -> None:
    sys.stdout.write("noise on standard output")
    sys.stdout.flush()
    sys.stdin.read()
    out.add("text")


def tell_environment(source: Source, out: TextBuilder) -> None:
    out.add(" ".join(sorted(os.environ)))


def tell_process(source: Source, out: TextBuilder) -> None:
    out.add(str(os.getpid()))


def forge_answer(source: Source, out: TextBuilder) -> None:
    for descriptor in range(3, 12):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(600)
