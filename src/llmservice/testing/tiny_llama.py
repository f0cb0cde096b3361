"""Makes one tiny random Llama twice: as GGUF for llama.cpp and as a Hugging Face directory for MLX.

Both hold the same float32 weights and the same tokenizer, so that greedy answers must be equal: half precision would
leave it to rounding which of two near tokens wins. Special tokens hardly ever win, so that answers run to their limit.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmservice.testing.corpus import CORPUS

Weights = dict[str, npt.NDArray[np.float32]]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclasses.dataclass(frozen=True, slots=True)
class LlamaShape:
    """Sizes of the model."""

    vocabulary: int = 700
    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    inner: int = 128
    context: int = 4096
    phrases: tuple[str, ...] = ()
    """Texts that are one token each, so that a bias on it makes the model write the text."""
    chat_template: str = CHAT_TEMPLATE

    @property
    def head_width(self) -> int:
        """Length of one attention head's vectors."""
        return self.width // self.heads


@dataclasses.dataclass(frozen=True, slots=True)
class TinyLlama:
    """Where the two forms lie."""

    gguf: Path
    directory: Path


def make_tiny_llama(folder: Path, shape: LlamaShape | None = None, seed: int = 0) -> TinyLlama:
    """Write `tiny-llama.gguf` and `tiny-llama/` into a folder and return their paths. Takes under a second."""
    shape = shape or LlamaShape()
    made = TinyLlama(folder / "tiny-llama.gguf", folder / "tiny-llama")
    made.directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(shape.vocabulary)
    tokenizer.add_tokens(list(shape.phrases))
    shape = dataclasses.replace(shape, vocabulary=tokenizer.get_vocab_size())
    weights = _random_weights(shape, seed)
    _write_directory(made.directory, shape, weights, tokenizer)
    _write_gguf(made.gguf, shape, weights, tokenizer)
    return made


def _train_tokenizer(vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _random_weights(shape: LlamaShape, seed: int) -> Weights:
    rng = np.random.default_rng(seed)

    def draw(rows: int, columns: int, scale: float) -> npt.NDArray[np.float32]:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float32)

    width, inner, head = shape.width, shape.inner, shape.head_width
    weights: Weights = {
        "model.embed_tokens.weight": draw(shape.vocabulary, width, 0.64),
        "model.norm.weight": np.ones(width, np.float32),
    }
    for index in range(shape.layers):
        prefix = f"model.layers.{index}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}{norm}.weight"] = np.ones(width, np.float32)
        weights[f"{prefix}self_attn.q_proj.weight"] = draw(shape.heads * head, width, 0.05)
        weights[f"{prefix}self_attn.k_proj.weight"] = draw(shape.kv_heads * head, width, 0.05)
        weights[f"{prefix}self_attn.v_proj.weight"] = draw(shape.kv_heads * head, width, 0.05)
        weights[f"{prefix}self_attn.o_proj.weight"] = draw(width, shape.heads * head, 0.05)
        weights[f"{prefix}mlp.gate_proj.weight"] = draw(inner, width, 0.05)
        weights[f"{prefix}mlp.up_proj.weight"] = draw(inner, width, 0.05)
        weights[f"{prefix}mlp.down_proj.weight"] = draw(width, inner, 0.05)
    head_rows = draw(shape.vocabulary, width, 0.16)
    head_rows[: len(SPECIAL)] *= np.float32(0.2)
    weights["lm_head.weight"] = head_rows
    return weights


def _write_directory(folder: Path, shape: LlamaShape, weights: Weights, tokenizer: Any) -> None:
    from safetensors.numpy import save_file

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocabulary,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "chat_template": shape.chat_template,
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), "utf-8")


def _write_gguf(path: Path, shape: LlamaShape, weights: Weights, tokenizer: Any) -> None:
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-llama")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer, shape)
    for name, value in _gguf_tensors(shape, weights).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: Any, shape: LlamaShape) -> None:
    import gguf

    tokens = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    kind = dict.fromkeys(SPECIAL, gguf.TokenType.CONTROL) | dict.fromkeys(shape.phrases, gguf.TokenType.USER_DEFINED)
    kinds = [kind.get(token, gguf.TokenType.NORMAL) for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(shape.chat_template)


def _gguf_tensors(shape: LlamaShape, weights: Weights) -> Weights:
    tensors: Weights = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    names = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for index in range(shape.layers):
        source, target = f"model.layers.{index}.", f"blk.{index}."
        for ours, theirs in names.items():
            tensors[f"{target}{theirs}.weight"] = weights[f"{source}{ours}.weight"]
        query, key = weights[f"{source}self_attn.q_proj.weight"], weights[f"{source}self_attn.k_proj.weight"]
        tensors[f"{target}attn_q.weight"] = _rope_order(query, shape.heads)
        tensors[f"{target}attn_k.weight"] = _rope_order(key, shape.kv_heads)
    return tensors


def _rope_order(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Interleave the two halves of each head's rows: llama.cpp rotates neighbours, Hugging Face halves."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
