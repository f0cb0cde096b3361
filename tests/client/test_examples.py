"""The example runs as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .conftest import KEY

EXAMPLE = Path(__file__).parents[2] / "examples" / "client.py"


def run(url: str, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIGHTRAG_URL": url, "LIGHTRAG_API_KEY": key}
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_example_does_what_it_says(url: str, tmp_path: Path) -> None:
    done = run(url)
    assert done.returncode == 0, done.stderr
    answer, _, graph = done.stdout.strip().rpartition("\n")
    assert "Ada Lovelace" in answer
    assert " - ada.txt" in answer
    assert "Grace Hopper" in answer
    assert graph.startswith("in the graph: ")

    (tmp_path / "alan.txt").write_text("Alan Turing described a universal machine.")
    assert "uploaded: alan.txt" in run(url, str(tmp_path)).stdout
    refused = run(url, key="wrong")
    assert refused.returncode == 1
    assert refused.stderr.startswith(("Forbidden: ", "Unauthorized: "))
