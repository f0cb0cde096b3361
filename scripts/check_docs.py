#!/usr/bin/env python3
"""Check that the documentation agrees with the code; `--write` mends the help in docs/cli.md and the lists of settings.

Checked: relative links and anchors, commands and their options, make targets, environment variables, REST paths and
methods, that `.env.example` and docs/configuration.md name every setting, and that docs/cli.md holds the real help.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from settings_pages import with_settings

ROOT = Path(__file__).resolve().parents[1]
CLI_PAGE = ROOT / "docs" / "cli.md"
SETTINGS_PAGES = (".env.example", "docs/configuration.md")

SERVERS = ("lightrag-server", "lightrag-gunicorn")
"""Commands with the same options."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(
    r"(?:^|[\s/;&|(])(?<!from )(?<!import )(lightrag-server|lightrag-gunicorn|lightrag)"
    r"((?: +[^\s;&|)\\]+|\s*\\\n\s*)*)"
)
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-z])\b")
VARIABLE = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b")
ROUTE = re.compile(r"\b(GET|POST|PUT|DELETE|PATCH) (/[\w/{}.-]*)")
URL_PATH = re.compile(r"(?:localhost|127\.0\.0\.1):9621(/[\w/{}$.-]*)")
MAKE = re.compile(r"(?:^|\s)make ([a-z]+)\b", re.MULTILINE)
HELP_BLOCK = re.compile(r"(<!-- help: (.+?) -->\n```text\n)(.*?)(```\n)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Return its path below the root."""
        return self.path.relative_to(ROOT).as_posix()

    def code(self) -> Iterator[str]:
        """Yield what is written as code: blocks and inline."""
        for language, block in FENCE.findall(self.text):
            if language != "text":
                yield block
        yield from INLINE.findall(FENCE.sub("", self.text))

    def anchors(self) -> set[str]:
        """Return the anchors of its headings, as forges make them."""
        titles = HEADING.findall(FENCE.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def pages() -> list[Page]:
    """Return all Markdown files of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    paths = [ROOT / name for name in listed if name] or [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return [Page(path, path.read_text(encoding="utf-8")) for path in sorted(set(paths)) if path.exists()]


def check_links(page: Page) -> Iterator[str]:
    """Yield links to files or headings that do not exist."""
    for target in LINK.findall(FENCE.sub("", page.text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.path if not name else (page.path.parent / name).resolve()
        if not path.exists():
            yield f"link to {target}: there is no such file"
        elif anchor and path.suffix == ".md":
            anchors = Page(path, path.read_text(encoding="utf-8")).anchors()
            if anchor not in anchors:
                yield f"link to {target}: there is no such heading"


class Commands:
    """The command lines of both programs."""

    def __init__(self) -> None:
        import typer.main

        from lightrag.cli.main import app

        self._root = typer.main.get_command(app)
        server_help = help_of("lightrag-server")
        self._server_options = {"-h", "--help", *OPTION.findall(server_help)}

    def names(self) -> Iterator[str]:
        """Yield every command as it is typed."""
        yield "lightrag"
        yield from self._below("lightrag", self._root)
        yield "lightrag-server"

    def _below(self, prefix: str, command: object) -> Iterator[str]:
        for name, child in getattr(command, "commands", {}).items():
            yield f"{prefix} {name}"
            yield from self._below(f"{prefix} {name}", child)

    def check(self, page: Page) -> Iterator[str]:
        """Yield commands and options that do not exist."""
        for code in page.code():
            for program, rest in COMMAND.findall(code):
                words = rest.replace("\\\n", " ").split()
                if program in SERVERS:
                    yield from self._check_options(program, words, self._server_options)
                elif words:
                    yield from self._check_command(words)

    def _check_command(self, words: list[str]) -> Iterator[str]:
        command: object = self._root
        typed = "lightrag"
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            name = words.pop(0)
            if name not in command.commands:
                yield f"`{typed} {name}`: there is no such command"
                return
            command, typed = command.commands[name], f"{typed} {name}"
        options = {"-h", "--help"}
        for parameter in getattr(command, "params", []):
            options |= {*parameter.opts, *parameter.secondary_opts}
        yield from self._check_options(typed, words, options)

    @staticmethod
    def _check_options(typed: str, words: list[str], known: set[str]) -> Iterator[str]:
        for word in words:
            for option in OPTION.findall(word if word.startswith("-") else ""):
                if option not in known:
                    yield f"`{typed} {option}`: there is no such option"


def help_of(command: str) -> str:
    """Return what a command prints as its help, 80 columns wide."""
    program, *rest = command.split()
    module = {"lightrag": "lightrag.cli.main", "lightrag-server": "lightrag.api.lightrag_server"}[program]
    # Under its own name, as a user starts it.
    code = f"import sys; from {module} import main; sys.argv[0] = {program!r}; sys.exit(main())"
    answer = subprocess.run(
        [sys.executable, "-c", code, *rest, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"},
    )
    return "\n".join(line.rstrip() for line in answer.stdout.strip().splitlines()) + "\n"


def with_real_help(text: str) -> str:
    """Return the page with every help block as the command prints it."""
    return HELP_BLOCK.sub(lambda match: match[1] + help_of(match[2]) + match[4], text)


def check_help(commands: Commands) -> Iterator[str]:
    """Yield what docs/cli.md lacks or has in an old form."""
    text = CLI_PAGE.read_text(encoding="utf-8")
    shown = {command for _, command, _, _ in HELP_BLOCK.findall(text)}
    for command in commands.names():
        if command not in shown:
            yield f"docs/cli.md: the help of `{command}` is missing (<!-- help: {command} -->)"
    if with_real_help(text) != text:
        yield "docs/cli.md: the help is out of date; run scripts/check_docs.py --write"


def known_variables() -> set[str]:
    """Return all environment variables that the settings read."""
    from lightrag.settings import load_settings
    from lightrag.settings.dialects import DIALECTS
    from llmservice.config import variables

    with tempfile.TemporaryDirectory() as empty:
        lines = load_settings(None, {}, Path(empty)).describe()
    names = {name for line in lines for name in line.variables}
    names |= {role + name for role in ("EXTRACT_", "KEYWORD_", "QUERY_") for name in names if "LLM" in name}
    names |= {prefix + option.name.upper() for prefix, options in DIALECTS.items() for option in options}
    return names | variables() | {"OPENAI_API_KEY"}


def check_variables(page: Page, known: set[str], elsewhere: str) -> Iterator[str]:
    """Yield variables that neither the settings nor the project's own tools know."""
    for code in page.code():
        for name in VARIABLE.findall(code):
            is_part = any(name in variable for variable in known)
            if not is_part and not re.search(rf"\b{name}\b", elsewhere):
                yield f"`{name}`: no such environment variable"


def check_settings_pages(known: set[str]) -> Iterator[str]:
    """Yield settings that the reference pages do not name."""
    from lightrag.settings import load_settings

    with tempfile.TemporaryDirectory() as empty:
        lines = load_settings(None, {}, Path(empty)).describe()
    for name in SETTINGS_PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        for variable in {variable for line in lines for variable in line.variables}:
            if not re.search(rf"\b{variable}\b", text):
                yield f"{name}: {variable} is missing"


def rest_paths() -> Mapping[str, set[str]]:
    """Return the paths of the REST API with their methods."""
    from lightrag.api.app import create_app
    from lightrag.settings import load_settings

    with tempfile.TemporaryDirectory() as empty:
        app = create_app(load_settings(None, {}, Path(empty)))
    paths = {path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}
    return paths | {path: {"GET"} for path in ("/", "/docs", "/redoc", "/openapi.json")}


def service_paths() -> Mapping[str, set[str]]:
    """Return the paths of the model service with their methods."""
    from llmservice.api.app import create_app
    from llmservice.config import read_settings
    from llmservice.service import ModelService

    app = create_app(ModelService(read_settings({}, {}, {})))
    return {path: {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}


def check_routes(page: Page, paths: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield routes that the OpenAPI document does not have."""
    for code in page.code():
        for method, path in ROUTE.findall(code):
            if not any(method in methods for methods in _matching(path, paths)):
                yield f"`{method} {path}`: no such route"
        for path in URL_PATH.findall(code):
            if not list(_matching(path, paths)):
                yield f"`{path}`: no such route"


def _matching(path: str, paths: Mapping[str, set[str]]) -> Iterator[set[str]]:
    wanted = path.rstrip("/.") or "/"
    for template, methods in paths.items():
        pattern = re.sub(r"\\{[^}]*\\}", r"[^/]+", re.escape(template))
        if template == wanted or re.fullmatch(pattern, wanted):
            yield methods


def check_make(page: Page) -> Iterator[str]:
    """Yield make targets that do not exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for code in page.code():
        for target in MAKE.findall(code):
            if target not in targets:
                yield f"`make {target}`: no such target"


def problems() -> Iterator[str]:
    """Yield everything that does not agree."""
    commands, known, rest = Commands(), known_variables(), rest_paths()
    service = rest | service_paths()
    tools = [ROOT / "Makefile", *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("scripts/*.py")]
    tools += [*ROOT.glob("src/lightrag/cli/*.py"), ROOT / "compose.yaml", ROOT / "deploy" / "lightrag-api"]
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in tools)
    for page in pages():
        paths = service if "llmservice" in page.name else rest
        found = [
            *check_links(page),
            *commands.check(page),
            *check_variables(page, known, elsewhere),
            *check_routes(page, paths),
            *check_make(page),
        ]
        yield from (f"{page.name}: {problem}" for problem in found)
    yield from check_settings_pages(known)
    yield from check_help(commands)


def main() -> int:
    """Print what does not agree; the exit status tells whether anything does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="bring the help in docs/cli.md up to date first")
    if parser.parse_args().write:
        CLI_PAGE.write_text(with_real_help(CLI_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        paths = [ROOT / name for name in SETTINGS_PAGES]
        texts = with_settings(*[path.read_text(encoding="utf-8") for path in paths])
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
    found = list(dict.fromkeys(problems()))
    for problem in found:
        print(problem)
    print(f"{len(found)} problems" if found else "the documentation agrees with the code")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
