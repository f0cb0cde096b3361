"""The command line as users have it: real processes for servers, the real engine in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lightrag.cli.main import app
from lightrag.testing.model_server import ModelServer
from lightrag.text.tokens import Tokenizer, load_tokenizer
from tests.api.server_process import running_server

Run = Callable[..., Result]
NO_MODELS = {"LLM_BINDING": "none", "EMBEDDING_BINDING": "embedded"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; nothing of the caller's environment reaches the settings."""
    from lightrag.settings import load_settings

    for line in load_settings(None, {}, tmp_path).describe():
        for name in line.variables:
            monkeypatch.delenv(name, raising=False)
    for name, value in NO_MODELS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def indexed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the notes have been indexed, by a process of its own."""
    home = tmp_path_factory.mktemp("indexed")
    _write_notes(home)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **NO_MODELS}
    subprocess.run(
        [sys.executable, "-m", "lightrag.cli.main", "ingest", "notes"], cwd=home, env=environment, check=True
    )
    return home


@pytest.fixture
def indexed(folder: Path, indexed_once: Path) -> None:
    """A current folder in which the notes are indexed."""
    shutil.copytree(indexed_once, folder, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer()


@pytest.fixture
def run(folder: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the current folder, in this process."""
    # Its table takes longer to read than most commands take.
    monkeypatch.setattr("lightrag.assembly.load_tokenizer", lambda: tokenizer)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run


@pytest.fixture
def notes(folder: Path) -> Path:
    """A folder with two documents that can be read and a picture."""
    return _write_notes(folder)


def _write_notes(folder: Path) -> Path:
    notes = folder / "notes"
    (notes / "2024").mkdir(parents=True)
    (notes / "ada.md").write_text("# Ada\n\nAda Lovelace wrote notes on the Analytical Engine of Charles Babbage.\n")
    (notes / "2024" / "cordouan.txt").write_text("The first Fresnel lens was lit at Cordouan in 1823.\n")
    (notes / "picture.png").write_bytes(b"\x89PNG")
    return notes


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs as a process of its own, without models and with the key `secret`."""
    home = tmp_path_factory.mktemp("server")
    with running_server(home, **{**NO_MODELS, "HOME": str(home), "LIGHTRAG_API_KEY": "secret"}) as (url, _):
        yield url


@pytest.fixture
def model_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A chat model's server that commands in this process are configured with."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ModelServer()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    given = {"LLM_BINDING": "openai", "LLM_BINDING_HOST": server.openai_url, "LLM_MODEL": "stand-in"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
