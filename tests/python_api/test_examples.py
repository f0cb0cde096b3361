"""The examples run as they are."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from lightrag.testing.model_server import ModelServer

EXAMPLES = Path(__file__).parents[2] / "examples"


async def run(folder: Path, name: str, *arguments: str, **variables: str) -> str:
    environment = {**os.environ, "WORKING_DIR": str(folder / Path(name).stem), **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    async with ModelServer(dimension=64) as server:
        compatible = await run(
            tmp_path,
            "openai_compatible.py",
            LLM_BINDING_HOST=server.openai_url,
            EMBEDDING_DIM="64",
            COSINE_THRESHOLD="-1",
        )
        drawn, custom, rerank = await asyncio.gather(
            run(tmp_path, "graph_to_html.py", str(tmp_path / "openai_compatible"), str(tmp_path / "graph.html")),
            run(tmp_path, "custom_kg.py"),
            run(tmp_path, "rerank.py"),
        )
    assert compatible.count("stand-in model's answer") == 6
    assert "entities" in drawn
    assert "Ada Lovelace" in (tmp_path / "graph.html").read_text("utf-8")
    assert "entities: Acme, Alice, Widget X" in custom
    assert rerank.splitlines()[0].startswith("tower.txt")
