"""Every provider that is known, with every type of model that it is said to serve, against a server of its dialect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lightrag.llm.contracts import ChatRequest, Message, Role
from lightrag.tenancy.catalogue import Provider, load_catalogue
from lightrag.tenancy.connections import Connections
from lightrag.tenancy.contracts import ModelType
from lightrag.tenancy.netguard import NetGuard
from lightrag.tenancy.probing import Prober
from lightrag.tenancy.registry_addresses import opened
from lightrag.tenancy.registry_drafts import draft_model
from lightrag.tenancy.registry_keys import MissingParameter
from lightrag.tenancy.registry_reading import Stored
from lightrag.tenancy.registry_records import ModelWish, UnsupportedModel
from lightrag.testing.model_server import ModelServer
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_bedrock import BedrockVendor
from lightrag.testing.vendor_server_chat import AnthropicVendor, AzureVendor, GeminiVendor
from lightrag.testing.vendor_server_embedding import CohereVendor, JinaVendor, TeiVendor, VoyageVendor
from lightrag.testing.vendor_server_rerank import RerankServer

from .media_server import MediaServer

KEY = "canary-key-0123456789"
PROVIDERS = load_catalogue().all()
CASES = [(provider, type) for provider in PROVIDERS for type in provider.types]
NOTHING = Stored({}, {}, (), ())

CHAT_SERVERS: dict[str, Callable[[], ModelServer]] = {
    "openai": lambda: ModelServer(api_key=KEY),
    "ollama": lambda: ModelServer(),
    "azure_openai": lambda: VendorServer(AzureVendor(), api_key=KEY),
    "anthropic": lambda: VendorServer(AnthropicVendor(), api_key=KEY),
    "gemini": lambda: VendorServer(GeminiVendor(), api_key=KEY),
    "bedrock": lambda: VendorServer(BedrockVendor(f"{KEY}-sk"), api_key=KEY),
    "cohere": MediaServer,
    "vertex": ModelServer,
}
EMBEDDING_SERVERS: Mapping[str, Callable[[], ModelServer]] = CHAT_SERVERS | {
    "jina": lambda: VendorServer(JinaVendor(), api_key=KEY),
    "voyageai": lambda: VendorServer(VoyageVendor(), api_key=KEY),
    "cohere": lambda: VendorServer(CohereVendor(), api_key=KEY),
    "tei": lambda: VendorServer(TeiVendor(), api_key=KEY),
    "nvidia": lambda: ModelServer(api_key=KEY),
}
RERANK_SERVERS: Mapping[str, Callable[[], ModelServer]] = {
    "generic": lambda: RerankServer("vllm", api_key=KEY),
    "jina": lambda: RerankServer("jina", api_key=KEY),
    "voyageai": lambda: RerankServer("voyageai", api_key=KEY),
    "cohere": lambda: RerankServer("cohere", api_key=KEY),
    "tei": lambda: RerankServer("tei", api_key=KEY),
    "aliyun": lambda: RerankServer("aliyun", api_key=KEY),
    "nvidia": MediaServer,
}


def server_for(provider: Provider, type: ModelType) -> ModelServer:
    """Return a server that speaks what a provider speaks."""
    wire = provider.wires[type]
    if type is ModelType.CHAT:
        return CHAT_SERVERS[wire]()
    if type is ModelType.EMBEDDING:
        return EMBEDDING_SERVERS[wire]()
    return RERANK_SERVERS[wire]() if type is ModelType.RERANK else MediaServer()


@pytest.fixture(scope="module")
def service_account() -> str:
    """A service account's key, in base64."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "client_email": "me@example", "private_key": pem, "token_uri": "http://evil"}
    return base64.b64encode(json.dumps(account).encode()).decode()


def fields_for(provider: Provider, account: str) -> dict[str, Any]:
    """Return what a user enters."""
    special = {
        "Bedrock": {"bedrock_ak": KEY, "bedrock_sk": f"{KEY}-sk", "bedrock_region": "us-east-1"},
        "Google Cloud": {
            "google_project_id": "my-project",
            "google_region": "us-central1",
            "google_service_account_key": account,
        },
    }
    return special.get(provider.name) or {provider.fields[0].name: KEY}


