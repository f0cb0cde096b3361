"""A file can take down its own reader, never the server or another document."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lightrag.documents.formats import FORMATS, Format
from lightrag.documents.limits import ParseLimits
from lightrag.documents.service import DocumentParser
from lightrag.errors import TooLarge, UnreadableDocument, UnsupportedFormat

REPOSITORY = Path(__file__).parents[2]
HERE = "tests.documents.hostile_parsers"
HOSTILE = {f".{name}": Format(name, f"{HERE}:{name}") for name in (
    "crash", "hang", "grow", "write_file", "print_noise", "tell_environment", "tell_process", "forge_answer"
)}  # fmt: skip


def parser_of(limits: ParseLimits | None = None, **options: float) -> DocumentParser:
    return DocumentParser(limits, workers=1, formats={**FORMATS, **HOSTILE}, **options)  # type: ignore[arg-type]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample"
    path.write_text("content")
    return path


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(process: int) -> None:
    async with asyncio.timeout(60):
        while is_running(process):
            await asyncio.sleep(0.01)


async def test_a_crash_fails_one_document_and_the_next_is_read(sample: Path) -> None:
    async with parser_of() as parser:
        with pytest.raises(UnreadableDocument, match="SIGSEGV"):
            await parser.parse(sample, "a.crash")
        assert (await parser.parse(sample, "a.html")).text == "content"


async def test_a_hanging_reader_is_killed(sample: Path) -> None:
    async with parser_of(ParseLimits(timeout_seconds=0.5)) as parser:
        with pytest.raises(UnreadableDocument, match=r"within 0\.5 seconds"):
            await parser.parse(sample, "a.hang")


async def test_a_growing_reader_is_stopped(sample: Path) -> None:
    async with parser_of(ParseLimits(max_memory_bytes=256 * 1024 * 1024)) as parser:
        with pytest.raises(TooLarge, match="more than 256 MiB of memory"):
            await parser.parse(sample, "a.grow")


async def test_a_reader_cannot_write_files(sample: Path) -> None:
    async with parser_of() as parser:
        with pytest.raises(UnreadableDocument):
            await parser.parse(sample, "a.write_file")
    copy = sample.with_name("sample.copy")
    assert not copy.exists() or copy.stat().st_size == 0


async def test_what_a_library_prints_is_not_text(sample: Path) -> None:
    async with parser_of() as parser:
        assert (await parser.parse(sample, "a.print_noise")).text == "text"


async def test_a_reader_knows_no_secrets_of_the_server(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BINDING_API_KEY", "sk-secret")
    async with parser_of() as parser:
        assert "API_KEY" not in (await parser.parse(sample, "a.tell_environment")).text


async def test_a_parser_that_is_not_installed_is_named(sample: Path) -> None:
    for is_isolated in (True, False):
        formats = {".x": Format("X", "no_such_module:parse", is_isolated)}
        async with DocumentParser(formats=formats) as parser:
            with pytest.raises(UnsupportedFormat, match="no_such_module"):
                await parser.parse(sample, "a.x")


async def test_a_forged_answer_is_refused(sample: Path) -> None:
    async with parser_of(ParseLimits(timeout_seconds=20)) as parser:
        with pytest.raises(UnreadableDocument, match="Do not trust this file"):
            await parser.parse(sample, "a.forge_answer")


async def test_readers_are_kept_warm(sample: Path) -> None:
    async with parser_of() as parser:
        first = await parser.parse(sample, "a.tell_process")
        assert await parser.parse(sample, "a.tell_process") == first


async def test_readers_that_nobody_needs_are_ended(sample: Path) -> None:
    async with parser_of(idle_seconds=0.2) as parser:
        first = await parser.parse(sample, "a.tell_process")
        await until_gone(int(first.text))
        assert (await parser.parse(sample, "a.tell_process")) != first


async def test_a_reader_that_died_while_idle_is_replaced(sample: Path) -> None:
    async with parser_of() as parser:
        first = await parser.parse(sample, "a.tell_process")
        os.kill(int(first.text), signal.SIGKILL)
        assert (await parser.parse(sample, "a.html")).text == "content"


async def test_closing_ends_all_readers(sample: Path) -> None:
    async with parser_of() as parser:
        process = int((await parser.parse(sample, "a.tell_process")).text)
    assert not is_running(process)


async def test_a_killed_server_leaves_no_reader_behind(sample: Path) -> None:
    script = f"""
import asyncio, pathlib, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.documents.test_isolation import parser_of
async def main():
    async with parser_of() as parser:
        print((await parser.parse(pathlib.Path({str(sample)!r}), "a.tell_process")).text, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=pipe)
    assert server.stdout is not None
    reader = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    await until_gone(reader)


async def test_cancelling_ends_the_reader_at_once(sample: Path) -> None:
    async with parser_of() as parser:
        task = asyncio.create_task(parser.parse(sample, "a.hang"))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 30
        assert (await parser.parse(sample, "a.html")).text == "content"


async def test_many_documents_at_once_do_not_mix(tmp_path: Path) -> None:
    async with DocumentParser(workers=2) as parser:
        paths = [tmp_path / f"{number}.html" for number in range(20)]
        for path in paths:
            path.write_text(f"<p>document {path.stem}</p>")
        documents = await asyncio.gather(*(parser.parse(path, path.name) for path in paths))
    assert [document.text for document in documents] == [f"document {number}" for number in range(20)]
