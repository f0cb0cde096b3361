"""Where values come from: command line, environment, `.env`, `config.ini`."""

from __future__ import annotations

import configparser
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path

from lightrag.errors import ConfigurationError
from lightrag.settings.options import Option


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A value as text, under the name and from the place where it was set."""

    text: str
    name: str
    place: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sources:
    """All places, most important first; a value of only blanks counts as not set."""

    command_line: Mapping[str, str]
    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    ini: Mapping[tuple[str, str], str]

    def find(self, option: Option) -> Found | None:
        """Return the value that wins, or None where the setting was not set anywhere."""
        from_flag = self._from_flag(option)
        from_env = self._from_env(option.env)
        found = (from_env or from_flag) if option.env_wins else (from_flag or from_env)
        return found or self._from_ini(option)

    def variable(self, name: str) -> Found | None:
        """Return an environment variable from the environment or `.env`."""
        for variables, place in ((self.environ, "environment"), (self.dotenv, ".env")):
            text = variables.get(name, "").strip()
            if text:
                return Found(text, name, place)
        return None

    def _from_flag(self, option: Option) -> Found | None:
        if option.flag is None or option.flag not in self.command_line:
            return None
        return Found(self.command_line[option.flag], option.flag, "command line")

    def _from_env(self, names: tuple[str, ...]) -> Found | None:
        return next((found for name in names if (found := self.variable(name))), None)

    def _from_ini(self, option: Option) -> Found | None:
        text = self.ini.get(option.ini, "").strip() if option.ini else ""
        if not text or option.ini is None:
            return None
        section, key = option.ini
        return Found(text, f"[{section}] {key}", "config.ini")


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file; none where there is no such file."""
    text = _read(path)
    if not text:
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def read_ini(path: Path) -> dict[tuple[str, str], str]:
    """Return (section, key) → value of a `config.ini` file; none where there is no such file."""
    text = _read(path)
    if not text:
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # The parser's own message quotes the line, which may hold a password.
        line = getattr(error, "lineno", None)
        where = f" in line {line}" if line else ""
        raise ConfigurationError(f"config.ini cannot be read{where}: {type(error).__name__}") from None
    return {(section, key): parser[section][key] for section in parser.sections() for key in parser[section]}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}") from None
