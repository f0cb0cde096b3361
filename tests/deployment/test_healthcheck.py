"""What a container asks to know whether its server is well."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightrag.api.healthcheck import ask
from lightrag.settings import Settings, load_settings


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/rag/livez" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def port() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def settings(folder: Path, **environ: str) -> Settings:
    return load_settings(None, environ, folder)


def test_a_server_that_answers_is_well(port: str, tmp_path: Path) -> None:
    assert ask(settings(tmp_path, PORT=port, LIGHTRAG_API_PREFIX="/rag")) == ""


def test_a_server_that_answers_with_an_error_is_not(port: str, tmp_path: Path) -> None:
    assert ask(settings(tmp_path, PORT=port)) == f"127.0.0.1 port {port} answers with status 503"


def test_a_server_that_does_not_answer_is_not(tmp_path: Path) -> None:
    assert "port 1 does not answer" in ask(settings(tmp_path, PORT="1"))
