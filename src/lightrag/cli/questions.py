"""`lightrag ask` and `lightrag search`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.cli.running import FAILED, OK, Where, console
from lightrag.cli.targets import Cited, Ending, Question
from lightrag.types import TakesBack

CUT_NOTE = "The answer was cut off at the model's length limit."
SNIPPET_CHARS = 160
SHOWN_PLACES = 6
SHOWN_GRAPH_ITEMS = 10


async def ask(where: Where, question: Question, *, streams: bool, explains: bool, as_json: bool) -> int:
    """Print the answer, as it is written or when it is complete, then where it stands."""
    async with where.target(indexes=False) as target:
        answer = await target.ask(question)
        text: list[str] = []
        async for piece in answer.pieces:
            if piece.__class__ is TakesBack:
                text.clear()
            else:
                text.append(piece)
            if streams and not as_json:
                sys.stdout.write(piece)
                sys.stdout.flush()
    whole = "".join(text)
    if as_json:
        references = [
            {"reference_id": item.reference_id, "file_path": item.file_path, "passages": list(item.passages)}
            for item in answer.references
        ]
        told = {"answer": whole, "references": references, **dataclasses.asdict(answer.ending)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return OK
    if not streams:
        sys.stdout.write(whole)
    sys.stdout.write("\n" if whole.endswith("\n") else "\n\n")
    for line in reference_lines(answer.references):
        sys.stdout.write(line + "\n")
    # Beside the answer, not in it: what is piped on stays the answer.
    for note in _notes(answer.ending, explains=explains):
        console(on_stderr=True).print(note, style="dim", markup=False)
    return OK


def _notes(ending: Ending, *, explains: bool) -> list[str]:
    notes = [CUT_NOTE] if ending.is_cut else []
    if explains:
        notes.append(f"Written by {ending.model}." if ending.model else "No language model wrote the answer.")
    return notes


def reference_lines(references: Sequence[Cited]) -> list[str]:
    """Return one line per cited document, with pages where it has them and character spans."""
    return [f"[{item.reference_id}] {item.file_path}{_places(item.passages)}" for item in references]


def _places(passages: Sequence[Mapping[str, Any]]) -> str:
    ordered = sorted(passages, key=lambda passage: passage["start"])
    shown = [place(passage) for passage in ordered[:SHOWN_PLACES]]
    if len(ordered) > SHOWN_PLACES:
        shown.append(f"and {len(ordered) - SHOWN_PLACES} more")
    return f" ({'; '.join(shown)})" if shown else ""


def place(passage: Mapping[str, Any]) -> str:
    """Return where a passage stands: page, then characters of the document's text."""
    first, last = passage.get("page_start"), passage.get("page_end")
    pages = "" if first is None else f"p. {first}, " if last in (None, first) else f"pp. {first}-{last}, "
    return f"{pages}characters {passage['start']}-{passage['end']}"


async def search(where: Where, question: Question, *, explains: bool, as_json: bool) -> int:
    """Print the passages that are found, best first; exit status 1 where there are none."""
    async with where.target(indexes=False) as target:
        found = await target.search(question)
    data = found.get("data") or {}
    chunks = data.get("chunks")
    status = OK if chunks else FAILED
    if as_json:
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return status
    out = console()
    if chunks:
        out.print(_passages(chunks, explains=explains))
    else:
        out.print("no passage was found", markup=False)
    if explains:
        _print_graph(data, found.get("metadata", {}))
    return status


def _passages(chunks: Sequence[Mapping[str, Any]], *, explains: bool) -> Any:
    """Return a table; when it explains, with a column of ranks for each list that found anything."""
    from rich.table import Table
    from rich.text import Text

    lists = list(dict.fromkeys(item["list"] for chunk in chunks for item in chunk.get("found_by", [])))
    table = Table(show_lines=explains, caption="score, and rank (score) in each list" if explains else None)
    for heading in ["#", "score", *lists] if explains else ["#"]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("passage", overflow="fold")
    for rank, chunk in enumerate(chunks, start=1):
        row = [str(rank)]
        if explains:
            found = {item["list"]: f"{item['rank']} ({item['score']:.2g})" for item in chunk.get("found_by", [])}
            row += [f"{chunk['score']:.3g}", *(found.get(name, "-") for name in lists)]
        passage = Text(f"{chunk['file_path']}, {place(chunk)}\n", "bold").append(_snippet(chunk["content"]), "not bold")
        # Text, not markup: documents may hold square brackets.
        table.add_row(*(Text(cell) for cell in row), passage)
    return table


def _snippet(content: str) -> str:
    text = " ".join(content[: 2 * SNIPPET_CHARS].split())
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"


def _print_graph(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    out = console()
    keywords = metadata.get("keywords", {})
    out.print(f"names and terms: {', '.join(keywords.get('low_level', [])) or '-'}", markup=False)
    out.print(f"themes: {', '.join(keywords.get('high_level', [])) or '-'}", markup=False)
    if metadata.get("keywords_model"):
        out.print(f"named by: {metadata['keywords_model']}", markup=False)
    entities = [item["entity_name"] for item in data.get("entities", [])]
    relations = [f"{item['src_id']} - {item['tgt_id']}" for item in data.get("relationships", [])]
    for title, names in (("entities", entities), ("relations", relations)):
        shown = ", ".join(names[:SHOWN_GRAPH_ITEMS]) or "-"
        more = f" and {len(names) - SHOWN_GRAPH_ITEMS} more" if len(names) > SHOWN_GRAPH_ITEMS else ""
        out.print(f"{title}: {shown}{more}", markup=False)
    for name, count in metadata.get("processing_info", {}).items():
        out.print(f"{name}: {count}", markup=False)
