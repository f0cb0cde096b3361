"""Settings: what may be set, what is refused at the start, and which tier a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmservice.config import read_settings, unknown_variables
from llmservice.cores import available_cores, default_threads
from llmservice.env_example import env_example
from llmservice.errors import ConfigurationError
from llmservice.main import main, read_dotenv
from llmservice.model_files import check_files
from llmservice.tiers import Tier, UnknownModel, tier_of

ROOT = Path(__file__).resolve().parents[2]


def test_without_a_tier_the_bundled_model_serves_embeddings() -> None:
    settings = read_settings({}, {}, {})
    assert settings.names() == {Tier.EMBEDDING: "all-MiniLM-L6-v2-int8"}
    check_files(settings)


def test_the_environment_comes_before_the_file_and_blanks_count_for_nothing() -> None:
    settings = read_settings({"PORT": "1", "HOST": " "}, {"PORT": "2", "HOST": "::1"}, {})
    assert (settings.server.port, settings.server.host) == (1, "::1")


def test_variables_without_prefix_hold_for_every_tier(tmp_path: Path) -> None:
    variables = {"LIGHT_MODEL_PATH": "/m", "HEAVY_MODEL_PATH": "/m", "N_CTX": "2048", "HEAVY_N_CTX": "4096"}
    tiers = read_settings(variables, {}, {}).tiers
    assert (tiers[Tier.LIGHT].n_ctx, tiers[Tier.HEAVY].n_ctx) == (2048, 4096)


def test_threads_are_as_many_as_a_container_may_use(tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    free = available_cores(limit)
    for text, cores in (("100000 100000", 1), ("max 100000", free), ("6400000 100000", free)):
        limit.write_text(text)
        assert available_cores(limit) == cores
    assert default_threads("llamacpp") <= default_threads("onnx") <= 8


def test_every_mistake_is_named_with_its_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"PORT": "high", "LIGHT_TEMPERATURE": "3", "MODEL_ALIASES": "x"}, {}, {})
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "PORT", "MODEL_ALIASES", "LIGHT_TEMPERATURE"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LIGHT_MODEL_PATH": "{folder}/none.gguf"}, "there is no file"),
        ({"LIGHT_MODEL_PATH": "{folder}/empty.gguf"}, "is empty"),
        ({"LIGHT_MODEL_PATH": "{folder}/text.gguf"}, "not a GGUF file"),
        ({"LIGHT_MODEL_PATH": "{folder}", "LIGHT_BACKEND": "llamacpp"}, "is a directory"),
        ({"LIGHT_MODEL_PATH": "{folder}", "LIGHT_BACKEND": "mlx"}, "not an MLX directory"),
        ({"EMBEDDING_MODEL_PATH": "{folder}", "EMBEDDING_BACKEND": "onnx"}, "holds no .onnx file"),
        ({"LIGHT_MODEL_PATH": "{folder}/text.gguf", "LIGHT_BACKEND": "onnx"}, "embedders and rerankers only"),
    ],
)
def test_files_that_cannot_be_a_model(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.gguf").write_text("hello")
    settings = read_settings({name: text.format(folder=tmp_path) for name, text in variables.items()}, {}, {})
    with pytest.raises(ConfigurationError, match=said) as caught:
        check_files(settings)
    assert str(caught.value).startswith(("LIGHT_", "EMBEDDING_"))


def test_the_command_ends_with_2_and_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIGHT_MODEL_PATH=/nowhere\nLIGHT_N_CTXX=5\n")
    with pytest.raises(SystemExit) as caught:
        main(["--check", "--env-file", str(tmp_path / ".env")])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "LIGHT_N_CTXX is no setting" in said
    assert "LIGHT_MODEL_PATH: there is no file or directory /nowhere" in said


def test_the_example_file_is_what_the_settings_are() -> None:
    assert (ROOT / "llmservice" / ".env.example").read_text() == env_example()
    assert unknown_variables(read_dotenv(ROOT / "llmservice" / ".env.example")) == []


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("light", Tier.LIGHT), ("Heavy", Tier.HEAVY), ("reranker", Tier.RERANKER),
        ("medium/my-model", Tier.MEDIUM), ("MY-MODEL.gguf", Tier.MEDIUM), ("house-name", Tier.LIGHT),
        ("bge-m3", Tier.EMBEDDING), ("nomic-embed-text", Tier.EMBEDDING), ("multilingual-e5-small", Tier.EMBEDDING),
        ("bge-reranker-v2-m3", Tier.RERANKER), ("ms-marco-cross-encoder", Tier.RERANKER),
        ("qwen2.5-0.5b-instruct", Tier.LIGHT), ("llama-3.1-8b", Tier.MEDIUM), ("mixtral-8x7b", Tier.HEAVY),
        ("llama-70b-q4", Tier.HEAVY), ("smollm-135m", Tier.LIGHT),
    ],
)  # fmt: skip
def test_a_name_means_a_tier(name: str, tier: Tier) -> None:
    assert tier_of(name, {Tier.MEDIUM: "my-model"}, {"house-name": "light"}) is tier


@pytest.mark.parametrize("name", ["", "gpt", "medium/other", "x/y", "3bears", "v1.5"])
def test_a_name_that_means_nothing(name: str) -> None:
    with pytest.raises(UnknownModel):
        tier_of(name, {Tier.MEDIUM: "my-model"}, {})
