"""The control plane's database: opening it, keeping its schema current, and units of work."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from lightrag.errors import ConfigurationError, InvalidInput, StorageError, StorageUnavailable
from lightrag.tenancy.change_signal import ChangeSignal
from lightrag.tenancy.names import CONTROL_FILE
from lightrag.tenancy.schema_version import HEAD, upgrade

Changes = tuple[int, bytes]
"""A state of the control plane, to be compared with later ones."""
WRITE_SECONDS = 30.0
"""How long a unit of work waits for those of other processes, on SQLite."""
_BUSY_MILLISECONDS = 10_000
_PAUSE = (0.001, 0.006)
"""Shortest and longest seconds before the write lock is tried again."""
_MIGRATION_LOCK = 0x6C69676874
_CHANGED = "changed"
_DATA_EXCEPTION = "22"
"""Class of SQL states for values that a column cannot hold, such as text with a NUL character."""


def now_seconds() -> int:
    """Return the time in seconds since 1970."""
    return int(time.time())


def now_microseconds() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def new_key() -> str:
    """Return a key for a row: 128 random bits."""
    return secrets.token_hex(16)


def control_url(dsn: str | None, working_dir: Path) -> str:
    """Return the SQLAlchemy URL of the control plane: the one given, or a SQLite file in the working directory.

    `postgresql://`, `postgres://` and `sqlite://` get the asynchronous driver. Raises `ConfigurationError` for others.
    """
    if not dsn:
        return f"sqlite+aiosqlite:///{working_dir.absolute() / CONTROL_FILE}"
    try:
        url = make_url(dsn)
    except SQLAlchemyError:
        # The text may hold a password: it is not repeated.
        raise ConfigurationError("LIGHTRAG_CONTROL_DSN is not a database URL, as postgresql://user@host/name") from None
    kind = url.drivername.split("+")[0]
    drivers = {"postgres": "postgresql+asyncpg", "postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
    if kind not in drivers:
        raise ConfigurationError(f"LIGHTRAG_CONTROL_DSN names '{kind}'; the control plane runs on sqlite or postgresql")
    return url.set(drivername=drivers[kind]).render_as_string(hide_password=False)


def note_change(session: AsyncSession) -> None:
    """Have everybody who keeps something of the control plane look again, once the work is committed."""
    session.info[_CHANGED] = 1


class ControlDatabase:
    """One pool of connections to the control plane, shared by everything in a process."""

    def __init__(self, url: str, signal: ChangeSignal | None = None) -> None:
        self._url = url
        self._signal = signal
        self._engine: AsyncEngine | None = None
        self._turns = asyncio.Lock()
        """Whose turn it is to write, on SQLite: units of work of one process go in the order in which they came."""
        self._changes = 0

    @property
    def changes(self) -> Changes:
        """What is equal as long as nobody on this machine has changed what others remember; see `note_change`."""
        return self._changes, b"" if self._signal is None else self._signal.state

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded database."""
        return self._url.startswith("sqlite")

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises `StorageError`."""
        if self._engine is not None:
            return
        if self.is_sqlite:
            path = make_url(self._url).database
            if path:
                await asyncio.to_thread(Path(path).parent.mkdir, parents=True, exist_ok=True)
        engine = self._make_engine()
        try:
            async with _mapped_errors():
                await self._migrate(engine)
        except BaseException:
            await engine.dispose()
            raise
        self._engine = engine

    async def close(self) -> None:
        """Close all connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()
        if self._signal is not None:
            self._signal.close()

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Begin a unit of work that may write: committed at the end of the block, rolled back when it raises.

        On SQLite it holds the write lock from its start, so that what it reads is what it changes. Keep it short:
        no model call, no network inside. Raises `StorageUnavailable` where the database does not answer.
        """
        async with self._writing("FULL") as session:
            try:
                yield session
                await session.commit()
                if _CHANGED in session.info:
                    self._tell_changed()
            except BaseException:
                await session.rollback()
                raise

    @contextlib.asynccontextmanager
    async def begin_counting(self) -> AsyncIterator[AsyncSession]:
        """Begin a unit of work like `begin`, of which a loss of power may take the last moments, and nothing else may.

        For what is written with every call and holds for minutes: such a commit does not wait for the disk.
        """
        async with self._writing("NORMAL") as session:
            if not self.is_sqlite:
                await session.execute(text("SET LOCAL synchronous_commit = off"))
            try:
                yield session
                await session.commit()
            except BaseException:
                await session.rollback()
                raise

    @contextlib.asynccontextmanager
    async def _writing(self, synchronous: str) -> AsyncIterator[AsyncSession]:
        """Open a session; on SQLite when its turn has come, with the write lock and that care for the disk."""
        async with (
            _mapped_errors(),
            self._turns if self.is_sqlite else contextlib.nullcontext(),
            AsyncSession(self._opened(), expire_on_commit=False) as session,
        ):
            if self.is_sqlite:
                await _take_write_lock(session, synchronous)
            yield session

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Begin a unit of work that only reads."""
        async with _mapped_errors(), AsyncSession(self._opened(), expire_on_commit=False) as session:
            if self.is_sqlite:
                # In one call of the driver's thread, where a statement of SQLAlchemy takes four.
                await (await _driver(session)).execute("BEGIN")
            try:
                yield session
            finally:
                # What was read stays readable after the block.
                session.expunge_all()
                await session.rollback()

    def _tell_changed(self) -> None:
        self._changes += 1
        if self._signal is not None:
            self._signal.give()

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise StorageUnavailable("The control plane's database is not open")
        return self._engine

    def _make_engine(self) -> AsyncEngine:
        if not self.is_sqlite:
            return create_async_engine(self._url, pool_size=5, max_overflow=15, pool_pre_ping=True)
        engine = create_async_engine(self._url, pool_size=4, max_overflow=4)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        # Whether a transaction writes is said by `begin` and `read`, not by the driver's guess.
        event.listen(engine.sync_engine, "begin", lambda _connection: None)
        return engine

    async def _migrate(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            if await _version(connection) == HEAD:
                return
        async with engine.begin() as connection:
            if self.is_sqlite:
                await connection.execute(text("BEGIN IMMEDIATE"))
            else:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            await connection.run_sync(upgrade)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Autocommit in the driver: SQLAlchemy's transactions are begun by our own statements.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _driver(session: AsyncSession) -> Any:
    return (await (await session.connection()).get_raw_connection()).driver_connection


async def _take_write_lock(session: AsyncSession, synchronous: str) -> None:
    """Begin a transaction that writes, as soon as no other process does.

    SQLite itself would look again every tenth of a second, and so might find the lock taken for ever where a busy
    server writes all the time: between two units of work there are some milliseconds.
    """
    driver = await _driver(session)
    until = time.monotonic() + WRITE_SECONDS
    while True:
        try:
            # In one call of the driver's thread. What else waits for a lock, as after a crash, may wait long.
            await driver.executescript(
                f"PRAGMA synchronous={synchronous}; PRAGMA busy_timeout=1; BEGIN IMMEDIATE; "
                f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}"
            )
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                await driver.executescript(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
                raise StorageUnavailable(f"The control plane's database cannot be used: {error}") from error
        await asyncio.sleep(random.uniform(*_PAUSE))


async def _version(connection: AsyncConnection) -> str | None:
    try:
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except DBAPIError:
        await connection.rollback()
        return None


@contextlib.asynccontextmanager
async def _mapped_errors() -> AsyncIterator[None]:
    try:
        yield
    except IntegrityError:
        # The caller knows which name was taken.
        raise
    except (OperationalError, InterfaceError, OSError, TimeoutError) as error:
        raise StorageUnavailable(f"The control plane's database cannot be used: {_reason(error)}") from error
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", "")).startswith(_DATA_EXCEPTION):
            raise InvalidInput(f"The control plane cannot take this value: {_reason(error)}") from error
        raise StorageError(f"The control plane's database failed: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    # Only the driver's own words: SQLAlchemy's text repeats statement and values.
    origin = getattr(error, "orig", None) or error
    return str(origin).splitlines()[0] if str(origin) else type(origin).__name__
