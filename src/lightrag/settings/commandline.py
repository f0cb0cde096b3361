"""The command line of the server: the same settings as options, and a help that suffices."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

from lightrag.settings.dialects import DIALECTS
from lightrag.settings.ignored import IGNORED_OPTIONS
from lightrag.settings.options import Declared

_DESCRIPTION = """Serve LightRAG: documents in, a knowledge graph, answers with references out.

Settings come from the command line, the environment, the file .env in the current folder, and for
storages config.ini, in this order. Variables are in square brackets; some settings have no option."""

_EPILOG = """The roles extract, keyword and query can have models of their own: put EXTRACT_, KEYWORD_ or
QUERY_ before the variables of the language model. OPENAI_LLM_* and OLLAMA_LLM_* (TEMPERATURE, TOP_P, MAX_TOKENS,
NUM_CTX, ...) pass parameters to the model server; each is an option too (--openai-llm-temperature 0.2).

lightrag-server serves with one process, lightrag-gunicorn with --workers of them; all else is the same.

Without any option the server works on embedded models and keeps its data in ./rag_storage.
Interactive documentation of the API: http://localhost:9621/docs"""

_WIDTH = 100
SERVER = "lightrag-server"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=_WIDTH)


def read_command_line(
    argv: Sequence[str], groups: Mapping[str, Iterable[Declared]], program: str = SERVER
) -> dict[str, str]:
    """Return option → value as text for what was given; prints help and exits where that was asked for.

    Options for parameters of a dialect, and those that LightRAG had and that have no effect here, are accepted as well.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    for title, settings in groups.items():
        _add_group(parser, title, list(settings))
    _add_hidden(parser)
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
            # LightRAG's own page writes `--verbose True`.
            group.add_argument(flag, dest=flag, nargs="?", const="true", metavar="true|false", help=help_text)
        else:
            metavar = flag.removeprefix("--").rpartition("-")[2].upper()
            group.add_argument(flag, dest=flag, metavar=metavar, help=help_text)


def _add_hidden(parser: argparse.ArgumentParser) -> None:
    known = set(parser._option_string_actions)
    for prefix, options in DIALECTS.items():
        start = "--" + prefix.lower().replace("_", "-")
        for option in options:
            names = dict.fromkeys((f"{start}{option.name}", f"{start}{option.name.replace('_', '-')}"))
            name = option_name(prefix, option.name)
            if known.isdisjoint(names):
                parser.add_argument(*names, dest=name, help=argparse.SUPPRESS)
    for flag in IGNORED_OPTIONS:
        if flag not in known:
            parser.add_argument(flag, dest=flag, nargs="?", const="true", help=argparse.SUPPRESS)


def option_name(prefix: str, name: str) -> str:
    """Return the name under which a dialect's parameter from the command line is kept."""
    return "--" + (prefix + name).lower().replace("_", "-")


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
