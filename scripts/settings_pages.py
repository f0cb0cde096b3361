"""Bring the two pages that list all settings up to date with the declarations: add what is missing, correct table rows.

Used by `check_docs.py --write`. Prose, order and section notes of the pages stay as they are.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from lightrag.settings.load import _GROUPS
from lightrag.settings.options import Declared, declared


def with_settings(env_example: str, reference: str) -> tuple[str, str]:
    """Return `.env.example` and the reference page with every setting."""
    before: Declared | None = None
    for item in _settings():
        env_example = _in_example(env_example, item, before)
        reference = _in_reference(reference, item, before)
        before = item
    return env_example, reference


def _settings() -> Iterator[Declared]:
    for _, group in _GROUPS.values():
        yield from (item for item in declared(group) if item.option.env)


def _in_example(text: str, item: Declared, before: Declared | None) -> str:
    name, *others = item.option.env
    for other in [other for other in others if not re.search(rf"\b{other}\b", text)]:
        text = re.sub(rf"\.\n(# {name}=)", rf" (also {other}).\n\1", text, count=1)
    text, known = re.subn(rf"^(#? ?{name}=).*", lambda found: found[1] + _default(item), text, count=1, flags=re.M)
    if known or before is None:
        return text
    also = f" (also {', '.join(others)})" if others else ""
    lines = textwrap.wrap(f"{item.help[:1].upper()}{item.help[1:]}{also}.", 108)
    entry = "".join(f"# {line}\n" for line in lines) + f"# {name}={_default(item)}\n"
    return re.sub(rf"^(#? ?{before.option.env[0]}=.*\n)", lambda found: found[1] + entry, text, count=1, flags=re.M)


def _in_reference(text: str, item: Declared, before: Declared | None) -> str:
    names = ", ".join(f"`{name}`" for name in item.option.env)
    flag = f"`{item.option.flag}`" if item.option.flag else ""
    default = f"`{_default(item)}`" if _default(item) else ""
    row = f"| {names} | {flag} | {default} | {item.help.replace('|', chr(92) + '|')} |\n"
    present = rf"^\| `{item.option.env[0]}`.*\n"
    if re.search(present, text, re.MULTILINE):
        return re.sub(present, lambda _: row, text, count=1, flags=re.M)
    if before is None:
        return text
    return re.sub(rf"^(\| `{before.option.env[0]}`.*\n)", lambda found: found[1] + row, text, count=1, flags=re.M)


def _default(item: Declared) -> str:
    default = item.info.default
    if default is None or item.is_secret:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)
