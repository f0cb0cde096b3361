"""The documentation says what the code does, and the README's lines work as they stand."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_docs", ROOT / "scripts" / "check_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_docs"] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))  # as for a script that is run from there
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def problems_of(checker: ModuleType) -> Callable[[str], list[str]]:
    commands, variables, paths = checker.Commands(), checker.known_variables(), checker.rest_paths()

    def problems_of(text: str) -> list[str]:
        page = checker.Page(ROOT / "page.md", text)
        return [
            *checker.check_links(page),
            *commands.check(page),
            *checker.check_variables(page, variables, ""),
            *checker.check_routes(page, paths),
            *checker.check_make(page),
        ]

    return problems_of


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`lightrag ask --loud`", "no such option"),
        ("`lightrag sing`", "no such command"),
        ("```sh\nlightrag-server --no-such-thing 3\n```", "no such option"),
        ("`LIGHTRAG_NO_SUCH_VARIABLE`", "no such environment variable"),
        ("`POST /documents/sing`", "no such route"),
        ("`PUT /query`", "no such route"),
        ("```sh\ncurl http://localhost:9621/documentz\n```", "no such route"),
        ("[there](nowhere.md)", "no such file"),
        ("[there](README.md#no-such-heading)", "no such heading"),
        ("`make tea`", "no such target"),
    ],
)
def test_what_does_not_agree_is_found(problems_of: Callable[[str], list[str]], text: str, problem: str) -> None:
    found = problems_of(text)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_of_the_readme_work(server_url: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## First answer") : readme.index("## With a language model")]
    outputs = [
        _run(block, server_url) for block in re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    ]
    upload, _, ask, modes, stream, data, listing, commands = outputs
    assert upload.count('"status":"success"') == 4
    assert "Cordouan" in ask
    assert modes.count('"references":[{') == 5
    assert "event: done" in stream
    assert '"status":"success"' in data
    assert "fresnel-lens.pdf" in listing
    assert "deletion_started" in listing
    assert "Cordouan" in commands


def _run(block: str, url: str) -> str:
    """Run a block as a user would, at another address, with a key, and failing on errors."""
    script = block.replace("http://localhost:9621", url).replace(".venv/bin/lightrag", "lightrag")
    script = script.replace("curl ", "curl -sSf -H 'X-API-Key: secret' ")
    if "fresnel-lens.pdf" not in script:
        script = f"{WAIT.replace('URL', url)}\n{script}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": "/nonexistent", "LIGHTRAG_API_KEY": "secret"}
    done = subprocess.run(
        ["sh", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


WAIT = """
until curl -sSf -H 'X-API-Key: secret' URL/documents/pipeline_status | grep -q '"busy":false'; do sleep 0.1; done
"""
