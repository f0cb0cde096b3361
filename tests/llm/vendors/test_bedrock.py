"""Amazon Bedrock: Converse and its event streams, embeddings, signatures."""

from __future__ import annotations

import functools
from typing import Any

import orjson
import pytest

from lightrag.errors import AccessRefused, ModelRateLimited
from lightrag.llm.bedrock_binding import BedrockChat, bedrock_embedding
from lightrag.llm.bedrock_client import AwsAccount
from lightrag.llm.contracts import ChatModel, EmbeddingModel
from lightrag.testing.fake_models import hash_vectors
from lightrag.testing.model_contract import SECRET, ChatContract, EmbeddingContract, ask, collect
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_bedrock import BedrockVendor, frame

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCOUNT = AwsAccount("eu-west-1", "AKIDEXAMPLE", AWS_SECRET)
SERVER = functools.partial(VendorServer, BedrockVendor(AWS_SECRET, "eu-west-1"))


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


class _Signed:
    """Requests are signed unless there is a key, so that what they carry is never nothing."""

    async def test_no_credentials_are_taken_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", SECRET)
        async with SERVER(api_key="AKIDEXAMPLE") as server:
            model = self.make(server)  # type: ignore[attr-defined]
            await self.provoke(model)  # type: ignore[attr-defined]
            await model.aclose()
        assert SECRET not in str(server.received)


class TestBedrockChat(_Signed, ChatContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        return BedrockChat("stand-in", server.url, account=ACCOUNT, **options)


class TestBedrockEmbedding(_Signed, EmbeddingContract):
    server_type = staticmethod(SERVER)

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        return bedrock_embedding("cohere.stand-in", server.url, account=ACCOUNT, **options)

    def body_of(self, vectors: list[list[float]]) -> bytes:
        return orjson.dumps({"embeddings": vectors})


async def test_a_request_is_signed_for_the_account() -> None:
    account = AwsAccount("eu-west-1", "AKIDEXAMPLE", AWS_SECRET, "a session")
    async with SERVER(api_key="AKIDEXAMPLE") as server:
        chat = BedrockChat("eu.anthropic.claude-x-v1:0", server.url, account=account)
        await chat.complete(ask("Grüße"))
        await chat.aclose()
    (request,) = server.received
    assert request.path == "/model/eu.anthropic.claude-x-v1%3A0/converse"
    assert "/eu-west-1/bedrock/aws4_request" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == "a session"


async def test_a_wrong_secret_is_refused() -> None:
    async with SERVER(api_key="AKIDEXAMPLE") as server:
        chat = BedrockChat("m", server.url, account=AwsAccount("eu-west-1", "AKIDEXAMPLE", "wrong"))
        with pytest.raises(AccessRefused):
            await chat.complete(ask())
        await chat.aclose()


async def test_a_bedrock_key_goes_as_a_bearer_token_and_nothing_is_signed() -> None:
    async with SERVER(api_key=SECRET) as server:
        chat = BedrockChat("m", server.url, SECRET)
        await chat.complete(ask())
        await chat.aclose()
    assert server.received[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "x-amz-date" not in server.received[0].headers


async def test_without_credentials_it_is_said_what_to_set() -> None:
    async with SERVER() as server:
        chat = BedrockChat("m", server.url)
        with pytest.raises(AccessRefused, match="AWS_ACCESS_KEY_ID"):
            await chat.complete(ask())
        await chat.aclose()
    assert server.received == []


async def test_the_address_follows_from_the_region() -> None:
    chat = BedrockChat("m", account=AwsAccount("ap-south-1"))
    assert chat.facts.host == "https://bedrock-runtime.ap-south-1.amazonaws.com"


async def test_a_conversation_is_written_in_the_vendor_s_form() -> None:
    async with SERVER() as server:
        options = {"top_p": 0.9, "max_tokens": 500, "top_k": 3, "extra_fields": {"thinking": {"type": "disabled"}}}
        chat = BedrockChat("m", server.url, account=ACCOUNT, options=options)
        await chat.complete(ask("Hello", temperature=0.2, max_tokens=50))
        await chat.aclose()
    assert server.received[0].body == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"temperature": 0.2, "topP": 0.9, "maxTokens": 50},
        "additionalModelRequestFields": {"top_k": 3, "thinking": {"type": "disabled"}},
    }


async def test_an_exception_inside_a_stream_is_told_apart() -> None:
    exception = frame("throttlingException", {"message": "Too many tokens"}, message_type="exception")
    async with SERVER() as server:
        server.script(Reaction.raw(frame("messageStart", {"role": "assistant"}) + exception))
        chat = BedrockChat("m", server.url, account=ACCOUNT)
        with pytest.raises(ModelRateLimited, match="throttlingException"):
            await collect(chat, ask())
        await chat.aclose()


async def test_titan_embeds_one_text_a_call() -> None:
    async with SERVER() as server:
        model = bedrock_embedding(
            "amazon.titan-embed-text-v2:0", server.url, dimension=32, account=ACCOUNT, send_dimensions=True
        )
        vectors = await model.embed(["one", "two"], purpose="document")
        await model.aclose()
    assert float((vectors * hash_vectors(["one", "two"], 32)).sum()) == pytest.approx(2.0)
    assert [request.body for request in server.received] == [
        {"inputText": text, "dimensions": 32, "normalize": True} for text in ("one", "two")
    ]
    assert server.received[0].path == "/model/amazon.titan-embed-text-v2%3A0/invoke"


async def test_cohere_on_bedrock_is_told_the_purpose() -> None:
    async with SERVER() as server:
        model = bedrock_embedding("cohere.embed-multilingual-v3", server.url, account=ACCOUNT)
        await model.embed(["one", "two"], purpose="document")
        await model.embed(["who?"], purpose="query")
        await model.aclose()
    assert [request.body["input_type"] for request in server.received] == ["search_document", "search_query"]
