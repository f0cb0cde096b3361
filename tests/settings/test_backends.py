"""Vendors, several backends, and reranking, as they follow from what was said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightrag.errors import ConfigurationError
from lightrag.settings import Settings, load_settings


def load(tmp_path: Path, **environ: str) -> Settings:
    return load_settings([], environ, tmp_path)


def key(settings: Any) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


@pytest.mark.parametrize(
    ("binding", "variable", "host"),
    [
        ("anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com"),
        ("gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com"),
        ("gemini", "GOOGLE_API_KEY", "https://generativelanguage.googleapis.com"),
        ("aws_bedrock", "AWS_BEARER_TOKEN_BEDROCK", ""),
        ("lollms", "", "http://localhost:9600"),
    ],
)
def test_a_vendor_s_own_key_and_address_serve(tmp_path: Path, binding: str, variable: str, host: str) -> None:
    environ = {"LLM_BINDING": binding, "LLM_MODEL": "m"} | ({variable: "secret"} if variable else {})
    llm = load(tmp_path, **environ, OPENAI_API_KEY="another").llm
    assert (llm.host, llm.model, key(llm)) == (host, "m", "secret" if variable else None)


@pytest.mark.parametrize(
    ("binding", "variable", "model"),
    [
        ("jina", "JINA_API_KEY", "jina-embeddings-v4"),
        ("voyageai", "VOYAGE_API_KEY", "voyage-3"),
        ("voyage", "VOYAGE_API_KEY", "voyage-3"),
        ("cohere", "CO_API_KEY", "embed-v4.0"),
        ("gemini", "GEMINI_API_KEY", "gemini-embedding-001"),
        ("bedrock", "AWS_BEARER_TOKEN_BEDROCK", "amazon.titan-embed-text-v2:0"),
    ],
)
def test_so_they_do_for_embeddings(tmp_path: Path, binding: str, variable: str, model: str) -> None:
    embedding = load(tmp_path, EMBEDDING_BINDING=binding, **{variable: "secret"}).embedding
    assert (embedding.model, key(embedding)) == (model, "secret")


def test_azure_is_set_up_by_its_own_variables(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LLM_BINDING="azure_openai",
        EMBEDDING_BINDING="azure_openai",
        LLM_MODEL="gpt-4o",
        AZURE_OPENAI_ENDPOINT="https://x.openai.azure.com/",
        AZURE_OPENAI_API_KEY="one",
        AZURE_OPENAI_DEPLOYMENT="chat",
        AZURE_OPENAI_API_VERSION="2025-01-01",
        AZURE_EMBEDDING_DEPLOYMENT="vectors",
        AZURE_EMBEDDING_API_KEY="two",
        OPENAI_LLM_TEMPERATURE="0.1",
        EXTRACT_LLM_MODEL="small",
    )
    llm, embedding = settings.llm, settings.embedding
    assert (llm.host, llm.model, key(llm), llm.api_version) == (
        "https://x.openai.azure.com",
        "chat",
        "one",
        "2025-01-01",
    )
    assert llm.options == {"temperature": 0.1}
    assert llm.extract.model == "small"
    assert (embedding.host, embedding.model, key(embedding)) == ("https://x.openai.azure.com", "vectors", "two")


def test_one_azure_resource_serves_both_models_where_only_one_is_named(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LLM_BINDING="azure_openai",
        LLM_BINDING_HOST="https://x.openai.azure.com/",
        LLM_BINDING_API_KEY="one",
        LLM_MODEL="chat",
        EMBEDDING_BINDING="azure_openai",
        EMBEDDING_MODEL="vectors",
    )
    assert (settings.embedding.host, key(settings.embedding)) == ("https://x.openai.azure.com", "one")


def test_the_key_of_the_chat_model_serves_embeddings_of_the_same_server_only(tmp_path: Path) -> None:
    environ = {"LLM_BINDING": "openai", "LLM_BINDING_API_KEY": "one", "EMBEDDING_BINDING": "openai"}
    assert key(load(tmp_path, **environ).embedding) == "one"
    assert key(load(tmp_path, **environ, EMBEDDING_BINDING_HOST="http://elsewhere/v1").embedding) is None
    assert key(load(tmp_path, **environ, EMBEDDING_BINDING_API_KEY="two").embedding) == "two"


def test_lollms_needs_no_more_than_its_name(tmp_path: Path) -> None:
    settings = load(tmp_path, LLM_BINDING="lollms", EMBEDDING_BINDING="lollms")
    assert (settings.llm.model, settings.embedding.model) == ("mistral-nemo:latest", "bge-m3:latest")


@pytest.mark.parametrize(
    "variable",
    ["TIMEOUT", "LLM_TIMEOUT", "EMBEDDING_TIMEOUT", "RERANK_TIMEOUT", "CHUNK_V_BREAKPOINT_THRESHOLD_AMOUNT"],
)
def test_none_is_no_limit_and_nothing_below_one_is_taken(tmp_path: Path, variable: str) -> None:
    load(tmp_path, **{variable: "None"})
    with pytest.raises(ConfigurationError, match=variable):
        load(tmp_path, **{variable: "0"})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LLM_BINDING": "azure_openai", "LLM_MODEL": "m"}, "AZURE_OPENAI_ENDPOINT"),
        ({"LLM_BINDING": "anthropic"}, r"LLM_BINDING=anthropic needs the name of a model: set LLM_MODEL"),
        ({"LLM_BINDING": "openai", "QUERY_LLM_BINDING": "bedrock"}, "QUERY_LLM_MODEL"),
        ({"EMBEDDING_BINDING": "azure_openai", "EMBEDDING_MODEL": "m"}, "AZURE_OPENAI_ENDPOINT"),
        ({"EMBEDDING_BINDING": "tei"}, "EMBEDDING_MODEL"),
        ({"EMBEDDING_BINDING": "anthropic"}, "EMBEDDING_BINDING is 'anthropic'"),
        ({"RERANK_BINDING": "auto"}, "RERANK_BINDING_HOST"),
        ({"RERANK_BINDING": "magic"}, "RERANK_BINDING is 'magic'"),
    ],
)
def test_what_a_binding_needs_is_asked_for_by_name(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path, **environ)


def test_parameters_go_to_their_own_vendor(tmp_path: Path) -> None:
    environ = {"LLM_MODEL": "m", "ANTHROPIC_LLM_MAX_TOKENS": "900", "GEMINI_LLM_TOP_K": "3"}
    assert load(tmp_path, LLM_BINDING="anthropic", **environ).llm.options == {"max_tokens": 900}
    assert load(tmp_path, LLM_BINDING="gemini", **environ).llm.options == {"top_k": 3}
    environ = {"BEDROCK_LLM_EXTRA_FIELDS": '{"thinking": {"type": "disabled"}}'}
    options = load(tmp_path, LLM_BINDING="bedrock", LLM_MODEL="m", **environ).llm.options
    assert options == {"extra_fields": {"thinking": {"type": "disabled"}}}


def test_words_of_lightrag_for_a_vendor_s_own_address_mean_just_that(tmp_path: Path) -> None:
    llm = load(tmp_path, LLM_BINDING="gemini", LLM_BINDING_HOST="DEFAULT_GEMINI_ENDPOINT").llm
    assert llm.host == "https://generativelanguage.googleapis.com"


def test_prefixes_of_questions_and_documents(tmp_path: Path) -> None:
    embedding = load(tmp_path, EMBEDDING_QUERY_PREFIX="query: ", EMBEDDING_DOCUMENT_PREFIX="NO_PREFIX").embedding
    assert (embedding.query_prefix, embedding.document_prefix) == ("query:", "")


# Several backends


def test_what_a_backend_leaves_out_is_as_for_the_model_itself(tmp_path: Path) -> None:
    backends = [
        {},
        {"model": "small", "weight": 0.5, "options": {"temperature": 0}},
        {"name": "spare", "binding": "anthropic", "model": "claude", "order": 1, "timeout": 20},
    ]
    llm = load(
        tmp_path,
        LLM_BINDING="openai",
        LLM_BINDING_HOST="http://gpu/v1",
        LLM_BINDING_API_KEY="sk-1",
        LLM_MODEL="large",
        LLM_TIMEOUT="99",
        OPENAI_LLM_SEED="1",
        ANTHROPIC_API_KEY="sk-ant",
        LLM_BACKENDS=json.dumps(backends),
    ).llm
    first, second, third = llm.backends
    assert (first.name, first.order, first.weight) == ("openai/large", 0, 1.0)
    assert (first.chat.host, first.chat.model, key(first.chat), first.chat.timeout) == (
        "http://gpu/v1",
        "large",
        "sk-1",
        99,
    )
    assert (second.chat.host, second.chat.model, second.chat.options) == (
        "http://gpu/v1",
        "small",
        {"seed": 1, "temperature": 0},
    )
    assert (third.name, third.order, third.chat.host, key(third.chat), third.chat.timeout, third.chat.options) == (
        "spare",
        1,
        "https://api.anthropic.com",
        "sk-ant",
        20,
        {},
    )
    assert llm.extract.backends == llm.query.backends == llm.backends


def test_backends_may_stand_in_a_file_and_their_keys_in_variables(tmp_path: Path) -> None:
    file = tmp_path / "backends.json"
    file.write_text(json.dumps([{"binding": "openai", "model": "m", "host": "http://a/v1", "api_key_env": "KEY_A"}]))
    llm = load(tmp_path, LLM_BACKENDS=str(file), KEY_A="sk-a").llm
    assert key(llm.backends[0].chat) == "sk-a"
    with pytest.raises(ConfigurationError, match=r"LLM_BACKENDS, entry 1: the variable KEY_A .* is not set"):
        load(tmp_path, LLM_BACKENDS=str(file))


def test_a_key_is_not_carried_over_to_another_server(tmp_path: Path) -> None:
    backends = json.dumps([{}, {"host": "http://elsewhere/v1"}, {"host": "http://gpu/v1/"}])
    llm = load(
        tmp_path,
        LLM_BINDING="openai",
        LLM_BINDING_HOST="http://gpu/v1",
        LLM_BINDING_API_KEY="sk-1",
        OPENAI_API_KEY="sk-2",
        LLM_BACKENDS=backends,
    ).llm
    assert [key(backend.chat) for backend in llm.backends] == ["sk-1", None, "sk-1"]
    assert [backend.name for backend in llm.backends] == [
        "openai/gpt-4o-mini",
        "openai/gpt-4o-mini #2",
        "openai/gpt-4o-mini #3",
    ]


def test_a_role_has_the_backends_of_all_unless_it_has_a_model_of_its_own(tmp_path: Path) -> None:
    llm = load(
        tmp_path,
        LLM_BINDING="openai",
        LLM_BACKENDS='[{}, {"host": "http://b/v1"}]',
        EXTRACT_LLM_MODEL="small",
        QUERY_LLM_BACKENDS='[{"host": "http://c/v1"}]',
    ).llm
    assert llm.extract.backends == ()
    assert len(llm.keyword.backends) == 2
    assert [backend.chat.host for backend in llm.query.backends] == ["http://c/v1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not-a-file.json", "LLM_BACKENDS .*should be a JSON list, or a file"),
        ("[{]", "should be a JSON list of objects"),
        ('{"model": "m"}', "should be a JSON list of objects"),
        ('[{"modle": "m", "api_key": "sk-1"}]', r"entry 1: modle: [Ee]xtra"),
        ('[{"weight": -1}]', "entry 1: weight"),
        ('[{"weight": 0}]', "at least one backend needs a weight above 0"),
        ('[{"binding": "none"}]', "entry 1 needs a binding"),
        ('[{}, {"binding": "anthropic"}]', "entry 2 needs the name of a model: set model"),
    ],
)
def test_a_backend_that_cannot_be_used_is_refused_without_showing_keys(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(tmp_path, LLM_BINDING="openai", LLM_BACKENDS=text)
    assert "sk-1" not in str(caught.value)


def test_embedding_backends_must_run_the_same_model(tmp_path: Path) -> None:
    same = [
        {"binding": "ollama", "model": "bge-m3:latest"},
        {"binding": "tei", "model": "BAAI/bge-m3", "host": "http://tei", "order": 1},
    ]
    embedding = load(tmp_path, EMBEDDING_BACKENDS=json.dumps(same), EMBEDDING_DIM="1024").embedding
    assert [backend.embedding.dim for backend in embedding.backends] == [1024, 1024]
    same[1]["model"] = "other"
    with pytest.raises(ConfigurationError, match=r"entry 2 names the model 'other', the first one 'bge-m3:latest'"):
        load(tmp_path, EMBEDDING_BACKENDS=json.dumps(same))
    said: list[dict[str, Any]] = [same[0], {**same[1], "same_model": True}]
    assert len(load(tmp_path, EMBEDDING_BACKENDS=json.dumps(said)).embedding.backends) == 2


def test_keys_are_not_shown(tmp_path: Path) -> None:
    backends = '[{"name": "a", "api_key": "sk-hidden"}]'
    settings = load(tmp_path, LLM_BINDING="openai", LLM_BACKENDS=backends, JINA_API_KEY="sk-hidden")
    lines = settings.describe()
    assert "sk-hidden" not in str(lines)
    assert next(line.value for line in lines if line.name == "backends") == "a (order 0, weight 1)"


# Reranking


def test_without_a_binding_nothing_is_reranked(tmp_path: Path) -> None:
    assert load(tmp_path).rerank.binding is None
    assert load(tmp_path, RERANK_BINDING="null").rerank.binding is None


def test_a_rerank_binding_with_its_key(tmp_path: Path) -> None:
    environ = {"JINA_API_KEY": "secret", "RERANK_MODEL": "m", "MIN_RERANK_SCORE": "0.3", "RERANK_TIMEOUT": "9"}
    rerank = load_settings(["--rerank-binding", "jina"], environ, tmp_path).rerank
    assert (rerank.binding, rerank.model, key(rerank), rerank.min_score, rerank.timeout) == (
        "jina",
        "m",
        "secret",
        0.3,
        9,
    )
    assert key(load(tmp_path, RERANK_BINDING="jina", RERANK_BINDING_HOST="http://own", JINA_API_KEY="s").rerank) is None
