"""Which models follow from what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightrag.errors import ConfigurationError
from lightrag.settings import Settings, load_settings


def load(tmp_path: Path, **environ: str) -> Settings:
    return load_settings([], environ, tmp_path)


def test_without_a_binding_ollama_on_this_machine_is_to_be_tried(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.llm.binding, settings.llm.host) == (None, "http://localhost:11434")
    assert (settings.llm.model, settings.embedding.model) == ("mistral-nemo:latest", "bge-m3:latest")
    assert settings.embedding.binding is None


def test_a_binding_brings_its_host_and_model(tmp_path: Path) -> None:
    settings = load(tmp_path, LLM_BINDING="openai", EMBEDDING_BINDING="ollama")
    assert settings.llm.host == "https://api.openai.com/v1"
    assert settings.llm.model == "gpt-4o-mini"
    assert settings.embedding.host == "http://localhost:11434"


def test_openai_ollama_means_one_for_chat_and_the_other_for_embeddings(tmp_path: Path) -> None:
    settings = load_settings(["--llm-binding", "openai-ollama"], {}, tmp_path)
    assert (settings.llm.binding, settings.embedding.binding) == ("openai", "ollama")


def test_an_unknown_binding_is_refused_once_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, LLM_BINDING="nonsense")
    message = str(refused.value)
    assert message.count("nonsense") == 1
    assert "'ollama'" in message
    assert "'openai-ollama'" in message
    assert "literal" not in message


@pytest.mark.parametrize("word", ["none", "embedded"])
def test_no_model_server_at_all(tmp_path: Path, word: str) -> None:
    settings = load(tmp_path, LLM_BINDING=word)
    assert (settings.llm.binding, settings.llm.host) == ("embedded", "")
    assert settings.embedding.binding == "embedded"


def test_who_names_a_host_or_model_means_the_default_binding(tmp_path: Path) -> None:
    assert load(tmp_path, LLM_MODEL="qwen3").llm.binding == "ollama"
    assert load(tmp_path, LLM_BINDING_HOST="http://gpu:11434/").llm.host == "http://gpu:11434"
    assert load(tmp_path, EMBEDDING_MODEL="nomic-embed-text").embedding.binding == "ollama"


def test_who_gives_only_a_key_means_openai(tmp_path: Path) -> None:
    settings = load(tmp_path, LLM_BINDING_API_KEY="sk-1")
    assert (settings.llm.binding, settings.embedding.binding) == ("openai", None)


def test_the_vendors_own_key_variable_serves_too(tmp_path: Path) -> None:
    settings = load(tmp_path, LLM_BINDING="openai", EMBEDDING_BINDING="openai", OPENAI_API_KEY="sk-2")
    assert settings.llm.api_key is not None
    assert settings.embedding.api_key is not None
    assert settings.llm.api_key.get_secret_value() == "sk-2"
    assert load(tmp_path, LLM_BINDING="ollama", OPENAI_API_KEY="sk-2").llm.api_key is None


def test_a_role_can_have_another_model_on_the_same_server(tmp_path: Path) -> None:
    settings = load(
        tmp_path, LLM_BINDING="openai", LLM_BINDING_HOST="http://gpu/v1", EXTRACT_LLM_MODEL="small", LLM_MODEL="large"
    )
    assert (settings.llm.extract.model, settings.llm.extract.host) == ("small", "http://gpu/v1")
    assert settings.llm.query.model == settings.llm.keyword.model == "large"


def test_a_role_with_another_binding_takes_that_bindings_defaults(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LLM_BINDING="openai",
        LLM_BINDING_HOST="http://gpu/v1",
        LLM_BINDING_API_KEY="sk-1",
        KEYWORD_LLM_BINDING="ollama",
        KEYWORD_MAX_ASYNC_LLM="2",
    )
    keyword = settings.llm.keyword
    assert (keyword.binding, keyword.host, keyword.max_async) == ("ollama", "http://localhost:11434", 2)
    assert keyword.api_key is None


def test_only_options_that_are_set_go_to_the_server(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LLM_BINDING="openai",
        OPENAI_LLM_TEMPERATURE="0.2",
        OPENAI_LLM_MAX_TOKENS="900",
        OPENAI_LLM_EXTRA_BODY='{"top_k": 5}',
        OLLAMA_LLM_SEED="1",
    )
    assert settings.llm.options == {"temperature": 0.2, "max_tokens": 900, "extra_body": {"top_k": 5}}


def test_ollama_is_asked_for_a_context_that_holds_the_prompts(tmp_path: Path) -> None:
    assert load(tmp_path, LLM_BINDING="ollama").llm.options == {"num_ctx": 32768}
    assert load(tmp_path, LLM_BINDING="ollama", MAX_TOKENS="16000").llm.options == {"num_ctx": 16000}
    assert load(tmp_path, LLM_BINDING="ollama", OLLAMA_LLM_NUM_CTX="8192").llm.options == {"num_ctx": 8192}


def test_an_unusable_option_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"OPENAI_LLM_TEMPERATURE is 'hot' \(environment\): should be a number"
    ):
        load(tmp_path, LLM_BINDING="openai", OPENAI_LLM_TEMPERATURE="hot")


def test_an_unknown_binding_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"LLM_BINDING is 'chatty'.*'openai', 'ollama'"):
        load(tmp_path, LLM_BINDING="chatty")


def test_sparse_weights_are_asked_of_one_server_of_openais_dialect(tmp_path: Path) -> None:
    openai = {"EMBEDDING_BINDING": "openai", "EMBEDDING_BINDING_HOST": "http://h/v1"}
    assert not load(tmp_path, **openai).embedding.sparse
    assert load(tmp_path, **openai, EMBEDDING_SPARSE="true").embedding.sparse
    backends = '[{"host": "http://a/v1", "model": "m"}, {"host": "http://b/v1", "model": "m"}]'
    for refused in ({}, {"EMBEDDING_BINDING": "ollama"}, {**openai, "EMBEDDING_BACKENDS": backends}):
        with pytest.raises(ConfigurationError, match="EMBEDDING_SPARSE=true asks one server"):
            load(tmp_path, **refused, EMBEDDING_SPARSE="true")


@pytest.mark.parametrize("variable", ["LLM_BINDING_HOST", "EMBEDDING_BINDING_HOST", "RERANK_BINDING_HOST"])
@pytest.mark.parametrize(
    "address", ['"http://localhost:8000/v1"', "http://local host/v1", "ftp://localhost/v1", "http://"]
)
def test_what_cannot_be_an_address_is_refused_at_the_start(tmp_path: Path, variable: str, address: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable}.*http://host:port"):
        load(tmp_path, **{variable: address})


@pytest.mark.parametrize(
    "address", ["http://[::1]:8000/v1", "https://user:pa$s@host/v1", "localhost:8000", " http://h "]
)
def test_addresses_of_every_form_are_taken(tmp_path: Path, address: str) -> None:
    settings = load(tmp_path, LLM_BINDING="openai", LLM_BINDING_HOST=address)
    assert settings.llm.host == address.strip()
