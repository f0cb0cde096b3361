"""Reads a GGUF file's header, to say what is wrong with a file before llama.cpp is given it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import dataclasses
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from llmservice.backends.files import require_readable
from llmservice.errors import ModelLoadError

MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ARRAY = 64
"""Longer arrays (vocabularies) are passed over."""
_MOST = 1 << 24
"""More keys, tensors or array items than any model has: the header is damaged."""
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    30: (1, 2),
}
"""Elements and bytes of a block, by ggml's type number, for the common types; others are not measured."""
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
POOLING_RANK = 4
ENCODERS = frozenset(
    {"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert"}
)
"""Architectures that read a text as a whole and cannot go on with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a file says of itself."""

    path: Path
    values: Mapping[str, Any]
    tensors: frozenset[str]

    @property
    def architecture(self) -> str:
        """Its name in llama.cpp, such as `llama` or `bert`."""
        return str(self.values.get("general.architecture", "unknown"))

    def number(self, key: str) -> int | None:
        """Return an integer of the architecture, such as `context_length`, or None."""
        value = self.values.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None

    @property
    def is_reranker(self) -> bool:
        """Whether it has a classifier on top."""
        return self.number("pooling_type") == POOLING_RANK or "cls.output.weight" in self.tensors

    @property
    def segments(self) -> int:
        """Kinds of token that it tells apart; a BERT has two."""
        value = self.values.get("tokenizer.ggml.token_type_count", 1)
        return value if isinstance(value, int) else 1


def read_gguf_header(path: Path) -> GgufHeader:
    """Read a header and compare the file's size with what it announces. Raises `ModelLoadError` with the reason."""
    require_readable(path)
    if path.is_dir():
        raise ModelLoadError(
            f"{path} is a directory and llama.cpp needs one GGUF file; name the .gguf file, or use the backend mlx "
            "(language models) or onnx (embeddings, reranking)"
        )
    with path.open("rb") as stream:
        magic = stream.read(4)
        if magic != MAGIC:
            raise ModelLoadError(
                f"{path} is not a GGUF file (it begins with {magic!r}); llama.cpp reads GGUF only: convert the model "
                "or download its GGUF form"
            )
        try:
            header, end = _read(stream, path)
        except (struct.error, EOFError, UnicodeDecodeError, OverflowError, MemoryError) as error:
            raise ModelLoadError(
                f"{path} is damaged: its GGUF header ends early or makes no sense; download or copy it again"
            ) from error
    size = path.stat().st_size
    if size < end:
        raise ModelLoadError(
            f"{path} is incomplete: {size} bytes of the {end} that its header announces; download or copy it again"
        )
    _require_all_parts(path)
    return header


def require_chat_model(header: GgufHeader) -> None:
    """Raise `ModelLoadError` where a file holds no language model."""
    if header.architecture in ENCODERS or header.is_reranker:
        kind = "a reranker" if header.is_reranker else "an embedding model"
        raise ModelLoadError(
            f"{header.path} is {kind} (architecture {header.architecture}) and cannot write text; use it for the "
            f"{'RERANKER' if header.is_reranker else 'EMBEDDING'} tier and give this tier a language model"
        )
    if not any(name.startswith("token_embd") for name in header.tensors):
        raise ModelLoadError(
            f"{header.path} (architecture {header.architecture}) holds no token embeddings, so it is no complete "
            "language model; an adapter or projector cannot be served alone"
        )


def require_embedding_model(header: GgufHeader) -> None:
    """Raise `ModelLoadError` where a file makes no vectors."""
    if header.is_reranker:
        raise ModelLoadError(f"{header.path} is a reranker and makes no vectors; use it for the RERANKER tier")
    if header.architecture not in ENCODERS and not header.number("pooling_type"):
        raise ModelLoadError(
            f"{header.path} is a language model (architecture {header.architecture}) that names no pooling, so it "
            "makes no vectors of texts; use it for a chat tier and give this tier an embedding model"
        )


def require_rerank_model(header: GgufHeader) -> None:
    """Raise `ModelLoadError` where a file cannot score pairs, or llama.cpp would score them wrongly."""
    if not header.is_reranker:
        raise ModelLoadError(
            f"{header.path} (architecture {header.architecture}) has no classifier, so it scores nothing; give this "
            "tier a reranker"
        )
    if header.segments > 1:
        raise ModelLoadError(
            f"{header.path} is a BERT cross-encoder with {header.segments} segment ids, and llama.cpp gives both "
            "texts the first: its scores would be wrong. Convert the original model to ONNX ("
            "llmservice convert) and use the backend onnx, or take an XLM-RoBERTa reranker such as bge-reranker-v2-m3"
        )


def _read(stream: BinaryIO, path: Path) -> tuple[GgufHeader, int]:
    """Return the header and how many bytes the file must have."""
    (version,) = _unpack(stream, "<I")
    if version not in (2, 3):
        raise ModelLoadError(
            f"{path} is GGUF version {version}; versions 2 and 3 are readable: convert it with a current llama.cpp"
        )
    tensor_count, value_count = _unpack(stream, "<QQ")
    _require_sane(tensor_count, value_count)
    values = {}
    for _ in range(value_count):
        key = _string(stream)
        (kind,) = _unpack(stream, "<I")
        values[key] = _value(stream, kind)
    names: set[str] = set()
    last = 0
    for _ in range(tensor_count):
        names.add(_string(stream))
        (dimensions,) = _unpack(stream, "<I")
        _require_sane(dimensions)
        sizes = _unpack(stream, f"<{dimensions}Q")
        kind, offset = _unpack(stream, "<IQ")
        block, width = _BLOCKS.get(kind, (1, 0))
        last = max(last, offset + math.prod(sizes) // block * width)
    alignment = values.get("general.alignment", 32) or 32
    start = -(-stream.tell() // alignment) * alignment
    return GgufHeader(path, values, frozenset(names)), start + last if tensor_count else 0


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(stream)
    if kind != _ARRAY:
        return _unpack(stream, "<" + _scalar(kind))[0]
    inner, count = _unpack(stream, "<IQ")
    _require_sane(count)
    if inner == _STRING:
        items = [_string(stream) for _ in range(count)]
        return items if count <= _KEPT_ARRAY else None
    if inner == _ARRAY:
        return [_value(stream, _ARRAY) for _ in range(count)]
    found = _unpack(stream, f"<{count}{_scalar(inner)}")
    return list(found) if count <= _KEPT_ARRAY else None


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise EOFError
    return _SCALARS[kind]


def _string(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "<Q")
    _require_sane(length)
    return _take(stream, length).decode("utf-8", "replace")


def _unpack(stream: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, _take(stream, struct.calcsize(form)))


def _take(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _require_sane(*counts: int) -> None:
    if any(count > _MOST for count in counts):
        raise EOFError


def _require_all_parts(path: Path) -> None:
    found = _SPLIT.search(path.name)
    if found is None:
        return
    part, total = int(found[1]), int(found[2])
    stem = path.name[: found.start()]
    if part != 1:
        raise ModelLoadError(f"{path} is part {part} of {total}; name the first part, {stem}-00001-of-{total:05}.gguf")
    missing = [
        name
        for number in range(2, total + 1)
        if not path.with_name(name := f"{stem}-{number:05}-of-{total:05}.gguf").is_file()
    ]
    if missing:
        raise ModelLoadError(
            f"{path} comes in {total} parts and {', '.join(missing)} is not beside it; download it too"
        )