def carries(headers: Mapping[str, str], provider: Provider) -> bool:
    """Whether a request shows the key as the provider wants it."""
    if provider.name == "Bedrock":
        return f"Credential={KEY}/" in headers["authorization"]
    if provider.name == "Google Cloud":
        return headers["authorization"] == "Bearer token-of-google"
    shown = (
        headers.get("authorization"),
        headers.get("x-api-key"),
        headers.get("api-key"),
        headers.get("x-goog-api-key"),
    )
    return f"Bearer {KEY}" in shown or KEY in shown


@pytest.mark.parametrize(("provider", "type"), CASES, ids=lambda one: getattr(one, "name", str(one)))
async def test_each_provider_answers_in_its_dialect_to_its_kind_of_key(
    provider: Provider, type: ModelType, service_account: str
) -> None:
    guard = NetGuard(("127.0.0.1",))
    async with server_for(provider, type) as server, MediaServer() as google:
        base = f"{server.url}/fish" if provider.name == "Fish Audio" else server.url
        fields = fields_for(provider, service_account)
        wish = ModelWish(provider.name, "some-model", type.value, fields, base)
        draft = await draft_model(NOTHING, "w", provider, wish, guard)
        connections = Connections(guard, 60, token_url=f"{google.url}/token")
        [outcome] = await Prober(connections, 60).probe(draft.candidates)
        assert outcome.is_ok, outcome.message
        asked = [one for one in server.requests if one.path != "/api/show"]
        assert len([one for one in asked if "sound.wav" not in one.path]) == 1
        assert carries(asked[0].headers, provider), asked[0].headers
        if provider.name == "Google Cloud":
            assert b"assertion=" in google.raw[0]
            assert b"evil" not in google.raw[0]
    assert provider.suffix not in asked[0].body.get("model", "") or not provider.suffix


ADDRESSES = {
    ("OpenAI", "embedding"): "https://api.openai.com/v1",
    ("ZHIPU-AI", "chat"): "https://open.bigmodel.cn/api/paas/v4",
    ("Cohere", "chat"): "https://api.cohere.com/v2",
    ("Cohere", "rerank"): "https://api.cohere.com",
    ("Gemini", "chat"): "https://generativelanguage.googleapis.com",
    ("Anthropic", "chat"): "https://api.anthropic.com",
    ("Tongyi-Qianwen", "rerank"): "https://dashscope.aliyuncs.com",
    ("Tongyi-Qianwen", "tts"): "https://dashscope.aliyuncs.com/api/v1",
    ("SILICONFLOW", "rerank"): "https://api.siliconflow.cn/v1/rerank",
    ("NovitaAI", "rerank"): "https://api.novita.ai/v3/openai/rerank",
    ("NVIDIA", "chat"): "https://integrate.api.nvidia.com/v1",
    ("Jina", "rerank"): "https://api.jina.ai/v1/rerank",
    ("DeepInfra", "speech2text"): "https://api.deepinfra.com/v1/openai",
    ("LongCat", "chat"): "https://api.longcat.chat/openai",
}


@pytest.mark.parametrize(("case", "address"), ADDRESSES.items(), ids=str)
def test_providers_are_reached_at_their_own_addresses(case: tuple[str, str], address: str) -> None:
    provider = load_catalogue().get(case[0])
    assert provider is not None
    assert opened(provider, ModelType(case[1]), "", {}, "m") == address


def test_addresses_that_depend_on_the_account_are_filled_in() -> None:
    catalogue = load_catalogue()
    bedrock, google, nvidia = (catalogue.get(name) for name in ("Bedrock", "Google Cloud", "NVIDIA"))
    assert bedrock
    assert google
    assert nvidia
    assert opened(bedrock, ModelType.CHAT, "", {"bedrock_region": "eu-west-1"}, "m") == (
        "https://bedrock-runtime.eu-west-1.amazonaws.com"
    )
    extra = {"google_region": "global", "google_project_id": "p"}
    assert opened(google, ModelType.CHAT, "", extra, "m") == (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi"
    )
    model = "nvidia/llama-3.2-nv-rerankqa-1b-v2"
    assert opened(nvidia, ModelType.RERANK, "", {}, model) == (
        "https://ai.api.nvidia.com/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"
    )


