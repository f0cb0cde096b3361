"""The service's `.env.example`, written from the settings themselves."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticUndefined

from llmservice.config import CacheSettings, Group, ServerSettings, TierSettings, declared
from llmservice.tiers import Tier

_HEAD = """\
# Settings of llmservice. Copy to .env and edit; lines that are commented show the defaults.
# With no {TIER}_MODEL_PATH set, the bundled MiniLM serves the embedding tier.
"""
_SHARED = """\
# These without a tier's prefix hold for every tier that has no own value:
# """


def env_example() -> str:
    """Return the file's text: every variable, its meaning and its default."""
    parts = [_HEAD, _section("Server", ServerSettings, ""), _section("Cache", CacheSettings, "")]
    shared = [env.name for _, env, _ in declared(TierSettings) if env.shared]
    parts.append(_SHARED + ", ".join(shared) + "\n")
    parts += [_section(f"Tier {tier.name}", TierSettings, tier.prefix) for tier in Tier]
    return "\n".join(parts)


def _section(title: str, group: type[Group], prefix: str) -> str:
    lines = [f"# --- {title} ---"]
    for _, env, info in declared(group):
        lines.append(f"# {info.description}")
        lines.append(f"# {prefix}{env.name}={_default(info)}")
    return "\n".join(lines) + "\n"


def _default(info: Any) -> str:
    value = info.default
    if value is PydanticUndefined:
        return ""
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
