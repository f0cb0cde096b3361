"""Files that cannot be served are refused with the reason and what to do."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llmservice.backends.factory import load_backend
from llmservice.convert import main as convert
from llmservice.convert.weights import read_torch
from llmservice.errors import ModelLoadError
from llmservice.testing.tiny_llama import TinyLlama

from .conftest import Encoder, source


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="There is no model at"):
        load_backend("chat", source(tmp_path / "none.gguf"))
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(ModelLoadError, match="is empty"):
        load_backend("chat", source(tmp_path / "empty.gguf"))


def test_damaged_gguf_files(llama: TinyLlama, tmp_path: Path) -> None:
    whole = llama.gguf.read_bytes()
    damages = {
        "is not a GGUF file": b"PK\x03\x04" + whole[4:],
        "header ends early": whole[:5000],
        "is incomplete": whole[: len(whole) // 2],
        "makes no sense": b"GGUF\x03\0\0\0" + b"\xff" * 100,
        "GGUF version 9": b"GGUF\x09\0\0\0" + whole[8:],
    }
    for reason, content in damages.items():
        path = tmp_path / "damaged.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelLoadError, match=reason):
            load_backend("chat", source(path))


def test_a_part_of_a_split_file_needs_the_others(llama: TinyLlama, tmp_path: Path) -> None:
    first, second = (tmp_path / f"big-0000{number}-of-00002.gguf" for number in (1, 2))
    shutil.copy(llama.gguf, first)
    with pytest.raises(ModelLoadError, match=r"big-00002-of-00002.gguf is not beside it"):
        load_backend("chat", source(first))
    shutil.copy(llama.gguf, second)
    with pytest.raises(ModelLoadError, match="name the first part"):
        load_backend("chat", source(second))


def test_models_of_another_kind(llama: TinyLlama, encoders: dict[str, Encoder]) -> None:
    embedder, reranker = encoders["bge-m3"], encoders["xlmr-reranker"]
    with pytest.raises(ModelLoadError, match=r"is an embedding model .* cannot write text"):
        load_backend("chat", source(embedder.gguf))
    with pytest.raises(ModelLoadError, match=r"is a reranker .* cannot write text"):
        load_backend("chat", source(reranker.gguf))
    with pytest.raises(ModelLoadError, match="names no pooling"):
        load_backend("embedding", source(llama.gguf))
    with pytest.raises(ModelLoadError, match="has no classifier"):
        load_backend("rerank", source(embedder.gguf))
    with pytest.raises(ModelLoadError, match="logits"):
        load_backend("embedding", source(reranker.onnx))
    with pytest.raises(ModelLoadError, match="no reranker"):
        load_backend("rerank", source(embedder.onnx))
    with pytest.raises(ModelLoadError, match="is an encoder"):
        load_backend("chat", source(embedder.directory), "mlx")


def test_files_of_another_engine(llama: TinyLlama, encoders: dict[str, Encoder]) -> None:
    with pytest.raises(ModelLoadError, match=r"is a directory and llama.cpp needs one GGUF file"):
        load_backend("chat", source(llama.directory), "llamacpp")
    with pytest.raises(ModelLoadError, match="for a GGUF file set the backend llamacpp"):
        load_backend("chat", source(llama.gguf), "mlx")
    with pytest.raises(ModelLoadError, match="set the backend llamacpp"):
        load_backend("embedding", source(encoders["bge-m3"].gguf), "onnx")
    with pytest.raises(ModelLoadError, match="llmservice convert"):
        load_backend("embedding", source(encoders["bge-m3"].directory), "onnx")
    with pytest.raises(ModelLoadError, match="There is no backend 'vllm'"):
        load_backend("chat", source(llama.gguf), "vllm")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "no .safetensors files"),
    ],
)
def test_incomplete_mlx_directories(llama: TinyLlama, tmp_path: Path, name: str, reason: str) -> None:
    shutil.copytree(llama.directory, tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(ModelLoadError, match=reason):
        load_backend("chat", source(tmp_path / "model"), "mlx")


def test_damaged_weights(llama: TinyLlama, encoders: dict[str, Encoder], tmp_path: Path) -> None:
    for original, file, kind in (
        (llama.directory, "model.safetensors", "chat"),
        (encoders["bge-m3"].onnx, "model.onnx", "embedding"),
        (encoders["bge-m3"].onnx, "tokenizer.json", "embedding"),
    ):
        folder = tmp_path / file
        shutil.copytree(original, folder)
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])
        with pytest.raises(ModelLoadError, match=r"damaged|no readable"):
            load_backend(kind, source(folder))  # type: ignore[call-overload]


def test_the_converter_says_what_is_wrong(
    encoders: dict[str, Encoder], llama: TinyLlama, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert([str(llama.directory), str(tmp_path / "out")]) == 1
    assert "of type llama" in capsys.readouterr().err
    broken = tmp_path / "broken"
    shutil.copytree(encoders["bge-m3"].directory, broken)
    (broken / "tokenizer.json").unlink()
    assert convert([str(broken), str(tmp_path / "out")]) == 1
    assert "has no tokenizer.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_of_weights_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps(Trap()))
    with pytest.raises(ModelLoadError, match="no tensor needs"):
        read_torch(path)
    assert not (tmp_path / "ran").exists()


def test_the_engines_libraries_are_loaded_only_with_a_model() -> None:
    code = (
        "import sys, llmservice.backends.factory, llmservice.embedders, llmservice.rerankers, llmservice.model_manager;"
        "heavy = {'xllamacpp', 'mlx', 'onnxruntime', 'tokenizers', 'transformers', 'llguidance'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
