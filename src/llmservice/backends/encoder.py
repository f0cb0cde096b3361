"""A text encoder on ONNX Runtime: its files, tokenizer and session, shared by embedders and rerankers."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmservice.backends.contracts import ModelSource
from llmservice.backends.files import read_json, require_readable
from llmservice.backends.token_batches import Ids, Tokens
from llmservice.errors import ModelLoadError

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    import tokenizers

Array = npt.NDArray[Any]
MODEL_NAMES = ("model.onnx", "onnx/model.onnx", "model_int8.onnx", "onnx/model_int8.onnx", "model_quantized.onnx")
"""Looked for in a directory, in this order."""
_DEFAULT_CONTEXT = 512
_ROBERTA = frozenset({"xlm-roberta", "roberta", "camembert", "xlm-roberta-xl"})
_SPREAD_BELOW = 200 << 20
"""Bytes of weights below which texts run side by side on one thread each; above, all threads share one text."""
_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "[CLS]", "[SEP]", "[PAD]", "[UNK]")


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderFiles:
    """Where an encoder's files lie and what its configuration says."""

    model: Path
    folder: Path
    """Holds `tokenizer.json`, and where there is one `config.json`."""
    config: Mapping[str, Any]
    context_length: int
    pooling: str
    """`mean` or `cls`, for models that give token vectors only."""
    pad: int


def find_encoder(source: ModelSource) -> EncoderFiles:
    """Find a model's files. Raises `ModelLoadError` where one is missing or of another kind."""
    require_readable(source.path)
    model = _find_model(source)
    folder = next(
        (place for place in (model.parent, model.parent.parent) if (place / "tokenizer.json").is_file()), None
    )
    if folder is None:
        raise ModelLoadError(
            f"There is no tokenizer.json beside {model}; copy it out of the model's original directory"
        )
    config = read_json(folder / "config.json")
    pooling = read_json(folder / "1_Pooling" / "config.json")
    return EncoderFiles(
        model,
        folder,
        config,
        _context_length(source, folder, config),
        str(
            source.options.get("pooling")
            or ("cls" if pooling.get("pooling_mode_cls_token") else _mean_or_cls(pooling, config))
        ),
        int(config.get("pad_token_id") or 0),
    )


