"""Makes tiny random encoders in Hugging Face's layout: BGE-M3 with its heads, rerankers, a BERT embedder."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmservice.testing.corpus import CORPUS

Tensors = dict[str, npt.NDArray[np.float32]]
WIDTH, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 130
_UNIGRAM_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_WORDPIECE_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MATRICES = {
    "attention.self.query": (WIDTH, WIDTH),
    "attention.self.key": (WIDTH, WIDTH),
    "attention.self.value": (WIDTH, WIDTH),
    "attention.output.dense": (WIDTH, WIDTH),
    "intermediate.dense": (INNER, WIDTH),
    "output.dense": (WIDTH, INNER),
}


def make_tiny_bge_m3(folder: Path, seed: int = 3) -> Path:
    """Write a directory as BGE-M3 comes in: weights, `sparse_linear.pt`, `colbert_linear.pt`, tokenizer."""
    draw = _Draw(seed)
    vocabulary = _write_unigram(folder)
    _write_model(folder, draw.encoder(vocabulary, 1), _config("xlm-roberta", "XLMRobertaModel", vocabulary))
    write_torch_file(folder / "sparse_linear.pt", {"weight": draw(1, WIDTH), "bias": draw(1)})
    write_torch_file(folder / "colbert_linear.pt", {"weight": draw(WIDTH, WIDTH), "bias": draw(WIDTH)})
    return folder


def make_tiny_xlmr_reranker(folder: Path, seed: int = 9) -> Path:
    """Write a directory as bge-reranker-v2-m3 comes in."""
    draw = _Draw(seed)
    vocabulary = _write_unigram(folder)
    tensors = {f"roberta.{name}": value for name, value in draw.encoder(vocabulary, 1).items()}
    tensors |= {"classifier.dense.weight": draw(WIDTH, WIDTH), "classifier.dense.bias": draw(WIDTH)}
    tensors |= {"classifier.out_proj.weight": draw(1, WIDTH) * 3, "classifier.out_proj.bias": draw(1)}
    _write_model(folder, tensors, _config("xlm-roberta", "XLMRobertaForSequenceClassification", vocabulary))
    return folder


def make_tiny_bert_reranker(folder: Path, seed: int = 1) -> Path:
    """Write a directory as the ms-marco cross-encoders come in: BERT with two segments."""
    draw = _Draw(seed)
    vocabulary = _write_wordpiece(folder)
    tensors = {f"bert.{name}": value for name, value in draw.encoder(vocabulary, 2).items()}
    tensors |= {"bert.pooler.dense.weight": draw(WIDTH, WIDTH), "bert.pooler.dense.bias": draw(WIDTH)}
    tensors |= {"classifier.weight": draw(1, WIDTH) * 3, "classifier.bias": draw(1)}
    _write_model(folder, tensors, _config("bert", "BertForSequenceClassification", vocabulary))
    return folder


def make_tiny_bert_embedder(folder: Path, seed: int = 5) -> Path:
    """Write a directory as the sentence-transformers come in: BERT, mean of the tokens."""
    draw = _Draw(seed)
    vocabulary = _write_wordpiece(folder)
    _write_model(folder, draw.encoder(vocabulary, 2), _config("bert", "BertModel", vocabulary))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    return folder


class _Draw:
    """Random tensors, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *sizes: int) -> npt.NDArray[np.float32]:
        return (self._rng.standard_normal(sizes) * 0.3).astype(np.float32)

    def encoder(self, vocabulary: int, segments: int) -> Tensors:
        """Return a bare encoder's weights."""
        tensors: Tensors = {
            "embeddings.word_embeddings.weight": self(vocabulary, WIDTH),
            "embeddings.position_embeddings.weight": self(POSITIONS, WIDTH),
            "embeddings.token_type_embeddings.weight": self(segments, WIDTH),
        }
        norms = ["embeddings.LayerNorm"]
        for index in range(LAYERS):
            key = f"encoder.layer.{index}"
            for name, sizes in _MATRICES.items():
                tensors[f"{key}.{name}.weight"] = self(*sizes)
                tensors[f"{key}.{name}.bias"] = self(sizes[0])
            norms += [f"{key}.attention.output.LayerNorm", f"{key}.output.LayerNorm"]
        for norm in norms:
            tensors[f"{norm}.weight"] = 1 + self(WIDTH)
            tensors[f"{norm}.bias"] = self(WIDTH)
        return tensors


def _config(kind: str, architecture: str, vocabulary: int) -> dict[str, Any]:
    roberta = kind != "bert"
    return {
        "architectures": [architecture],
        "model_type": kind,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "vocab_size": vocabulary,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 1 if roberta else 2,
        "layer_norm_eps": 1e-5 if roberta else 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 1 if roberta else 0,
    }


def _write_model(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def _write_unigram(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=list(_UNIGRAM_SPECIAL), unk_token=_UNIGRAM_SPECIAL[3], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return _save(tokenizer, folder)


def _write_wordpiece(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=_WORDPIECE_SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(_WORDPIECE_SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _save(tokenizer, folder)


def _save(tokenizer: Any, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return int(tokenizer.get_vocab_size())


def write_torch_file(path: Path, tensors: Tensors) -> None:
    """Write tensors as `torch.save` does a state dict: a zip with a pickle and one file of data for each tensor."""
    pickled = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK
    for number, (name, value) in enumerate(tensors.items()):
        pickled += _text(name) + _tensor(number, value)
    pickled += pickle.SETITEMS + pickle.STOP
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled)
        for number, value in enumerate(tensors.values()):
            archive.writestr(f"{path.stem}/data/{number}", np.ascontiguousarray(value).tobytes())
        archive.writestr(f"{path.stem}/version", "3\n")


def _tensor(number: int, value: npt.NDArray[np.float32]) -> bytes:
    storage = _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(number)) + _text("cpu") + _number(value.size)
    strides = tuple(step // value.itemsize for step in value.strides)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n"
        + pickle.MARK
        + (pickle.MARK + storage + pickle.TUPLE + pickle.BINPERSID)
        + _number(0)
        + (pickle.MARK + b"".join(map(_number, value.shape)) + pickle.TUPLE)
        + (pickle.MARK + b"".join(map(_number, strides)) + pickle.TUPLE)
        + pickle.NEWFALSE
        + (b"ccollections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE)
        + pickle.TUPLE
        + pickle.REDUCE
    )


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)
