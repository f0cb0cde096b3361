"""Workspaces in LightRAG's own files."""

from lightrag.storage.files.storage import FileStorage

__all__ = ["FileStorage"]
