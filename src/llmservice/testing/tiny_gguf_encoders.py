"""Writes tiny encoders as GGUF, out of the directories that `tiny_encoders` makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_PARTS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_HEAD = {
    "classifier.dense.": "cls.",
    "classifier.out_proj.": "cls.output.",
    "pooler.dense.": "cls.",
    "classifier.": "cls.output.",
}


def write_gguf_encoder(directory: Path, path: Path) -> Path:
    """Write a directory's model as a GGUF of the architecture `bert`: a reranker, or an embedder that takes `<s>`."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((directory / "config.json").read_text("utf-8"))
    tensors = {
        name.removeprefix("roberta.").removeprefix("bert."): value
        for name, value in load_file(directory / "model.safetensors").items()
    }
    reranks = any(name.startswith("classifier.") for name in tensors)
    roberta = config["model_type"] != "bert"
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_name(path.stem)
    writer.add_context_length(config["max_position_embeddings"] - (2 if roberta else 0))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if reranks else gguf.PoolingType.CLS)
    writer.add_token_type_count(config["type_vocab_size"])
    tokenizer = json.loads((directory / "tokenizer.json").read_text("utf-8"))
    (_add_unigram if roberta else _add_wordpiece)(writer, tokenizer)
    for name, value in _named(tensors, config["num_hidden_layers"], 2 if roberta else 0).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_unigram(writer: Any, tokenizer: Mapping[str, Any]) -> None:
    import gguf

    vocabulary = tokenizer["model"]["vocab"]
    kinds = {"<unk>": gguf.TokenType.UNKNOWN} | dict.fromkeys(
        ("<s>", "<pad>", "</s>", "<mask>"), gguf.TokenType.CONTROL
    )
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_scores([float(score) for _, score in vocabulary])
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token, _ in vocabulary])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_sep_token_id(2)
    writer.add_pad_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_mask_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(True)


def _add_wordpiece(writer: Any, tokenizer: Mapping[str, Any]) -> None:
    """llama.cpp marks where words begin, Hugging Face where they go on."""
    import gguf

    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    marked = [t if t in special else t[2:] if t.startswith("##") else "\u2581" + t for t in tokens]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(marked)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_mask_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _named(tensors: Mapping[str, Any], layers: int, skipped: int) -> dict[str, Any]:
    positions = tensors["embeddings.position_embeddings.weight"][skipped:]
    found = {
        "token_embd.weight": tensors["embeddings.word_embeddings.weight"],
        "position_embd.weight": np.ascontiguousarray(positions),
        "token_types.weight": tensors["embeddings.token_type_embeddings.weight"],
        "token_embd_norm.weight": tensors["embeddings.LayerNorm.weight"],
        "token_embd_norm.bias": tensors["embeddings.LayerNorm.bias"],
    }
    for index in range(layers):
        for ours, theirs in _PARTS.items():
            for kind in ("weight", "bias"):
                found[f"blk.{index}.{theirs}.{kind}"] = tensors[f"encoder.layer.{index}.{ours}.{kind}"]
    for ours, theirs in _HEAD.items():
        for kind in ("weight", "bias"):
            if ours + kind in tensors:
                found[theirs + kind] = tensors[ours + kind]
    return found
