"""A running service for tests: the real front process with workers that hold fake or real models."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

import httpx
import tiktoken

from llmservice.openai_tokens import TABLE

FAKE_WORKERS = """
import sys
from llmservice import main, server
from llmservice.workers import link
fake = (sys.executable, "-m", "llmservice.testing.fake_worker")
serve = server.serve
server.serve = lambda settings: serve(settings, fake)
main.main()
"""
WAIT = 60.0
"""Seconds after which something that should have happened is taken for never happening."""


def cl100k() -> tiktoken.Encoding:
    """Return OpenAI's encoding as tiktoken has it, out of the table in the package instead of the network."""
    table = gzip.decompress((resources.files("llmservice") / "data" / TABLE).read_bytes())
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, table.splitlines())}
    pattern = (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+"
    )
    return tiktoken.Encoding(
        "cl100k_base", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 100257}
    )


class Front:
    """A service process and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, url: str) -> None:
        self.process = process
        self.folder = folder
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=WAIT)

    def post(self, path: str, /, **body: object) -> httpx.Response:
        """Send a body as JSON."""
        return self.client.post(path, json=body)

    def chat(self, text: str, **more: object) -> httpx.Response:
        """Say something to the light tier."""
        messages = [{"role": "user", "content": text}]
        return self.post("/v1/chat/completions", **{"model": "light", "messages": messages, **more})

    def tier(self, name: str) -> dict[str, object]:
        """Return what the service says of a tier."""
        described: dict[str, object] = self.client.get(f"/v1/models/{name}").json()
        return described

    def wait_for(self, name: str, **wanted: object) -> None:
        """Wait until a tier's description holds these values."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            described = self.tier(name)
            if all(described[field] == value for field, value in wanted.items()):
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {described}, not {wanted}")

    @property
    def log(self) -> str:
        """What the service has written."""
        return (self.folder / "log").read_text()


def start(folder: Path, variables: Mapping[str, str], *, fake: bool = True) -> subprocess.Popen[bytes]:
    """Start the service in a folder."""
    command = [sys.executable, "-c", FAKE_WORKERS] if fake else [sys.executable, "-m", "llmservice"]
    environ = {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "0", **variables}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)


@contextlib.contextmanager
def running(folder: Path, variables: Mapping[str, str], *, fake: bool = True) -> Iterator[Front]:
    """Run the service in a folder until the block ends."""
    process = start(folder, variables, fake=fake)
    try:
        yield Front(process, folder, f"http://127.0.0.1:{_port(process, folder)}")
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(WAIT)
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], folder: Path) -> int:
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            port = int((folder / ".port").read_text())
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=WAIT).status_code == 200:
                return port
        time.sleep(0.02)
    raise AssertionError((folder / "log").read_text())
