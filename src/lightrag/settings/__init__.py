"""One typed tree of settings: command line > environment > `.env` > `config.ini` (storages) > default."""

from __future__ import annotations

from lightrag.settings.auth import Account, AuthSettings, auth_warnings
from lightrag.settings.groups import (
    IndexingSettings,
    ParsingSettings,
    PathSettings,
    QuerySettings,
    ServerSettings,
    StorageSettings,
)
from lightrag.settings.load import SettingLine, Settings, load_settings
from lightrag.settings.models import (
    ChatBackend,
    ChatModelSettings,
    EmbeddingBackend,
    EmbeddingSettings,
    LlmSettings,
)
from lightrag.settings.rerank import RerankSettings
from lightrag.settings.tenancy import TenancySettings
from lightrag.settings.vendors import VendorSettings

__all__ = [
    "Account",
    "AuthSettings",
    "ChatBackend",
    "ChatModelSettings",
    "EmbeddingBackend",
    "EmbeddingSettings",
    "IndexingSettings",
    "LlmSettings",
    "ParsingSettings",
    "PathSettings",
    "QuerySettings",
    "RerankSettings",
    "ServerSettings",
    "SettingLine",
    "Settings",
    "StorageSettings",
    "TenancySettings",
    "VendorSettings",
    "auth_warnings",
    "load_settings",
]
