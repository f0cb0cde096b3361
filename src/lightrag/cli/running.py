"""How a command runs: its settings, its target, its errors, its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from lightrag.errors import ConfigurationError, InvalidInput, LightRAGError

if TYPE_CHECKING:
    from rich.console import Console

    from lightrag.cli.targets import Target
    from lightrag.engine import Engine
    from lightrag.settings import Settings

T = TypeVar("T")

OK, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Which workspace a command works on: a server's, or one in folders on this machine."""

    url: str | None = None
    api_key: str | None = None
    working_dir: Path | None = None
    input_dir: Path | None = None
    workspace: str | None = None

    def settings(self) -> Settings:
        """Read the settings as the server does, with the folders of this command line before all others."""
        from lightrag.settings import load_settings

        given = {"--working-dir": self.working_dir, "--input-dir": self.input_dir, "--workspace": self.workspace}
        argv = [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
        return load_settings(argv, os.environ, Path.cwd())

    @contextlib.asynccontextmanager
    async def target(self, *, indexes: bool) -> AsyncIterator[Target]:
        """Open the target; `indexes` also begins to work off the documents that wait in a local workspace."""
        settings = self.settings()
        if self.url is not None:
            from lightrag.cli.remote import ServerTarget

            key = settings.server.api_key
            shown = self.api_key or (key.get_secret_value() if key else None)
            async with ServerTarget(self.url, shown, self.workspace) as server:
                yield server
            return
        from lightrag.cli.local import LocalTarget

        async with opened(settings, indexes=indexes) as engine:
            yield LocalTarget(engine, settings)


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, indexes: bool) -> AsyncIterator[Engine]:
    """Open a workspace's engine in this process, and close it at the end."""
    from lightrag.assembly import open_engine
    from lightrag.cli.local_models import present_models

    async with present_models(settings) as models:
        engine = await open_engine(settings, models=models)
        try:
            await (engine.start() if indexes else engine.open())
            yield engine
        finally:
            await engine.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what goes wrong is told in one line, with the exit status that fits."""
    quiet_logs()
    try:
        return asyncio.run(work)
    except (ConfigurationError, InvalidInput) as error:
        raise _exit(str(error), WRONG_USE) from None
    except LightRAGError as error:
        raise _exit(str(error), FAILED) from None
    except KeyboardInterrupt:
        raise _exit("interrupted; what was accepted goes on at the next start", INTERRUPTED) from None


def _exit(message: str, status: int) -> typer.Exit:
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(message, err=True)
    return typer.Exit(status)


def quiet_logs() -> None:
    """Keep log lines off the command's output: warnings go to the standard error."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s", force=True)


def console(*, on_stderr: bool = False) -> Console:
    """Return a terminal to print on; long lines of files that are not terminals are not folded."""
    from rich.console import Console

    stream = sys.stderr if on_stderr else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
