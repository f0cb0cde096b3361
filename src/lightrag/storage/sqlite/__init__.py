"""The embedded default: every store of a workspace in one SQLite file."""

from lightrag.storage.sqlite.storage import FILE_NAME, SQLiteStorage

__all__ = ["FILE_NAME", "SQLiteStorage"]
