"""Logging: one line per event on the console and in an optional rotating file, and no secret in either.

Every line that is written while a request is served, or for a workspace, names both, whichever library writes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, SecretStr

from lightrag.api.log_files import SharedRotatingFile
from lightrag.callers import current_caller, current_workspace
from lightrag.llm.endpoint import without_keys
from lightrag.settings import Settings

MASK = "********"
DEFAULT_WORKSPACE = "(default)"
"""What lines call the workspace without a name; no other one can be called so."""
_MIN_SECRET = 4
"""Shorter secrets are not masked: replacing them would garble every line."""


def configure_logging(settings: Settings) -> None:
    """Route structlog and the standard library's loggers to the console and, with LOG_DIR, to a file."""
    level = "DEBUG" if settings.server.verbose else settings.server.log_level
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_context,
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
    plain = [secret for secret in secrets_of(settings) if len(secret) >= _MIN_SECRET]
    # As they stand in a line of JSON, too.
    secrets = list(dict.fromkeys([*plain, *(orjson.dumps(secret).decode()[1:-1] for secret in plain)]))
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if isinstance(handler, SharedRotatingFile):
            handler.close()
    for handler in _handlers(settings):
        is_terminal = isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        colours = is_terminal and sys.stderr.isatty()
        handler.setFormatter(_MaskingFormatter(shared, _renderer(settings, colours), secrets))
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


def name_context(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Add the workspace and the request (of work on a document: its track id) for which a line is written."""
    workspace, request = current_workspace(), current_caller().request_id
    if workspace is not None:
        event.setdefault("workspace", workspace or DEFAULT_WORKSPACE)
    if request:
        event.setdefault("request_id", request)
    return event


def _renderer(settings: Settings, colours: bool) -> structlog.types.Processor:
    if settings.server.log_format == "json":
        return structlog.processors.JSONRenderer(serializer=_json, default=str)
    return structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)


def _json(event: Any, default: Callable[[Any], Any]) -> str:
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()


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

    def __init__(
        self, shared: Sequence[structlog.types.Processor], renderer: structlog.types.Processor, secrets: Sequence[str]
    ) -> None:
        super().__init__(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        # Keys of workspaces are not known here; messages about model servers do not hold them, others must not either.
        return without_keys(line)
