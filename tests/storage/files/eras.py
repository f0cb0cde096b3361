"""Working directories as LightRAG's versions write them, made from scratch: the oldest (S), 1.4 (M) and 1.5 (N)."""

from __future__ import annotations

import base64
import json
import zlib
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = {
    "a": "Alice leads Acme. Acme makes rockets in Bern.",
    "b": "Alice met Bob <b> at Acme & Co.",
}
ERAS = ("S", "M", "N")
DIMENSION = 4
_VECTORS = {name: np.eye(DIMENSION, dtype=np.float32)[i] for i, name in enumerate(("Alice", "Acme", "Bob"))}


def digest(text: str) -> str:
    """Return the MD5 that LightRAG's ids are made of."""
    return md5(text.encode()).hexdigest()


def doc_id(era: str, name: str) -> str:
    """Return the id of a text's document."""
    return f"doc-{digest(f'{name}.txt' if era == 'N' else TEXTS[name])}"


def chunk_id(era: str, name: str) -> str:
    """Return the id of a text's only chunk."""
    return f"{doc_id(era, name)}-chunk-000" if era == "N" else f"chunk-{digest(TEXTS[name])}"


def write_era(folder: Path, era: str) -> Path:
    """Write a working directory with two processed documents, and in S a third one that waits."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = {name: chunk_id(era, name) for name in TEXTS}
    _write_texts(folder, era, chunks)
    _write_cache(folder, era, chunks)
    _write_graph(folder, era, chunks)
    _write_vectors(folder, era, chunks)
    if era != "S":
        _write_tracking(folder, era, chunks)
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write JSON as LightRAG does."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def _times(era: str, key: str) -> dict[str, Any]:
    return {} if era == "S" else {"create_time": 1700000000, "update_time": 1700000001, "_id": key}


def _write_texts(folder: Path, era: str, chunks: dict[str, str]) -> None:
    docs: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    status: dict[str, Any] = {}
    for name, text in TEXTS.items():
        id = doc_id(era, name)
        docs[id] = {"content": text, **_times(era, id)}
        rows[chunks[name]] = {"tokens": 9, "content": text, "chunk_order_index": 0, "full_doc_id": id}
        status[id] = {"status": "processed", "chunks_count": 1, "content_summary": text, "content_length": len(text)}
        if era == "S":
            status[id] |= {"content": text, "created_at": "2025-03-07T10:00:00.5", "updated_at": "2025-03-07T10:01:00"}
            continue
        docs[id]["file_path"] = f"{name}.txt"
        rows[chunks[name]] |= {"file_path": f"{name}.txt", "llm_cache_list": [f"default:extract:{name}"]}
        rows[chunks[name]] |= _times(era, chunks[name])
        status[id] |= {
            "chunks_list": [chunks[name]],
            "created_at": "2025-11-20T15:36:40.483801+00:00",
            "updated_at": "2025-11-20T15:36:41+00:00",
            "file_path": f"{name}.txt",
            "track_id": "insert_20251120_153640_2eeab229",
            "metadata": {"processing_start_time": 1700000000},
        }
        if era == "N":
            docs[id] |= {"parse_format": "raw", "content_hash": digest(text)}
            status[id]["content_hash"] = digest(text)
    if era == "S":
        # Its text exists nowhere else.
        status["doc-waiting"] = {
            "status": "pending",
            "content": "Carol waits.",
            "content_summary": "Carol waits.",
            "content_length": 12,
            "created_at": "2025-03-07T10:02:00",
            "updated_at": "2025-03-07T10:02:00",
        }
        status["doc-broken"] = status["doc-waiting"] | {"status": "failed", "error": "'metadata'", "content": "Dan."}
    write_json(folder / "kv_store_full_docs.json", docs)
    write_json(folder / "kv_store_text_chunks.json", rows)
    write_json(folder / "kv_store_doc_status.json", status)


def _answers(era: str) -> dict[str, str]:
    if era == "S":
        return {
            "a": '("entity"<|>"Alice"<|>"person"<|>"Alice leads a company.")##\n("entity"<|>"ACME"<|>"organization"<|>'
            '"Acme makes rockets.")##\n("relationship"<|>"Alice"<|>"Acme"<|>"Alice leads Acme."<|>"leadership"<|>7)'
            '##\n("content_keywords"<|>"rockets")<|COMPLETE|>',
            "b": '("entity"<|>"Alice"<|>"person"<|>"Alice met Bob.")##\n("entity"<|>"Bob"<|>"person"<|>"Bob & Co.")##\n'
            '("relationship"<|>"Alice"<|>"Bob"<|>"They met."<|>"meeting"<|>2)<|COMPLETE|>',
        }
    if era == "N":
        a: dict[str, Any] = {
            "entities": [
                {"name": "Alice", "type": "Person", "description": "Alice leads a company."},
                {"name": "Acme", "type": "Organization", "description": "Acme makes rockets."},
            ],
            "relationships": [
                {"source": "Alice", "target": "Acme", "keywords": "leadership", "description": "Alice leads Acme."}
            ],
        }
        b: dict[str, Any] = {
            "entities": [
                {"name": "Alice", "type": "Person", "description": "Alice met Bob."},
                {"name": "Bob", "type": "Person", "description": "Bob & Co."},
            ],
            "relationships": [
                {"source": "Bob", "target": "Alice", "keywords": ["meeting"], "description": "They met."}
            ],
        }
        return {"a": json.dumps(a), "b": json.dumps(b)}
    return {
        "a": "entity<|#|>Alice<|#|>person<|#|>Alice leads a company.\nentity<|#|>Acme<|#|>organization<|#|>Acme makes"
        " rockets.\nrelation<|#|>Alice<|#|>Acme<|#|>leadership<|#|>Alice leads Acme.\n<|COMPLETE|>",
        "b": "entity<|#|>Alice<|#|>person<|#|>Alice met Bob.\nentity<|#|>Bob<|#|>person<|#|>Bob & Co.\n"
        "relation<|#|>Alice<|#|>Bob<|#|>meeting<|#|>They met.\n<|COMPLETE|>",
    }


def _write_cache(folder: Path, era: str, chunks: dict[str, str]) -> None:
    answers = _answers(era)
    if era == "S":
        default = {
            name: {
                "return": answer,
                "cache_type": "extract",
                "embedding": None,
                "original_prompt": "---Goal---\nText:\nAn example.\n######\n---Real Data---\n"
                f"Text:\n{TEXTS[name]}\n######\nOutput:",
            }
            for name, answer in answers.items()
        }
        cache: dict[str, Any] = {"default": default, "mix": {"q": {"return": "An answer.", "cache_type": "query"}}}
    else:
        cache = {
            f"default:extract:{name}": {
                "return": answer,
                "cache_type": "extract",
                "chunk_id": chunks[name],
                "original_prompt": "…",
                "queryparam": None,
                **_times(era, f"default:extract:{name}"),
            }
            for name, answer in answers.items()
        }
    write_json(folder / "kv_store_llm_response_cache.json", cache)


def _write_graph(folder: Path, era: str, chunks: dict[str, str]) -> None:
    a, b = chunks["a"], chunks["b"]
    nodes: dict[str, dict[str, Any]] = {
        "Alice": {"type": "person", "text": "Alice leads a company.<SEP>Alice met Bob.", "chunks": [a, b]},
        "Acme": {"type": "organization", "text": "Acme makes rockets.", "chunks": [a]},
        "Bob": {"type": "person", "text": "Bob & Co.", "chunks": [b]},
    }
    edges: dict[tuple[str, str], dict[str, Any]] = {
        ("Alice", "Acme"): {"weight": 7.0 if era == "S" else 1.0, "text": "Alice leads Acme.", "words": "leadership"},
        ("Bob", "Alice"): {"weight": 2.0 if era == "S" else 1.0, "text": "They met.", "words": "meeting"},
    }
    lines = ["<?xml version='1.0' encoding='utf-8'?>", '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">']
    node_keys = ["entity_id", "entity_type", "description", "source_id"]
    edge_keys = ["weight", "description", "keywords", "source_id"]
    if era != "S":
        node_keys += ["file_path", "created_at", "truncate"]
        edge_keys += ["file_path", "created_at", "truncate"]
    for number, (owner, key) in enumerate([("node", k) for k in node_keys] + [("edge", k) for k in edge_keys]):
        lines.append(f'<key id="d{number}" for="{owner}" attr.name="{key}" attr.type="string"/>')
    lines.append('<graph edgedefault="undirected">')
    for name, node in nodes.items():
        values = [name, node["type"], node["text"], "<SEP>".join(node["chunks"]), "a.txt", "1700000000", ""]
        lines.append(f'<node id="{name}">{_data(values[: len(node_keys)], 0)}</node>')
    for (source, target), edge in edges.items():
        where = a if "Acme" in (source, target) else b
        values = [str(edge["weight"]), edge["text"], edge["words"], where, "a.txt", "1700000000", ""]
        data = _data(values[: len(edge_keys)], len(node_keys))
        lines.append(f'<edge source="{source}" target="{target}">{data}</edge>')
    lines.append("</graph></graphml>")
    (folder / "graph_chunk_entity_relation.graphml").write_text("\n".join(lines), encoding="utf-8")


def _data(values: list[str], first: int) -> str:
    escaped = [value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for value in values]
    return "".join(f'<data key="d{number}">{value}</data>' for number, value in enumerate(escaped, first))


def _write_vectors(folder: Path, era: str, chunks: dict[str, str]) -> None:
    texts = {"Alice": "Alice leads a company.<SEP>Alice met Bob.", "Acme": "Acme makes rockets.", "Bob": "Bob & Co."}
    _write_vdb(
        folder / "vdb_entities.json",
        era,
        [
            ({"__id__": f"ent-{digest(n)}", "entity_name": n, "content": f"{n}\n{text}"}, _VECTORS[n])
            for n, text in texts.items()
        ],
    )
    _write_vdb(
        folder / "vdb_relationships.json",
        era,
        [
            (_relation("Acme", "Alice", "leadership", "Alice leads Acme.", era), np.float32([1, 1, 0, 0])),
            (_relation("Alice", "Bob", "meeting", "They met.", era), np.float32([1, 0, 1, 0])),
        ],
    )
    _write_vdb(
        folder / "vdb_chunks.json",
        era,
        [
            ({"__id__": chunks[name], "content": text, "full_doc_id": doc_id(era, name)}, np.float32([1, i, 0, 3]))
            for i, (name, text) in enumerate(TEXTS.items())
        ],
    )


def _relation(source: str, target: str, keywords: str, text: str, era: str) -> dict[str, Any]:
    old, new = f"{source}\t{target}\n{keywords}\n{text}", f"{keywords}\t{source}\n{target}\n{text}"
    return {
        "__id__": f"rel-{digest(source + target)}",
        "src_id": source,
        "tgt_id": target,
        "content": old if era == "S" else new,
    }


def _write_vdb(path: Path, era: str, rows: list[tuple[dict[str, Any], np.ndarray[Any, Any]]]) -> None:
    data = []
    for fields, vector in rows:
        record = {"__created_at__": 1700000000.25 if era == "S" else 1700000000, **fields}
        if era != "S":
            record["vector"] = base64.b64encode(zlib.compress(vector.astype(np.float16).tobytes())).decode()
        if era == "N":
            record["__write_seq__"] = 17
        data.append(record)
    matrix = np.stack([vector / np.linalg.norm(vector) for _, vector in rows]).astype("<f4")
    text = base64.b64encode(matrix.tobytes()).decode()
    path.write_text(json.dumps({"embedding_dim": DIMENSION, "data": data, "matrix": text}), encoding="utf-8")


def _write_tracking(folder: Path, era: str, chunks: dict[str, str]) -> None:
    a, b = chunks["a"], chunks["b"]
    names = {"Alice": [a, b], "Acme": [a], "Bob": [b]}
    pairs = {"Acme<SEP>Alice": [a], "Alice<SEP>Bob": [b]}
    for file, places in (("entity_chunks", names), ("relation_chunks", pairs)):
        rows = {key: {"chunk_ids": ids, "count": len(ids), **_times(era, key)} for key, ids in places.items()}
        write_json(folder / f"kv_store_{file}.json", rows)
    entities = {"a": ["Acme", "Alice"], "b": ["Alice", "Bob"]}
    full = {doc_id(era, n): {"entity_names": found, "count": 2} for n, found in entities.items()}
    write_json(folder / "kv_store_full_entities.json", full)
    relations = {doc_id(era, n): {"relation_pairs": [found], "count": 1} for n, found in entities.items()}
    write_json(folder / "kv_store_full_relations.json", relations)
