"""What every binding must do, as tests over real HTTP against the stand-in server.

Derive a test class from `ChatContract` or `EmbeddingContract` and say how the model is made::

    class TestMyChat(ChatContract):
        def make(self, server, **options):
            return MyChat("stand-in", server.url, **options)

A binding of another dialect names the stand-in server that speaks it as `server_type`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import formatdate
from time import time
from typing import Any

import numpy as np
import pytest

from lightrag.errors import (
    AccessRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.llm.contracts import ChatDelta, ChatModel, ChatRequest, EmbeddingModel, Message, Role, Usage
from lightrag.llm.usage import noted_usage
from lightrag.testing.fake_models import hash_vectors
from lightrag.testing.model_server import ModelServer, Reaction

SECRET = "sk-contract-0123456789abcdef"  # noqa: S105

FAILURES: list[tuple[Reaction, type[ModelError], bool]] = [
    (Reaction.status_code(500), ModelUnreachable, True),
    (Reaction.status_code(503), ModelUnreachable, True),
    (Reaction.status_code(429), ModelRateLimited, True),
    (Reaction.status_code(503, retry_after="2"), ModelRateLimited, True),
    (
        Reaction.status_code(429, message="You exceeded your current quota", code="insufficient_quota"),
        AccessRefused,
        False,
    ),
    (Reaction.status_code(401), AccessRefused, False),
    (Reaction.status_code(404, message="model 'x' not found"), AccessRefused, False),
    (Reaction.status_code(400, message="bad parameter"), ModelRefused, False),
    (Reaction.status_code(400, message="the input exceeds the context length"), ContextTooLong, False),
    (Reaction.raw(b"<html>a login page</html>"), UnusableAnswer, True),
    (Reaction.raw(b""), UnusableAnswer, True),
    (Reaction.raw(b"[1, 2]"), UnusableAnswer, True),
    (Reaction.cut(), ModelUnreachable, True),
]
"""What a server may do to a whole answer, the error that it stands for, and whether trying again may help."""


def ask(text: str = "Say something.", role: Role = Role.ANSWER, **fields: Any) -> ChatRequest:
    """Return a request of one user message."""
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), role, **fields)


async def collect(model: ChatModel, request: ChatRequest) -> list[ChatDelta]:
    """Return all pieces of a streamed answer."""
    return [delta async for delta in model.stream(request)]


def after_what_was_taken_back(deltas: list[ChatDelta]) -> list[ChatDelta]:
    """Return the pieces from the last one on that took back what came before it; all where none did."""
    begins = [number for number, delta in enumerate(deltas) if delta.takes_back]
    return deltas[begins[-1] :] if begins else deltas


def closed_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class _Contract:
    server_type: Callable[..., ModelServer] = ModelServer
    options_for_secret: dict[str, Any] = {"api_key": SECRET}  # noqa: RUF012

    async def provoke(self, model: Any) -> None:
        """Make one call."""
        raise AssertionError("derive from ChatContract or EmbeddingContract")

    def make(self, server: ModelServer, **options: Any) -> Any:
        """Return the model under test; `options` are `api_key` and `timeout`."""
        raise AssertionError("say how the model is made")

    @pytest.mark.parametrize(("reaction", "error", "retryable"), FAILURES)
    async def test_what_goes_wrong_becomes_one_of_our_errors(
        self, reaction: Reaction, error: type[ModelError], retryable: bool
    ) -> None:
        async with self.server_type() as server:
            server.script(reaction)
            model = self.make(server)
            with pytest.raises(error) as caught:
                await self.provoke(model)
            await model.aclose()
        assert type(caught.value) is error
        assert caught.value.retryable is retryable

    @pytest.mark.parametrize(("header", "seconds"), [("2.5", 2.5), ("soon", None)])
    async def test_a_rate_limit_says_how_long_to_wait(self, header: str, seconds: float | None) -> None:
        assert await self._told_to_wait(header) == seconds

    async def test_a_rate_limit_may_name_a_date(self) -> None:
        begun = time()
        wait = await self._told_to_wait(formatdate(begun + 3600, usegmt=True))
        assert wait is not None
        # Dates are whole seconds.
        assert 3599 - (time() - begun) <= wait <= 3600

    async def _told_to_wait(self, header: str) -> float | None:
        async with self.server_type() as server:
            server.script(Reaction.status_code(429, retry_after=header))
            model = self.make(server)
            with pytest.raises(ModelRateLimited) as caught:
                await self.provoke(model)
            await model.aclose()
        return caught.value.retry_after

    async def test_an_error_names_host_and_model_and_never_the_key(self) -> None:
        async with self.server_type(api_key="another key") as server:
            model = self.make(server, **self.options_for_secret)
            with pytest.raises(ModelRefused) as caught:
                await self.provoke(model)
            await model.aclose()
        assert "stand-in" in str(caught.value)
        assert server.url in str(caught.value)
        assert SECRET not in str(caught.value)

    async def test_a_server_that_is_not_there_is_unreachable(self) -> None:
        server = self.server_type()
        server.url = f"http://127.0.0.1:{closed_port()}"
        model = self.make(server)
        with pytest.raises(ModelUnreachable):
            await self.provoke(model)
        await model.aclose()

    async def test_a_late_answer_is_given_up(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.late(5.0))
            model = self.make(server, timeout=0.2)
            with pytest.raises(ModelUnreachable, match=r"0\.2 s"):
                await self.provoke(model)
            await model.aclose()

    async def test_a_failed_call_is_not_repeated_behind_our_back(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.status_code(500))
            model = self.make(server)
            with pytest.raises(ModelUnreachable):
                await self.provoke(model)
            await model.aclose()
            assert server.stats()["failed"] == 1

    async def test_no_credentials_are_taken_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OLLAMA_API_KEY"):
            monkeypatch.setenv(name, SECRET)
        async with self.server_type() as server:
            model = self.make(server)
            await self.provoke(model)
            await model.aclose()
            headers = [value for request in server.requests for value in request.headers.items()]
        assert not [header for header in headers if header[0] == "authorization" or SECRET in header[1]]

    async def test_the_key_is_sent(self) -> None:
        async with self.server_type(api_key=SECRET) as server:
            model = self.make(server, **self.options_for_secret)
            await self.provoke(model)
            await model.aclose()


class ChatContract(_Contract):
    """Tests of a `ChatModel`."""

    def make(self, server: ModelServer, **options: Any) -> ChatModel:
        """Return the model under test, named `stand-in`."""
        raise AssertionError("say how the model is made")

    async def provoke(self, model: ChatModel) -> None:
        """Make one call."""
        await model.complete(ask())

    async def test_an_answer_comes_with_what_it_cost(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says("Paris.", usage=(120, 3)))
            model = self.make(server)
            reply = await model.complete(ask("Capital of France?", temperature=0.5, max_tokens=99))
            await model.aclose()
        assert (reply.text, reply.finish_reason, reply.from_cache) == ("Paris.", "stop", False)
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (120, 3, False)
        assert [message["content"] for message in server.bodies("")[-1]["messages"]] == [
            "Be brief.",
            "Capital of France?",
        ]

    async def test_cost_is_estimated_where_the_server_does_not_tell(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says("An answer.", usage=None))
            model = self.make(server)
            reply = await model.complete(ask("x" * 400))
            await model.aclose()
        assert reply.usage.estimated
        assert 90 < reply.usage.prompt_tokens < 120
        assert reply.usage.completion_tokens > 0

    async def test_a_cut_off_answer_says_so(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says("Half an ans", finish_reason="length"))
            model = self.make(server)
            reply = await model.complete(ask())
            await model.aclose()
        assert reply.finish_reason == "length"

    @pytest.mark.parametrize("text", ["", "  \n", "<think>only thoughts</think>", "<think>never ending"])
    async def test_an_answer_without_text_is_unusable(self, text: str) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says(text), Reaction.says(text))
            model = self.make(server)
            with pytest.raises(UnusableAnswer):
                await model.complete(ask())
            with pytest.raises(UnusableAnswer):
                await collect(model, ask())
            await model.aclose()

    @pytest.mark.parametrize(
        "answer",
        [
            {"text": "Yes.", "thinking": "Hmm."},
            {"text": "<think>Hmm.</think>\n\nYes."},
        ],
    )
    async def test_thinking_is_no_part_of_the_answer(self, answer: dict[str, str]) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says(**answer), Reaction.says(**answer))
            model = self.make(server)
            reply = await model.complete(ask())
            deltas = await collect(model, ask())
            await model.aclose()
        assert (reply.text, reply.thinking) == ("Yes.", "Hmm.")
        assert "".join(delta.text for delta in deltas) == "Yes."
        assert "".join(delta.thinking for delta in deltas) == "Hmm."

    async def test_tags_that_are_torn_apart_by_the_stream_are_recognised(self) -> None:
        pieces = ("<th", "ink>Hm", "m.</", "think", ">\n", "Ye", "s <", "3.")
        async with self.server_type() as server:
            server.script(Reaction.says("".join(pieces), pieces=pieces))
            model = self.make(server)
            deltas = await collect(model, ask())
            await model.aclose()
        assert "".join(delta.text for delta in deltas) == "Yes <3."
        assert "".join(delta.thinking for delta in deltas) == "Hmm."

    async def test_thinking_that_was_never_opened_is_no_part_of_the_answer(self) -> None:
        said = Reaction.says("Hmm, so.\n</think>\n\nYes.")
        async with self.server_type() as server:
            server.script(*[said] * 5, Reaction.says("Hmm, s", finish_reason="length"))
            model = self.make(server)
            first, second = [await collect(model, ask()) for _ in range(2)]
            reply = await model.complete(ask())
            fresh = self.make(server)
            assert (await fresh.complete(ask())).text == "Yes."
            taught = await collect(fresh, ask())
            with pytest.raises(UnusableAnswer, match="cut off before any text"):
                await collect(fresh, ask())
            await model.aclose()
            await fresh.aclose()
        assert (reply.text, reply.thinking) == ("Yes.", "Hmm, so.")
        # The first stream cannot know; later ones do, and so does the first one after a whole answer.
        assert "".join(delta.text for delta in after_what_was_taken_back(first)) == "Yes."
        for deltas in (second, taught):
            assert "".join(delta.text for delta in deltas) == "Yes."
            assert "".join(delta.thinking for delta in deltas).strip() == "Hmm, so."
            assert not any(delta.takes_back for delta in deltas)

    async def test_a_model_that_does_not_think_any_more_still_answers(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says("Hmm.</think>Yes."), *[Reaction.says("one two", usage=None)] * 4)
            model = self.make(server)
            await model.complete(ask())
            for _ in range(3):
                *_, last = deltas = await collect(model, ask())
                assert "".join(delta.text for delta in deltas) == "one two"
            assert last.usage is not None
            assert last.usage.completion_tokens < 5
            pieces = await collect(model, ask())
            await model.aclose()
        assert [piece.text for piece in pieces][:2] == ["one", " two"]

    async def test_a_stream_arrives_in_pieces_and_ends_with_its_cost(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.says("one two three", usage=(50, 3)))
            model = self.make(server)
            *pieces, last = await collect(model, ask())
            await model.aclose()
        assert [piece.text for piece in pieces] == ["one", " two", " three"]
        assert last.finish_reason == "stop"
        assert last.usage is not None
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (50, 3)

    @pytest.mark.parametrize("reaction", [Reaction.cut(2), Reaction.half_stream(2)])
    async def test_a_stream_that_breaks_off_is_an_error_after_what_arrived(self, reaction: Reaction) -> None:
        arrived: list[ChatDelta] = []

        async def listen(model: ChatModel) -> None:
            async for delta in model.stream(ask()):
                arrived.append(delta)  # noqa: PERF401 - what came before the error counts

        async with self.server_type() as server:
            server.script(reaction)
            model = self.make(server)
            with pytest.raises(ModelUnreachable):
                await listen(model)
            await model.aclose()
        assert "".join(delta.text for delta in arrived) == "This is"

    async def test_an_error_status_for_a_stream_is_raised_before_any_piece(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.status_code(429, retry_after="3"))
            model = self.make(server)
            with pytest.raises(ModelRateLimited) as caught:
                await collect(model, ask())
            await model.aclose()
        assert caught.value.retry_after == 3.0

    async def test_garbage_in_a_stream_is_unusable(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.raw(b"data: {this is not JSON\n\n"))
            model = self.make(server)
            with pytest.raises(UnusableAnswer):
                await collect(model, ask())
            await model.aclose()

    async def test_closing_a_stream_ends_the_call(self) -> None:
        async with self.server_type(tps=20) as server:
            server.script(Reaction.says("word " * 400))
            model = self.make(server)
            stream = model.stream(ask())
            assert (await anext(stream)).text
            await stream.aclose()  # type: ignore[attr-defined]
            await model.aclose()

    async def test_calls_run_side_by_side(self) -> None:
        async with self.server_type() as server:
            model = self.make(server)
            with server.holding():
                calls = [asyncio.create_task(model.complete(ask(str(number)))) for number in range(8)]
                async with asyncio.timeout(20):
                    await server.has_calls(8)
            await asyncio.gather(*calls)
            await model.aclose()

    async def test_a_prompt_that_does_not_fit_is_refused_and_not_cut(self) -> None:
        async with self.server_type(context_tokens=100) as server:
            model = self.make(server)
            with pytest.raises(ContextTooLong, match="smaller chunks"):
                await model.complete(ask("word " * 1000))
            await model.aclose()


class EmbeddingContract(_Contract):
    """Tests of an `EmbeddingModel`."""

    tells_tokens = True
    """Whether the server says how many tokens it read."""

    def make(self, server: ModelServer, **options: Any) -> EmbeddingModel:
        """Return the model under test, named `stand-in`; `options` may hold `dimension` and `max_batch`, too."""
        raise AssertionError("say how the model is made")

    async def provoke(self, model: EmbeddingModel) -> None:
        """Make one call."""
        await model.embed(["a text"], purpose="document")

    async def test_vectors_come_in_order_and_normalised(self) -> None:
        texts = [f"text number {number}" for number in range(7)]
        async with self.server_type(dimension=48) as server:
            model = self.make(server, max_batch=3)
            vectors = await model.embed(texts, purpose="document")
            await model.aclose()
        assert vectors.dtype == np.float32
        assert model.facts.dimension == 48
        np.testing.assert_allclose(vectors, hash_vectors(texts, 48), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
        assert server.stats()["embed_calls"] == 3

    async def test_tokens_are_those_that_the_server_tells(self) -> None:
        texts = [f"text number {number}" for number in range(7)]
        async with self.server_type() as server:
            model = self.make(server, max_batch=3)
            with noted_usage() as noted:
                await model.embed(texts, purpose="document")
            await model.aclose()
        told = Usage(sum(len(text) // 4 + 1 for text in texts))
        assert noted.usage == (told if self.tells_tokens else None)

    async def test_no_texts_make_no_call(self) -> None:
        async with self.server_type() as server:
            model = self.make(server, dimension=64)
            vectors = await model.embed([], purpose="document")
            await model.aclose()
        assert vectors.shape == (0, 64)
        assert "embed_calls" not in server.stats()

    async def test_another_dimension_than_expected_is_refused(self) -> None:
        async with self.server_type(dimension=48) as server:
            model = self.make(server, dimension=64)
            with pytest.raises(ModelRefused, match=r"48.*64"):
                await model.embed(["a text"], purpose="document")
            await model.aclose()

    async def test_a_missing_vector_is_unusable(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.raw(self.body_of([[1.0, 0.0]])))
            model = self.make(server)
            with pytest.raises(UnusableAnswer, match="1 vectors came back for 2 texts"):
                await model.embed(["one", "two"], purpose="document")
            await model.aclose()

    async def test_vectors_are_normalised_here(self) -> None:
        async with self.server_type() as server:
            server.script(Reaction.raw(self.body_of([[3.0, 4.0], [0.0, 0.0]])))
            model = self.make(server)
            vectors = await model.embed(["one", "two"], purpose="query")
            await model.aclose()
        np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 0.0]], atol=1e-6)

    async def test_a_text_that_does_not_fit_is_refused_and_not_cut(self) -> None:
        async with self.server_type(context_tokens=100) as server:
            model = self.make(server)
            with pytest.raises(ContextTooLong):
                await model.embed(["short", "word " * 1000], purpose="document")
            await model.aclose()

    def body_of(self, vectors: list[list[float]]) -> bytes:
        """Return the body of an answer that holds these vectors as lists."""
        raise AssertionError("say how vectors are written")
