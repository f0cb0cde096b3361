"""The command `llmservice`."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from llmservice.config import Settings, read_settings, unknown_variables
from llmservice.errors import ConfigurationError

EXIT_CONFIGURATION = 2

_DESCRIPTION = """\
OpenAI-compatible server of local models in five tiers (LIGHT, MEDIUM, HEAVY, EMBEDDING, RERANKER).
Settings come from the environment and from a .env file in the current directory; with no tier configured, the
bundled MiniLM serves embeddings.
"""
_EPILOG = """\
`llmservice convert --help` tells how to make ONNX files from a Hugging Face directory.
`llmservice env` prints a .env file with every variable and its default.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends the process with 2 where settings cannot be used."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["convert"]:
        # Imported by name: the converter needs libraries that the service does not.
        convert = cast(Callable[[list[str]], int], importlib.import_module("llmservice.convert").main)
        sys.exit(convert(words[1:]))
    if words[:1] == ["env"]:
        from llmservice.env_example import env_example

        sys.stdout.write(env_example())
        return
    given = _parser().parse_args(words)
    try:
        settings = load(given)
        if given.check:
            sys.stdout.write("The settings can be used.\n")
            return
        from llmservice.server import serve

        serve(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"llmservice cannot start:\n{error}\n")
        sys.exit(EXIT_CONFIGURATION)


def load(given: argparse.Namespace) -> Settings:
    """Return the settings of this environment, with model files checked.

    Raises:
        ConfigurationError: with each variable and its mend.
    """
    from llmservice.model_files import check_files

    dotenv = read_dotenv(given.env_file)
    for name in unknown_variables(dotenv):
        sys.stderr.write(f"{given.env_file}: {name} is no setting; see `llmservice env`\n")
    overrides = {name: str(value) for name, value in (("PORT", given.port), ("HOST", given.host)) if value is not None}
    settings = read_settings(os.environ, dotenv, overrides)
    check_files(settings)
    return settings


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file; none where there is no such file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "llmservice", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (PORT)")
    parser.add_argument("--env-file", type=Path, default=Path(".env"), help="file with variables (default: .env)")
    parser.add_argument("--check", action="store_true", help="check the settings and the model files, then end")
    return parser


if __name__ == "__main__":
    main()
