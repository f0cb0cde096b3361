"""One typed tree of settings: command line > environment > `.env` > `config.ini` (storages) > default."""

from __future__ import annotations

from lightrag.settings.groups import (
    IndexingSettings,
    ParsingSettings,
    PathSettings,
    QuerySettings,
    ServerSettings,
    StorageSettings,
)
from lightrag.settings.load import SettingLine, Settings, load_settings
from lightrag.settings.models import ChatModelSettings, EmbeddingSettings, LlmSettings

__all__ = [
    "ChatModelSettings",
    "EmbeddingSettings",
    "IndexingSettings",
    "LlmSettings",
    "ParsingSettings",
    "PathSettings",
    "QuerySettings",
    "ServerSettings",
    "SettingLine",
    "Settings",
    "StorageSettings",
    "load_settings",
]