class Encoder:
    """Turns texts into tokens and tokens into the model's outputs. `run` may be called from several threads."""

    def __init__(self, source: ModelSource, files: EncoderFiles) -> None:
        """Load; blocks. Raises `ModelLoadError`."""
        self.files = files
        self.tokenizer = _load_tokenizer(files.folder / "tokenizer.json")
        weights = sum(file.stat().st_size for file in files.model.parent.glob(files.model.name + "*"))
        self.runners = source.threads if weights < _SPREAD_BELOW else 1
        self.batches_alone = _quantises_activations(files.model)
        self._session = _load_session(files.model, max(1, source.threads // self.runners))
        self._inputs = {item.name: item.type for item in self._session.get_inputs()}
        known = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
        if "input_ids" not in self._inputs or set(self._inputs) - known:
            raise ModelLoadError(
                f"{files.model} takes the inputs {', '.join(self._inputs)}; a text encoder takes input_ids, "
                "attention_mask and at most token_type_ids: export the model as feature extraction"
            )
        self.outputs: list[tuple[str, list[int | str | None]]] = [
            (item.name, list(item.shape)) for item in self._session.get_outputs()
        ]
        self.special = frozenset(
            number for token in _SPECIAL if (number := self.tokenizer.token_to_id(token)) is not None
        )

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of texts, special ones included."""
        return [as_tokens(item) for item in self.tokenizer.encode_batch([_encodable(text) for text in texts])]

    def pair_encodings(self, first: str, seconds: Sequence[str]) -> list[tokenizers.Encoding]:
        """Return a text paired with each of others, as the tokenizer's own pairs."""
        opening = _encodable(first)
        return list(self.tokenizer.encode_batch([(opening, _encodable(second)) for second in seconds]))

    def plain_tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, without special ones."""
        return list(self.tokenizer.encode(_encodable(text), add_special_tokens=False).ids)

    def run(self, batch: Sequence[Tokens]) -> list[Array]:
        """Return the model's outputs, in the order of `outputs`, for sequences padded to the longest."""
        width = max(len(item.ids) for item in batch)
        shape = (len(batch), width)
        ids = np.full(shape, self.files.pad, np.int64)
        mask, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, item in enumerate(batch):
            length = len(item.ids)
            ids[row, :length] = item.ids
            mask[row, :length] = 1
            segments[row, :length] = item.segments
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        if "position_ids" in self._inputs:
            feeds["position_ids"] = self._positions(ids)
        wanted = {
            name: value.astype(np.int32) if self._inputs[name] == "tensor(int32)" else value
            for name, value in feeds.items()
            if name in self._inputs
        }
        found: list[Array] = self._session.run([name for name, _ in self.outputs], wanted)
        return found

    def close(self) -> None:
        """Release the model's memory."""
        self._session = None

    def _positions(self, ids: Ids) -> Ids:
        if self.files.config.get("model_type") in _ROBERTA:
            real = ids != self.files.pad
            counted: Ids = np.cumsum(real, axis=1) * real + self.files.pad
            return counted
        return np.broadcast_to(np.arange(ids.shape[1], dtype=np.int64), ids.shape).copy()


def as_tokens(encoding: tokenizers.Encoding) -> Tokens:
    """Return an encoding's ids and segments."""
    return Tokens(np.asarray(encoding.ids, np.int64), np.asarray(encoding.type_ids, np.int64))


def _find_model(source: ModelSource) -> Path:
    path = source.path
    if path.is_dir():
        named = source.options.get("file")
        names = (str(named),) if named else MODEL_NAMES
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise ModelLoadError(
                f"The directory {path} has no {names[0]}; make it out of the Hugging Face directory with "
                "llmservice convert, or name an .onnx file"
            )
        return found
    if path.suffix == ".gguf" or path.read_bytes()[:4] == b"GGUF":
        raise ModelLoadError(f"{path} is a GGUF file, which the backend onnx cannot read; set the backend llamacpp")
    if path.suffix != ".onnx":
        raise ModelLoadError(f"{path} is no .onnx file; the backend onnx needs one, or the directory that holds it")
    return path


def _context_length(source: ModelSource, folder: Path, config: Mapping[str, Any]) -> int:
    """Return how many tokens an input may have: what the tier says, at most what the model has positions for."""
    positions = config.get("max_position_embeddings")
    room = int(positions) if positions else None
    if room and config.get("model_type") in _ROBERTA:
        room -= int(config.get("pad_token_id") or 1) + 1
    if source.context_length:
        return min(source.context_length, room) if room else source.context_length
    limits = [room] if room else []
    sentence = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    tokenizer = read_json(folder / "tokenizer_config.json").get("model_max_length")
    limits += [int(limit) for limit in (sentence, tokenizer) if isinstance(limit, int | float) and 0 < limit < 1e6]
    return min(limits, default=_DEFAULT_CONTEXT)


def _mean_or_cls(pooling: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return `cls` for BGE's families, which are trained so, where no pooling is configured."""
    if pooling.get("pooling_mode_mean_tokens"):
        return "mean"
    return "cls" if "bge" in str(config.get("_name_or_path", "")).lower() else "mean"


def _load_tokenizer(path: Path) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError as error:  # pragma: no cover - a dependency of the base install
        raise ModelLoadError("The backend onnx needs the package tokenizers; install it") from error
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelLoadError(f"{path} is no readable tokenizer ({error}); download or copy it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _load_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:  # pragma: no cover - a dependency of the base install
        raise ModelLoadError("The backend onnx needs the package onnxruntime; install it") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Texts have many lengths, and the arena keeps the most that any of them took.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Threads that wait by spinning would take the processor from the other tiers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's exceptions share no narrower base
        raise ModelLoadError(
            f"ONNX Runtime could not load {path}: {str(error).strip()[:500]}. The file is damaged or incomplete (a "
            "model over 2 GB needs its data file beside it), or too new for this version; copy it again or convert "
            "it anew"
        ) from error


def _quantises_activations(path: Path) -> bool:
    """Whether scales are taken over a whole batch, so that a text's vector would depend on its neighbours."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"DynamicQuantize") >= 0


def _encodable(text: str) -> str:
    """Replace lone surrogates, which the tokenizer refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