PASTED = [
    ("VLLM", "chat", "http://h:8000", "http://h:8000/v1"),
    ("VLLM", "chat", "http://h:8000/v1/", "http://h:8000/v1"),
    ("VLLM", "chat", " http://H:8000/v1/chat/completions ", "http://h:8000/v1"),
    ("VLLM", "chat", "http://h/api", "http://h/api/v1"),
    ("VLLM", "embedding", "http://h/v1/embeddings", "http://h/v1"),
    ("VLLM", "rerank", "http://h:8000/v1", "http://h:8000/v1/rerank"),
    ("VLLM", "rerank", "http://h:8000/v1/rerank", "http://h:8000/v1/rerank"),
    ("Ollama", "chat", "http://h:11434/v1", "http://h:11434"),
    ("Ollama", "embedding", "http://h:11434/api/embed", "http://h:11434"),
    ("HuggingFace", "embedding", "http://h:8080/embed", "http://h:8080"),
    ("HuggingFace", "chat", "http://h:8080", "http://h:8080/v1"),
    ("Xinference", "speech2text", "http://h:9997/v1/audio/transcriptions", "http://h:9997/v1"),
    ("OpenAI-API-Compatible", "speech2text", "http://h:8000", "http://h:8000/v1"),
    ("OpenAI-API-Compatible", "tts", "http://h:8000/v1/audio/speech", "http://h:8000/v1"),
    ("LocalAI", "tts", "http://h:8080", "http://h:8080/v1"),
    ("VLLM", "speech2text", "http://h:8000/v1", "http://h:8000/v1"),
    ("Azure-OpenAI", "chat", "https://r.openai.azure.com/", "https://r.openai.azure.com"),
    ("Azure-OpenAI", "chat", "https://r.openai.azure.com/openai/deployments/d/chat", "https://r.openai.azure.com"),
    ("Gemini", "chat", "https://g/v1beta/openai", "https://g"),
    ("Anthropic", "chat", "https://proxy/v1/messages", "https://proxy"),
]


@pytest.mark.parametrize(("name", "type", "pasted", "address"), PASTED)
async def test_pasted_addresses_come_into_one_form(name: str, type: str, pasted: str, address: str) -> None:
    provider = load_catalogue().get(name)
    assert provider is not None
    wish = ModelWish(name, "m", type, {"api_key": KEY}, pasted)
    guard = NetGuard(("*",), resolve=_anywhere)
    draft = await draft_model(NOTHING, "w", provider, wish, guard)
    assert draft.candidates[0].base_url == address


