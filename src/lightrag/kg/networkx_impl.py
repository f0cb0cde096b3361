"""A graph of its own in a GraphML file, in LightRAG's form; usable without an engine."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from lightrag.base import BaseGraphStorage
from lightrag.storage.files.durable import write_durably
from lightrag.types import KnowledgeGraph, KnowledgeGraphEdge, KnowledgeGraphNode
from lightrag.utils import strip_control_characters

Data = dict[str, Any]
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_TYPES: dict[type, str] = {bool: "boolean", int: "long", float: "double"}
_READ: dict[str, Any] = {
    "long": int,
    "int": int,
    "double": float,
    "float": float,
    "boolean": lambda text: text == "true",
}


@dataclasses.dataclass
class NetworkXStorage(BaseGraphStorage):
    """An undirected graph with properties, held in memory and written by `index_done_callback`."""

    def __post_init__(self) -> None:
        folder = Path(self.global_config.get("working_dir", ".")) / self.workspace
        self._path = folder / f"graph_{self.namespace}.graphml"
        self._nodes: dict[str, Data] = {}
        self._edges: dict[str, dict[str, Data]] = {}

    async def initialize(self) -> None:
        """Read the file, where there is one."""
        if self._path.exists():
            self._nodes, self._edges = await asyncio.to_thread(_read, self._path)

    async def finalize(self) -> None:
        """Write the file."""
        await self.index_done_callback()

    async def index_done_callback(self) -> None:
        """Write the file, atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = _graphml(self._nodes, self._edges).encode()
        temporary = self._path.with_suffix(".graphml.new")

        def write() -> None:
            write_durably(temporary, [text])
            temporary.replace(self._path)

        await asyncio.to_thread(write)

    async def drop(self) -> dict[str, str]:
        """Delete everything, the file too."""
        self._nodes.clear()
        self._edges.clear()
        self._path.unlink(missing_ok=True)
        return {"status": "success", "message": "data dropped"}

    async def has_node(self, node_id: str) -> bool:
        """Whether a node exists."""
        return node_id in self._nodes

    async def has_edge(self, source_node_id: str, target_node_id: str) -> bool:
        """Whether an edge exists."""
        return target_node_id in self._edges.get(source_node_id, {})

    async def node_degree(self, node_id: str) -> int:
        """Return the number of edges on a node."""
        return len(self._edges.get(node_id, {}))

    async def edge_degree(self, src_id: str, tgt_id: str) -> int:
        """Return the sum of the degrees of both ends."""
        return await self.node_degree(src_id) + await self.node_degree(tgt_id)

    async def get_node(self, node_id: str) -> Data | None:
        """Return a copy of a node's properties."""
        node = self._nodes.get(node_id)
        return dict(node) if node is not None else None

    async def get_edge(self, source_node_id: str, target_node_id: str) -> Data | None:
        """Return a copy of an edge's properties."""
        edge = self._edges.get(source_node_id, {}).get(target_node_id)
        return dict(edge) if edge is not None else None

    async def get_node_edges(self, source_node_id: str) -> list[tuple[str, str]] | None:
        """Return the edges on a node; None where it does not exist."""
        if source_node_id not in self._nodes:
            return None
        return [(source_node_id, other) for other in self._edges.get(source_node_id, {})]

    async def upsert_node(self, node_id: str, node_data: Data) -> None:
        """Insert or update a node."""
        self._nodes.setdefault(node_id, {}).update(node_data)

    async def upsert_edge(self, source_node_id: str, target_node_id: str, edge_data: Data) -> None:
        """Insert or update an edge; ends that do not exist are made."""
        for node_id in (source_node_id, target_node_id):
            self._nodes.setdefault(node_id, {})
        edge = self._edges.get(source_node_id, {}).get(target_node_id, {})
        edge.update(edge_data)
        self._edges.setdefault(source_node_id, {})[target_node_id] = edge
        self._edges.setdefault(target_node_id, {})[source_node_id] = edge

    async def delete_node(self, node_id: str) -> None:
        """Remove a node with its edges."""
        self._nodes.pop(node_id, None)
        for other in self._edges.pop(node_id, {}):
            self._edges.get(other, {}).pop(node_id, None)

    async def remove_nodes(self, nodes: list[str]) -> None:
        """Remove nodes with their edges."""
        for node_id in nodes:
            await self.delete_node(node_id)

    async def remove_edges(self, edges: list[tuple[str, str]]) -> None:
        """Remove edges."""
        for source, target in edges:
            self._edges.get(source, {}).pop(target, None)
            self._edges.get(target, {}).pop(source, None)

    async def get_all_labels(self) -> list[str]:
        """Return all node ids, sorted."""
        return sorted(self._nodes)

    async def get_popular_labels(self, limit: int = 300) -> list[str]:
        """Return node ids by degree."""
        return sorted(self._nodes, key=lambda node_id: (-len(self._edges.get(node_id, {})), node_id))[:limit]

    async def search_labels(self, query: str, limit: int = 50) -> list[str]:
        """Return node ids that contain a text: the same first, then those that begin with it, then short ones."""
        wanted = query.strip().casefold()
        if not wanted:
            return []
        found = [name for name in self._nodes if wanted in name.casefold()]

        def order(name: str) -> tuple[bool, bool, int, str]:
            low = name.casefold()
            return (low != wanted, not low.startswith(wanted), len(name), name)

        return sorted(found, key=order)[:limit]

    async def get_all_nodes(self) -> list[Data]:
        """Return all nodes: their properties and `id`."""
        return [{**data, "id": node_id} for node_id, data in self._nodes.items()]

    async def get_all_edges(self) -> list[Data]:
        """Return all edges: their properties, `source` and `target`."""
        return [{**data, "source": source, "target": target} for source, target, data in _pairs(self._edges)]

    async def get_knowledge_graph(self, node_label: str, max_depth: int = 3, max_nodes: int = 1000) -> KnowledgeGraph:
        """Return the neighbourhood of a node by breadth; `*` for the whole graph by degree."""
        if node_label == "*":
            names = await self.get_popular_labels(max_nodes)
            return self._view(names, is_truncated=len(self._nodes) > max_nodes)
        if node_label not in self._nodes:
            return KnowledgeGraph()
        chosen = {node_label: None}
        level = [node_label]
        for _ in range(max_depth):
            fresh = {other for name in level for other in self._edges.get(name, {}) if other not in chosen}
            level = sorted(fresh, key=lambda name: (-len(self._edges.get(name, {})), name))
            room = max_nodes - len(chosen)
            chosen.update(dict.fromkeys(level[:room]))
            if len(level) > room:
                return self._view(list(chosen), is_truncated=True)
        return self._view(list(chosen), is_truncated=False)

    def _view(self, names: list[str], *, is_truncated: bool) -> KnowledgeGraph:
        shown = set(names)
        nodes = [KnowledgeGraphNode(id=name, labels=[name], properties=dict(self._nodes[name])) for name in names]
        edges = [
            KnowledgeGraphEdge(
                id=f"{source}-{target}", type="DIRECTED", source=source, target=target, properties=dict(data)
            )
            for source, target, data in _pairs(self._edges)
            if source in shown and target in shown
        ]
        return KnowledgeGraph(nodes=nodes, edges=edges, is_truncated=is_truncated)


