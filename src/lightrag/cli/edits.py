"""Prints the log of manual edits of a workspace, and takes edits back."""

from __future__ import annotations

import datetime
import json
import sys

from lightrag.cli.running import OK, Where, console
from lightrag.types import JsonObject

_LONGEST = 100
"""Characters of an edit's arguments in the table."""


async def show_edits(where: Where, limit: int, *, as_json: bool) -> int:
    """Print the newest edits."""
    async with where.target(indexes=False) as target:
        edits = await target.edits(limit)
    if as_json:
        sys.stdout.write(json.dumps(edits, ensure_ascii=False) + "\n")
        return OK
    if not edits:
        console().print("nothing was changed by hand", markup=False)
    for edit in edits:
        console().print(_line(edit), markup=False)
    return OK


async def undo_edit(where: Where, edit_id: str) -> int:
    """Take an edit back."""
    async with where.target(indexes=True) as target:
        await target.undo_edit(edit_id)
    console().print(f"{edit_id} was undone", markup=False)
    return OK


def _line(edit: JsonObject) -> str:
    made = datetime.datetime.fromtimestamp(edit["created_at"], datetime.UTC).strftime("%Y-%m-%d %H:%M")
    said = json.dumps(edit["arguments"], ensure_ascii=False)
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    parts = [edit["id"], made, edit["kind"], said]
    parts += [f"by {edit['author']}"] if edit["author"] else []
    parts += ["(undone)"] if edit["undone"] else []
    return "  ".join(parts)
