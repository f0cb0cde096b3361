"""The command line of the server: the same settings as options, and a help that suffices."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

from lightrag.settings.options import Declared

_DESCRIPTION = """Serve LightRAG: documents in, a knowledge graph, answers with references out.

Settings come from the command line, the environment, the file .env in the current folder, and for
storages config.ini, in this order. Variables are in square brackets; some settings have no option."""

_EPILOG = """The roles extract, keyword and query can have models of their own: put EXTRACT_, KEYWORD_ or
QUERY_ before the variables of the language model. OPENAI_LLM_* and OLLAMA_LLM_* (TEMPERATURE, TOP_P, MAX_TOKENS,
NUM_CTX, ...) pass parameters to the model server.

Without any option the server works on embedded models and keeps its data in ./rag_storage.
Interactive documentation of the API: http://localhost:9621/docs"""

_WIDTH = 100


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=_WIDTH)


def read_command_line(argv: Sequence[str], groups: Mapping[str, Iterable[Declared]]) -> dict[str, str]:
    """Return option → value as text for what was given; prints help and exits where that was asked for."""
    parser = argparse.ArgumentParser(
        prog="lightrag-server",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    for title, settings in groups.items():
        _add_group(parser, title, list(settings))
    given = vars(parser.parse_args(list(argv)))
    return {flag: str(value) for flag, value in given.items() if value is not None}


def _add_group(parser: argparse.ArgumentParser, title: str, settings: list[Declared]) -> None:
    only_variables = [item for item in settings if item.option.flag is None and item.option.env]
    group = parser.add_argument_group(title, "\n".join(_variable_lines(only_variables)) or None)
    for item in settings:
        flag = item.option.flag
        if flag is None:
            continue
        help_text = f"{item.help}{_default(item)} [{', '.join(item.option.env)}]".replace("%", "%%")
        if item.option.is_switch:
            group.add_argument(flag, dest=flag, action="store_const", const="true", default=None, help=help_text)
        else:
            metavar = flag.removeprefix("--").rpartition("-")[2].upper()
            group.add_argument(flag, dest=flag, metavar=metavar, help=help_text)


def _variable_lines(settings: list[Declared]) -> Iterable[str]:
    import textwrap

    for item in settings:
        names = ", ".join(item.option.env)
        text = f"[{names}] {item.help}{_default(item)}"
        yield textwrap.fill(text, _WIDTH - 2, subsequent_indent="    ")


def _default(item: Declared) -> str:
    default = item.info.default
    if default is None or default is False or item.is_secret:
        return ""
    if default is True:
        return " (default: true)"
    if isinstance(default, tuple):
        return f" (default: {','.join(default)})"
    return f" (default: {default})" if str(default) else ""