def _pairs(edges: dict[str, dict[str, Data]]) -> list[tuple[str, str, Data]]:
    """Return each edge once."""
    seen: set[int] = set()
    found = []
    for source, others in edges.items():
        for target, data in others.items():
            if id(data) not in seen:
                seen.add(id(data))
                found.append((source, target, data))
    return found


def _graphml(nodes: dict[str, Data], edges: dict[str, dict[str, Data]]) -> str:
    keys: dict[tuple[str, str, str], str] = {}

    def data(kind: str, properties: Data) -> str:
        parts = []
        for name, value in properties.items():
            form = _TYPES.get(type(value), "string")
            key = keys.setdefault((kind, name, form), f"d{len(keys)}")
            text = str(value).lower() if isinstance(value, bool) else strip_control_characters(str(value))
            parts.append(f'<data key="{key}">{escape(text)}</data>')
        return "".join(parts)

    def attribute(text: str) -> str:
        return quoteattr(strip_control_characters(text))

    body = [f"<node id={attribute(name)}>{data('node', properties)}</node>" for name, properties in nodes.items()]
    body += [
        f"<edge source={attribute(source)} target={attribute(target)}>{data('edge', properties)}</edge>"
        for source, target, properties in _pairs(edges)
    ]
    head = [
        f'<key id="{id}" for="{kind}" attr.name={quoteattr(name)} attr.type="{form}"/>'
        for (kind, name, form), id in keys.items()
    ]
    lines = [
        "<?xml version='1.0' encoding='utf-8'?>",
        f'<graphml xmlns="{_NAMESPACE}">',
        *head,
        '<graph edgedefault="undirected">',
        *body,
        "</graph>",
        "</graphml>",
    ]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> tuple[dict[str, Data], dict[str, dict[str, Data]]]:
    root = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
    names = {
        key.get("id"): (key.get("attr.name"), _READ.get(key.get("attr.type"), str))
        for key in root.iter(f"{{{_NAMESPACE}}}key")
    }

    def data(element: Any) -> Data:
        found: Data = {}
        for item in element.iter(f"{{{_NAMESPACE}}}data"):
            name, convert = names[item.get("key")]
            found[name] = convert(item.text or "")
        return found

    nodes = {node.get("id"): data(node) for node in root.iter(f"{{{_NAMESPACE}}}node")}
    edges: dict[str, dict[str, Data]] = {}
    for edge in root.iter(f"{{{_NAMESPACE}}}edge"):
        source, target, properties = edge.get("source"), edge.get("target"), data(edge)
        edges.setdefault(source, {})[target] = properties
        edges.setdefault(target, {})[source] = properties
    return nodes, edges
