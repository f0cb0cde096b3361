"""Logging: one console line per event, an optional rotating file, and no secret in either."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence

import structlog
from pydantic import BaseModel, SecretStr

from lightrag.api.log_files import SharedRotatingFile
from lightrag.llm.endpoint import without_keys
from lightrag.settings import Settings

MASK = "********"
_MIN_SECRET = 4
"""Shorter secrets are not masked: replacing them would garble every line."""


def configure_logging(settings: Settings) -> None:
    """Route structlog and the standard library's loggers to the console and, with LOG_DIR, to a file."""
    level = "DEBUG" if settings.server.verbose else settings.server.log_level
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    secrets = [secret for secret in secrets_of(settings) if len(secret) >= _MIN_SECRET]
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if isinstance(handler, SharedRotatingFile):
            handler.close()
    for handler in _handlers(settings):
        is_terminal = isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        colours = is_terminal and sys.stderr.isatty()
        handler.setFormatter(_MaskingFormatter(shared, colours, secrets))
        root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Requests are logged by our own middleware; libraries tell of every connection at INFO.
    logging.getLogger("uvicorn.access").disabled = True
    # The database drivers would log every statement with its values, hashes of passwords among them.
    chatty = ("httpx", "httpcore", "httpx2", "httpcore2", "openai", "asyncio", "aiosqlite", "sqlalchemy", "alembic")
    for name in ("uvicorn", "uvicorn.error", *chatty):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """Yield the values of all secrets in the settings."""
    for field in type(settings).model_fields:
        value = getattr(settings, field)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, SecretStr):
                yield item.get_secret_value()
            elif isinstance(item, BaseModel):
                yield from secrets_of(item)


def _handlers(settings: Settings) -> Iterator[logging.Handler]:
    yield logging.StreamHandler(sys.stderr)
    folder = settings.server.log_dir
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield SharedRotatingFile(
            folder / "lightrag.log",
            max_bytes=settings.server.log_max_bytes,
            backups=settings.server.log_backup_count,
        )


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a line and masks in it the configured secrets and what looks like one, tracebacks included."""

    def __init__(self, shared: Sequence[structlog.types.Processor], colours: bool, secrets: Sequence[str]) -> None:
        super().__init__(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0),
            ],
        )
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        # Keys of workspaces are not known here; messages about model servers do not hold them, others must not either.
        return without_keys(line)
