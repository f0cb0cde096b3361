"""What is written about the settings agrees with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lightrag.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", [".env.example", "docs/configuration.md"])
def test_every_variable_is_documented(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = {name for line in load_settings([], {}, tmp_path).describe() for name in line.variables}
    assert len(names) > 60
    missing = {name for name in names if not re.search(rf"\b{name}\b", text)}
    assert missing == set()


def test_the_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert load_settings([], {}, tmp_path).origins == {}


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(re.sub(r"^# (?=[A-Z_]+=)", "", text, flags=re.MULTILINE), encoding="utf-8")
    settings = load_settings([], {}, tmp_path)
    plain = load_settings([], {}, tmp_path / "elsewhere")
    assert settings.warnings == ()
    for group in ("server", "storage", "indexing", "query", "parsing", "llm", "embedding"):
        assert getattr(settings, group) == getattr(plain, group)


def test_the_example_of_config_ini_is_the_default(tmp_path: Path) -> None:
    text = (ROOT / "config.ini.example").read_text(encoding="utf-8")
    (tmp_path / "config.ini").write_text(text, encoding="utf-8")
    settings = load_settings([], {}, tmp_path)
    assert settings.warnings == ()
    assert settings.storage == load_settings([], {}, tmp_path / "elsewhere").storage
