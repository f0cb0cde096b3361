"""The command `lightrag-server` as an operator meets it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

from .server_process import clean_environment, command, running_server


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=clean_environment(**environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_one_line_tells_where_it_serves_and_with_what(tmp_path: Path) -> None:
    with running_server(tmp_path, ["--working-dir", "data"]) as (url, _):
        assert httpx.get(f"{url}/health", timeout=60).json()["status"] == "healthy"
        page = httpx.get(url, follow_redirects=True, timeout=60)
        assert page.status_code == 200
        assert "swagger-ui" in page.text
    assert (tmp_path / "data").is_dir()


def test_a_termination_signal_ends_it_cleanly(tmp_path: Path) -> None:
    with running_server(tmp_path) as (url, process):
        httpx.post(f"{url}/documents/text", json={"text": "Ada wrote the first program."}, timeout=60)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_what_was_accepted_survives_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path, LIGHTRAG_LEASE_SECONDS="1") as (url, process):
        answer = httpx.post(f"{url}/documents/text", json={"text": "Ada wrote the first program."}, timeout=60).json()
        process.kill()
        process.wait(30)
    doc_id = answer["documents"][0]["doc_id"]
    with running_server(tmp_path, LIGHTRAG_LEASE_SECONDS="1") as (url, _):
        deadline = time.monotonic() + 60
        status = ""
        while status != "processed" and time.monotonic() < deadline:
            status = httpx.get(f"{url}/documents/{doc_id}", timeout=60).json()["status"]
            time.sleep(0.1)
    assert status == "processed"


def test_wrong_settings_are_told_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "--port", "x", TOP_K="many")
    assert done.returncode == 2
    assert done.stderr.startswith("lightrag-server cannot start:\n--port is 'x' (command line)")
    assert "TOP_K is 'many' (environment)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "--host", "127.0.0.1", "--port", port)
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_that_cannot_start_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "--host", "127.0.0.1", "--port", "0", LIGHTRAG_KV_STORAGE="NoSuchStorage")
    assert done.returncode == 1
    assert "lightrag-server cannot start:" in done.stderr
    assert "NoSuchStorage" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_printed_without_starting(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "usage: lightrag-server" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_log_lines_carry_the_request_id_and_no_secret(tmp_path: Path) -> None:
    with running_server(tmp_path, LIGHTRAG_API_KEY="hidden-key", LOG_DIR="logs") as (url, _):
        headers = {"X-API-Key": "hidden-key", "X-Request-ID": "my-request-1"}
        answer = httpx.get(f"{url}/documents/doc-hidden-key", headers=headers, timeout=60)
        polled = httpx.get(f"{url}/documents/pipeline_status", headers=headers, timeout=60)
    logged = (tmp_path / "logs" / "lightrag.log").read_text() + (tmp_path / "server.log").read_text()
    assert (answer.status_code, polled.status_code) == (404, 200)
    assert answer.headers["x-request-id"] == "my-request-1"
    assert logged.count("my-request-1") == 2
    assert "/documents/doc-********" in logged
    assert "/documents/pipeline_status" not in logged
    assert "hidden-key" not in logged


def test_it_serves_https(tmp_path: Path) -> None:
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    arguments = ["--ssl", "--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem"]
    with running_server(tmp_path, arguments) as (url, _):
        assert url.startswith("https://")
        assert httpx.get(f"{url}/livez", verify=False, timeout=60).json() == {"status": "ok"}


def test_the_configuration_file_in_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIGHTRAG_API_KEY=from-file\nTOP_K=7\n")
    with running_server(tmp_path) as (url, _):
        assert httpx.get(f"{url}/documents", timeout=60).status_code == 403
        health = httpx.get(f"{url}/health", headers={"X-API-Key": "from-file"}, timeout=60)
    assert json.loads(health.text)["auth_mode"] == "enabled"