async def _anywhere(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


COMPOUND: list[tuple[str, dict[str, Any], dict[str, str], dict[str, str]]] = [
    (
        "Azure-OpenAI",
        {"api_key": '{"api_key": "your-key", "api_version": "2024-02-15-preview"}'},
        {"api_key": "your-key"},
        {"api_version": "2024-02-15-preview"},
    ),
    (
        "Azure-OpenAI",
        {"api_key": '{"api_key": "inner"}', "api_version": "2025-01-01"},
        {"api_key": "inner"},
        {"api_version": "2025-01-01"},
    ),
    ("Azure-OpenAI", {"api_key": "plain"}, {"api_key": "plain"}, {"api_version": "2024-02-01"}),
    (
        "Bedrock",
        {"bedrock_ak": "AK", "bedrock_sk": "SK", "bedrock_region": "us-west-2"},
        {"bedrock_ak": "AK", "bedrock_sk": "SK"},
        {"bedrock_region": "us-west-2"},
    ),
    ("VolcEngine", {"ark_api_key": "ark"}, {"ark_api_key": "ark"}, {}),
    ("OpenRouter", {"api_key": "k", "provider_order": "a, b"}, {"api_key": "k"}, {"provider_order": "a, b"}),
    ("Fish Audio", {"api_key": {"fish_audio_ak": "k"}}, {"fish_audio_ak": "k"}, {}),
    ("XunFei Spark", {"spark_api_password": "pw"}, {"spark_api_password": "pw"}, {}),
]


@pytest.mark.parametrize(("name", "fields", "secrets", "extra"), COMPOUND)
async def test_compound_keys_come_flat_or_as_an_object(
    name: str, fields: dict[str, Any], secrets: dict[str, str], extra: dict[str, str]
) -> None:
    provider = load_catalogue().get(name)
    assert provider is not None
    wish = ModelWish(name, "m", provider.types[0].value, fields, "https://vendor.example")
    draft = await draft_model(NOTHING, "w", provider, wish, NetGuard((), resolve=_public))
    assert dict(draft.credential.secrets) == secrets
    assert dict(draft.credential.extra) == extra


async def _public(_host: str, _port: int) -> list[str]:
    return ["93.184.216.34"]


@pytest.mark.parametrize(
    ("name", "fields", "word"),
    [
        ("Bedrock", {"bedrock_ak": "AK"}, "bedrock_sk"),
        ("Bedrock", {"bedrock_ak": "AK", "bedrock_sk": "SK"}, "bedrock_region"),
        ("Bedrock", {"bedrock_ak": "AK", "bedrock_sk": "SK", "bedrock_region": "evil.com/"}, "form"),
        ("Bedrock", {"aws_role_arn": "arn:aws:iam::1:role/x"}, "Roles"),
        ("Google Cloud", {"google_project_id": "p", "google_region": "us-central1"}, "google_service_account_key"),
        ("Google Cloud", {"google_service_account_key": "..."}, "service account"),
        ("Azure-OpenAI", {"api_key": '{"api_version": "2024-02-01"}'}, "api_key"),
        ("Tencent Hunyuan", {"hunyuan_sid": "a", "hunyuan_sk": "b"}, "OpenAI-compatible"),
        ("BaiduYiyan", {"yiyan_ak": "a", "yiyan_sk": "b"}, "Qianfan"),
    ],
)
async def test_keys_that_lack_something_say_what(name: str, fields: dict[str, Any], word: str) -> None:
    provider = load_catalogue().get(name)
    assert provider is not None
    wish = ModelWish(name, "m", provider.types[0].value, fields, "https://vendor.example")
    with pytest.raises(Exception, match=word) as raised:
        await draft_model(NOTHING, "w", provider, wish, NetGuard((), resolve=_public))
    assert type(raised.value).__name__ in {"InvalidInput", MissingParameter.__name__}


async def test_endpoints_are_what_volcengine_is_asked_for() -> None:
    provider = load_catalogue().get("VolcEngine")
    assert provider is not None
    wish = ModelWish(
        "VolcEngine", "doubao", "chat", {"ark_api_key": "k", "endpoint_id": "ep-1"}, "https://v.example/api/v3"
    )
    draft = await draft_model(NOTHING, "w", provider, wish, NetGuard((), resolve=_public))
    assert draft.candidates[0].upstream_name == "ep-1"


async def test_openrouter_is_told_whom_to_ask() -> None:
    async with ModelServer() as server:
        provider = load_catalogue().get("OpenRouter")
        assert provider is not None
        wish = ModelWish("OpenRouter", "m", "chat", {"api_key": KEY, "provider_order": "a, b"}, server.openai_url)
        draft = await draft_model(NOTHING, "w", provider, wish, NetGuard(("127.0.0.1",)))
        model = Connections(NetGuard(("127.0.0.1",))).open_chat(draft.candidates[0])
        await model.complete(ChatRequest((Message("user", "hi"),), Role.ANSWER))
        await model.aclose()
        assert server.requests[0].body["provider"] == {"order": ["a", "b"], "allow_fallbacks": False}


def test_what_cannot_work_says_why() -> None:
    for provider in PROVIDERS:
        assert all(provider.unserved.values())
        assert not set(provider.unserved) & set(provider.wires)
    replicate = load_catalogue().get("Replicate")
    assert replicate is not None
    assert replicate.types == ()
    assert len(PROVIDERS) == 56


async def test_models_that_speak_over_websockets_are_refused() -> None:
    provider = load_catalogue().get("Tongyi-Qianwen")
    assert provider is not None
    assert provider.find("sambert-zhiru-v1") is None
    wish = ModelWish(provider.name, "sambert-zhiru-v1", "tts", {"api_key": KEY})
    with pytest.raises(UnsupportedModel):
        await draft_model(NOTHING, "w", provider, wish, NetGuard((), resolve=_public))


def test_names_are_read_from_the_right() -> None:
    catalogue = load_catalogue()
    ref = catalogue.ref("model@q8_0@LM-Studio")
    assert ref is not None
    assert (ref.name, ref.provider) == ("model@q8_0", "LM-Studio")
    assert catalogue.ref("model@q8_0") is None
    assert catalogue.ref("@OpenAI") is None
