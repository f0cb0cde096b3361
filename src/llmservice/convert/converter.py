"""Converts a directory: finds out what model it holds, writes the ONNX file and what belongs beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmservice.backends.files import read_json, require_readable
from llmservice.convert.encoder_graph import IDS, MASK, SEGMENTS, EncoderGraph, EncoderShape
from llmservice.convert.graph import Graph
from llmservice.convert.weights import read_directory, read_safetensors, read_torch
from llmservice.errors import ModelLoadError

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx_data"
BESIDE = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
INLINE_LIMIT = 1_800_000_000
"""Bytes of weights from which they go into a file of their own: a protobuf holds at most 2 GiB."""
_FAMILIES = {"bert": False, "xlm-roberta": True, "roberta": True, "camembert": True}
"""Whether a family counts positions from the pad id."""
_ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu_fast": "tanh", "relu": "relu"}
_WORDS = "embeddings.word_embeddings.weight"
_HEADS = ("sparse_linear", "colbert_linear")

Tensors = dict[str, npt.NDArray[Any]]


def convert_directory(source: Path, target: Path, *, int8: bool = False, inline_limit: int = INLINE_LIMIT) -> Path:
    """Write `model.onnx` and its companions into `target`; return the model's path.

    The outputs are `dense_vecs`, `sparse_vecs` and `colbert_vecs` for BGE-M3, `logits` for a reranker and
    `sentence_embedding` for another embedder. Nothing is left behind where it fails. Raises `ModelLoadError`.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelLoadError("Converting needs the package onnx; install lightrag-server[convert]") from error
    require_readable(source)
    if not source.is_dir():
        raise ModelLoadError(f"{source} is no directory; name the one that holds config.json and the weights")
    config = read_json(source / "config.json")
    shape = _shape(source, config)
    if not (source / "tokenizer.json").is_file():
        raise ModelLoadError(f"{source} has no tokenizer.json; download it too, or save the fast tokenizer there")
    tensors = _tensors(source)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".convert-") as work:
        folder = Path(work)
        size = sum(value.nbytes for value in tensors.values()) // (4 if int8 else 1)
        data = folder / DATA_FILE if size > inline_limit else None
        try:
            _write(folder / MODEL_FILE, Graph(int8=int8, data=data), shape, tensors, _pooling(source))
        except KeyError as error:
            raise ModelLoadError(f"The weights in {source} lack {error}; download the whole directory again") from error
        for name in BESIDE:
            if (source / name).is_file():
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, folder / name)
        _move(folder, target)
    return target / MODEL_FILE


def _shape(source: Path, config: Mapping[str, Any]) -> EncoderShape:
    kind = str(config.get("model_type", ""))
    if kind not in _FAMILIES:
        raise ModelLoadError(
            f"{source} is a model of type {kind or 'unknown'}; {', '.join(_FAMILIES)} can be converted. For others "
            "look for an ONNX export by their makers"
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelLoadError(
            f"{source} has {config['position_embedding_type']} positions; only absolute ones are known"
        )
    activation = str(config.get("hidden_act", "gelu"))
    if activation not in _ACTIVATIONS:
        raise ModelLoadError(f"{source} has the activation {activation}; known are {', '.join(_ACTIVATIONS)}")
    try:
        return EncoderShape(
            heads=int(config["num_attention_heads"]),
            layers=int(config["num_hidden_layers"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=_ACTIVATIONS[activation],
            pad=int(config.get("pad_token_id", 1)) if _FAMILIES[kind] else None,
            segments=int(config.get("type_vocab_size", 1)) > 1,
        )
    except KeyError as error:
        raise ModelLoadError(f"config.json in {source} lacks {error}; download it again") from error


def _tensors(source: Path) -> Tensors:
    """Return the weights by the names that they have in a bare encoder, heads beside them."""
    weights = read_directory(source)
    found = next((name for name in weights if name.endswith(_WORDS)), None)
    if found is None:
        raise ModelLoadError(f"The weights in {source} hold no word embeddings; they are no encoder's")
    prefix = found.removesuffix(_WORDS)
    tensors = {name.removeprefix(prefix): weights[name] for name in weights}
    for head in _HEADS:
        for path, read in ((source / f"{head}.pt", read_torch), (source / f"{head}.safetensors", read_safetensors)):
            if path.is_file():
                tensors |= {f"{head}.{name}": tensor() for name, tensor in read(path).items()}
                break
    return tensors


def _pooling(source: Path) -> str:
    return "cls" if read_json(source / "1_Pooling" / "config.json").get("pooling_mode_cls_token") else "mean"


def _write(path: Path, graph: Graph, shape: EncoderShape, tensors: Tensors, pooling: str) -> None:
    from onnx import TensorProto, helper

    encoder = EncoderGraph(graph, shape, tensors)
    hidden = encoder.hidden()
    width = len(tensors["embeddings.LayerNorm.weight"])
    outputs: dict[str, list[str | int]]
    if all(f"{head}.weight" in tensors for head in _HEADS):
        encoder.named("dense_vecs", encoder.first(hidden))
        encoder.sparse(hidden)
        encoder.colbert(hidden)
        rows = len(tensors["colbert_linear.weight"])
        outputs = {
            "dense_vecs": ["batch", width],
            "sparse_vecs": ["batch", "tokens", 1],
            "colbert_vecs": ["batch", "tokens_after_first", rows],
        }
    elif any(name.startswith("classifier.") for name in tensors):
        outputs = {"logits": ["batch", _add_classifier(encoder, hidden, tensors)]}
    else:
        encoder.named("sentence_embedding", encoder.first(hidden) if pooling == "cls" else encoder.mean(hidden))
        outputs = {"sentence_embedding": ["batch", width]}
    names = [IDS, MASK, SEGMENTS] if shape.segments else [IDS, MASK]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs.items()]
    graph.save(path, inputs, results, "encoder")


def _add_classifier(encoder: EncoderGraph, hidden: str, tensors: Tensors) -> int:
    """Add the head of a cross-encoder; return how many scores it gives."""
    inner, outer = ("classifier.dense", "classifier.out_proj")
    if f"{inner}.weight" not in tensors:
        inner, outer = "pooler.dense", "classifier"
    first = encoder.first(hidden)
    if f"{inner}.weight" in tensors:
        first = encoder.tanh("head.active", encoder.linear("head.inner", first, inner))
    encoder.named("logits", encoder.linear("head.outer", first, outer))
    return int(np.shape(tensors[f"{outer}.weight"])[0])


def _move(folder: Path, target: Path) -> None:
    """Put the finished files into place, the model last."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.name == MODEL_FILE)
    for file in files:
        place = target / file.relative_to(folder)
        place.parent.mkdir(exist_ok=True)
        file.replace(place)
    if not any(file.name == DATA_FILE for file in files):
        (target / DATA_FILE).unlink(missing_ok=True)
