"""The graph file: GraphML as networkx writes it, with LightRAG's attributes.

Attributes are read by name, never by id.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from lightrag.storage.files.json_files import damaged
from lightrag.types import FIELD_SEPARATOR, Entity, Pair, Relation

_SPACE = "{http://graphml.graphdrawing.org/xmlns}"
_HEAD = """<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
_NODE_KEYS = (
    ("entity_id", "string"),
    ("entity_type", "string"),
    ("description", "string"),
    ("source_id", "string"),
    ("file_path", "string"),
    ("created_at", "long"),
    ("truncate", "string"),
)
_EDGE_KEYS = (
    ("weight", "double"),
    ("description", "string"),
    ("keywords", "string"),
    ("source_id", "string"),
    ("file_path", "string"),
    ("created_at", "long"),
    ("truncate", "string"),
)
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_IN_ATTRIBUTE = _ESCAPES | {ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}

Attributes = dict[str, str]


@dataclasses.dataclass(slots=True)
class StoredGraph:
    """What a graph file says, as texts."""

    nodes: dict[str, Attributes] = dataclasses.field(default_factory=dict)
    edges: dict[Pair, Attributes] = dataclasses.field(default_factory=dict)


def is_writable(name: str) -> bool:
    """Tell whether XML can hold a name."""
    return not _ILLEGAL.search(name)


def node_attributes(entity: Entity) -> Attributes:
    """Return what the graph file says of a node."""
    return {
        "entity_id": entity.name,
        "entity_type": _legal(entity.type),
        "description": _legal(entity.description),
        "source_id": _legal(FIELD_SEPARATOR.join(entity.chunk_ids)),
        "file_path": _legal(FIELD_SEPARATOR.join(entity.file_paths)),
        "created_at": str(entity.created_at),
        "truncate": _truncate(entity.chunk_ids, entity.mentions),
    }


def edge_attributes(relation: Relation) -> Attributes:
    """Return what the graph file says of an edge."""
    return {
        "weight": repr(relation.weight),
        "description": _legal(relation.description),
        "keywords": _legal(relation.keywords),
        "source_id": _legal(FIELD_SEPARATOR.join(relation.chunk_ids)),
        "file_path": _legal(FIELD_SEPARATOR.join(relation.file_paths)),
        "created_at": str(relation.created_at),
        "truncate": _truncate(relation.chunk_ids, relation.mentions),
    }


def entity_from(name: str, attributes: Attributes, mentions: int) -> Entity:
    """Return a node from its attributes; what older versions did not write gets a default."""
    return Entity(
        name=name,
        type=attributes.get("entity_type") or "UNKNOWN",
        description=attributes.get("description", ""),
        mentions=mentions,
        chunk_ids=_parts(attributes.get("source_id", "")),
        file_paths=_parts(attributes.get("file_path", "")),
        created_at=int(_number(attributes.get("created_at", ""), 0)),
    )


def relation_from(pair: Pair, attributes: Attributes, mentions: int) -> Relation:
    """Return an edge from its attributes."""
    return Relation(
        source=pair[0],
        target=pair[1],
        keywords=attributes.get("keywords", ""),
        description=attributes.get("description", ""),
        weight=_number(attributes.get("weight", ""), 1.0),
        mentions=mentions,
        chunk_ids=_parts(attributes.get("source_id", "")),
        file_paths=_parts(attributes.get("file_path", "")),
        created_at=int(_number(attributes.get("created_at", ""), 0)),
    )


def graphml_pieces(entities: Iterable[Entity], relations: Iterable[Relation]) -> Iterator[bytes]:
    """Yield a graph file in pieces. Names must be writable, and ends of relations among the entities."""
    yield _HEAD.encode()
    keys = [("node", *key) for key in _NODE_KEYS] + [("edge", *key) for key in _EDGE_KEYS]
    for number, (owner, name, kind) in reversed(list(enumerate(keys))):
        yield f'  <key id="d{number}" for="{owner}" attr.name="{name}" attr.type="{kind}" />\n'.encode()
    yield b'  <graph edgedefault="undirected">\n'
    for entity in entities:
        head = f'    <node id="{entity.name.translate(_IN_ATTRIBUTE)}">\n'
        yield (head + _data(node_attributes(entity), 0) + "    </node>\n").encode()
    for relation in relations:
        ends = [end.translate(_IN_ATTRIBUTE) for end in relation.pair]
        head = f'    <edge source="{ends[0]}" target="{ends[1]}">\n'
        yield (head + _data(edge_attributes(relation), len(_NODE_KEYS)) + "    </edge>\n").encode()
    yield b"  </graph>\n</graphml>\n"


def read_graphml(path: Path, data: bytes) -> StoredGraph:
    """Return nodes and edges; raises `StorageDamaged` where the file is cut off or no GraphML.

    Edges are undirected; of two between the same nodes the later one counts, one from a node to itself does not.
    """
    found, names = StoredGraph(), {}
    try:
        events = etree.iterparse(
            io.BytesIO(data), events=("end",), resolve_entities=False, no_network=True, huge_tree=True
        )
        for _, element in events:
            if element.tag == f"{_SPACE}key":
                names[element.get("id")] = element.get("attr.name")
            elif element.tag == f"{_SPACE}node":
                found.nodes[element.attrib["id"]] = _attributes(element, names)
                element.clear()
            elif element.tag == f"{_SPACE}edge":
                source, target = sorted((element.attrib["source"], element.attrib["target"]))
                if source != target:
                    found.edges[source, target] = _attributes(element, names)
                element.clear()
        if events.root is None or events.root.tag != f"{_SPACE}graphml":
            raise damaged(path, "no GraphML")
    except (etree.XMLSyntaxError, KeyError) as error:
        raise damaged(path, f"damaged or cut off ({error})") from error
    for end in (end for pair in found.edges for end in pair):
        # As networkx does.
        found.nodes.setdefault(end, {})
    return found


def _attributes(element: Any, names: dict[str, str]) -> Attributes:
    values = ((names.get(item.get("key")), item.text or "") for item in element.iter(f"{_SPACE}data"))
    return {name: text for name, text in values if name is not None}


def _data(attributes: Attributes, first: int) -> str:
    lines = []
    for number, text in enumerate(attributes.values(), first):
        body = f">{text.translate(_ESCAPES)}</data>" if text else " />"
        lines.append(f'      <data key="d{number}"{body}\n')
    return "".join(lines)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(FIELD_SEPARATOR) if part)


def _truncate(chunk_ids: tuple[str, ...], mentions: int) -> str:
    return f"KEEP {len(chunk_ids)}/{mentions}" if len(chunk_ids) < mentions else ""


def _number(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default
