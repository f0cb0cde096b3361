"""Recorded sessions with LightRAG's servers, reduced to what a client relies on: requests, statuses, shapes.

A recording is a list of calls. Bodies are kept as shapes only: `"string"`, `"integer"`, `"number"`, `"boolean"`,
`"null"`, an object with its keys, a list with the shape of its items, or `{"any of": [...]}`. Ids that an answer gave
and a later request sends are kept as references: `{track:8}` is the track id that call 8 answered with,
`{document:...}` the id of the document whose text begins like this.

To make one: `python -m tests.compat.recording transcript.json recordings/name.json`.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Shape = Any
ANY_OF = "any of"
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


@dataclasses.dataclass(frozen=True)
class Call:
    """One request, and what a client could see of its answer."""

    method: str
    path: str
    request: dict[str, Any]
    """Of `params`, `json`, `data`, `headers` and `files` (field, name, content) those that were sent."""
    status: int
    content_type: str | None
    shape: Shape
    """Shape of the body; of a stream of lines the list of the lines' shapes; None where there is no JSON."""

    @property
    def title(self) -> str:
        """Return a name for people."""
        return f"{self.method} {self.path}"


def shape_of(value: Any) -> Shape:
    """Return the shape of a JSON value."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        kinds: list[Shape] = []
        for item in value:
            kind = shape_of(item)
            if kind not in kinds:
                kinds.append(kind)
        return kinds if len(kinds) < 2 else [{ANY_OF: kinds}]
    return _SCALARS[type(value)]


def body_shape(content_type: str | None, body: str) -> Shape:
    """Return the shape of an answer's body."""
    if content_type == "application/json":
        return shape_of(json.loads(body))
    if content_type == "application/x-ndjson":
        return [shape_of(json.loads(line)) for line in body.splitlines() if line.strip()]
    return None


def differences(recorded: Shape, ours: Any, where: str = "") -> Iterator[str]:
    """Yield what a client of the recorded server would miss in a JSON value of ours; more keys are no difference.

    Where the recording has null, a value may be anything: nothing is known of its type.
    """
    if isinstance(recorded, dict) and ANY_OF in recorded:
        found = [list(differences(kind, ours, where)) for kind in recorded[ANY_OF]]
        if all(found):
            yield from min(found, key=len)
    elif recorded == "null":
        return
    elif isinstance(recorded, dict):
        if not isinstance(ours, dict):
            yield f"{where or 'body'} is {shape_of(ours)}, recorded: an object"
            return
        for key, kind in recorded.items():
            if key not in ours:
                yield f"{where}.{key} is missing"
            else:
                yield from differences(kind, ours[key], f"{where}.{key}")
    elif isinstance(recorded, list):
        if not isinstance(ours, list):
            yield f"{where or 'body'} is {shape_of(ours)}, recorded: a list"
        elif recorded and not ours:
            yield f"{where or 'body'} is empty, recorded: items"
        elif recorded:
            for number, item in enumerate(ours):
                yield from differences(recorded[0], item, f"{where}[{number}]")
    elif shape_of(ours) != recorded and (recorded, shape_of(ours)) != ("number", "integer"):
        yield f"{where or 'body'} is {shape_of(ours)}, recorded: {recorded}"


def derive(transcript: list[dict[str, Any]]) -> list[Call]:
    """Return the calls of a transcript: `method`, `path`, `kw`, `status`, `ctype`, `body` each."""
    names: dict[str, str] = {}
    calls = []
    for number, entry in enumerate(transcript):
        request = json.loads(_renamed(json.dumps(_request(entry["kw"])), names))
        calls.append(
            Call(
                entry["method"],
                _renamed(entry["path"], names),
                request,
                entry["status"],
                (entry["ctype"] or "").split(";")[0] or None,
                body_shape((entry["ctype"] or "").split(";")[0] or None, entry["body"]),
            )
        )
        if entry["ctype"] == "application/json":
            names |= dict(_names(json.loads(entry["body"]), number))
    return calls


def load(path: Path) -> list[Call]:
    """Read a recording, or a transcript."""
    entries = json.loads(path.read_text())
    return derive(entries) if "kw" in entries[0] else [Call(**entry) for entry in entries]


def save(calls: list[Call], path: Path) -> None:
    """Write a recording, one call in a line."""
    lines = ",\n".join(json.dumps(dataclasses.asdict(call), ensure_ascii=False) for call in calls)
    path.write_text(f"[\n{lines}\n]\n")


def _request(kw: dict[str, Any]) -> dict[str, Any]:
    kept = {name: kw[name] for name in ("params", "json", "data", "headers") if name in kw}
    if "files" in kw:
        files = ast.literal_eval(kw["files"]) if isinstance(kw["files"], str) else kw["files"]
        pairs = files.items() if isinstance(files, dict) else files
        kept["files"] = [[field, name, content.decode("latin-1")] for field, (name, content, *_) in pairs]
    return kept


def _names(value: Any, number: int) -> Iterator[tuple[str, str]]:
    """Yield ids in an answer with the references by which later requests name them."""
    if isinstance(value, dict):
        if isinstance(value.get("track_id"), str) and value["track_id"] and "status" in value and "id" not in value:
            yield value["track_id"], f"{{track:{number}}}"
        if isinstance(value.get("id"), str) and isinstance(value.get("content_summary"), str):
            yield value["id"], f"{{document:{value['content_summary'][:60]}}}"
        for item in value.values():
            yield from _names(item, number)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item, number)


def _renamed(text: str, names: dict[str, str]) -> str:
    for id_, reference in names.items():
        text = text.replace(id_, reference)
    return text


REFERENCE = re.compile(r"\{(track|document):([^}]*)\}")


if __name__ == "__main__":
    save(load(Path(sys.argv[1])), Path(sys.argv[2]))
