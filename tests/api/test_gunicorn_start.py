"""How a server of several processes starts, and how it does not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

from ..system.server import environment, until
from .gunicorn_process import command, running


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment({"LLM_BINDING": "none"} | environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wrong_settings_are_told_before_any_worker_starts(tmp_path: Path) -> None:
    done = run(tmp_path, "--workers", "0", TOP_K="many")
    assert done.returncode == 2
    assert done.stderr.startswith("lightrag-gunicorn cannot start:\n--workers is '0' (command line)")
    assert "TOP_K is 'many' (environment)" in done.stderr
    assert "gunicorn.error" not in done.stderr


def test_an_engine_that_cannot_start_is_told_once_and_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "--workers", "2", LIGHTRAG_KV_STORAGE="NoSuchStorage")
    assert done.returncode == 1
    end = done.stderr[done.stderr.index("lightrag-gunicorn cannot start:") :]
    assert end.count("NoSuchStorage") == 1
    assert "Traceback" not in done.stderr


def test_files_that_only_one_process_may_open_are_not_offered_to_several(tmp_path: Path) -> None:
    (tmp_path / "rag_storage").mkdir()
    (tmp_path / "rag_storage" / "kv_store_doc_status.json").write_text("{}")
    done = run(tmp_path, "--workers", "2")
    assert done.returncode == 2
    assert "--workers 1" in done.stderr
    assert "lightrag migrate --from files --to sqlite" in done.stderr


def test_help_is_that_of_the_server_under_its_own_name(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: lightrag-gunicorn")
    assert "--workers" in done.stdout


async def test_one_worker_serves_https_and_is_replaced_at_a_hang_up_with_the_settings_of_then(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    ssl = ["--ssl", "--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem"]
    (tmp_path / ".env").write_text("WEBUI_TITLE=before\n")
    async with running(tmp_path, {"LLM_BINDING": "none"}, "--workers", "1", *ssl) as server:
        assert server.url.startswith("https://")
        (worker,) = await server.workers(1)
        assert (await worker.get("/health"))["webui_title"] == "before"
        (tmp_path / ".env").write_text("WEBUI_TITLE=after\n")
        server.process.send_signal(signal.SIGHUP)

        async def is_replaced() -> bool:
            (present,) = await server.workers(1)
            return present.pid != worker.pid

        await until(is_replaced)
        (worker,) = await server.workers(1)
        assert (await worker.get("/health"))["webui_title"] == "after"


async def test_workers_end_when_the_master_was_killed(tmp_path: Path) -> None:
    async with running(tmp_path, {"LLM_BINDING": "none"}, "--workers", "1") as server:
        server.process.kill()
        await server.process.wait()

        async def is_closed() -> bool:
            try:
                _, writer = await asyncio.open_connection(*server.address)
            except ConnectionRefusedError:
                return True
            writer.close()
            return False

        await until(is_closed)


def make_certificate(folder: Path) -> None:
    """Write cert.pem and key.pem."""
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"),
        ],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
