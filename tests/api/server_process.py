"""The real server in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ANNOUNCED = re.compile(r"LightRAG serves at (https?://\S+)")


def clean_environment(**extra: str) -> dict[str, str]:
    """Return an environment without settings of the machine that runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"LLM_BINDING": "none", "PYTHONUNBUFFERED": "1"} | extra


def command(*arguments: str) -> list[str]:
    """Return the command line of the server."""
    return [sys.executable, "-m", "lightrag.api.lightrag_server", *arguments]


@contextmanager
def running_server(
    folder: Path, arguments: Sequence[str] = (), **environ: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the server on a free port until the block ends; yields its URL as it announced it."""
    log = (folder / "server.log").open("w+")
    process = subprocess.Popen(
        command("--host", "127.0.0.1", "--port", "0", *arguments),
        cwd=folder,
        env=clean_environment(**environ),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        announced = ANNOUNCED.search(line)
        assert announced is not None, f"{line}\n{(folder / 'server.log').read_text()}"
        yield announced.group(1), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        log.close()
