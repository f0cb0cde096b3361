"""Language models on MLX: Apple silicon first, and Linux on the processor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import struct
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmservice.backends.contracts import (
    ChatRequest,
    CompletionRequest,
    FinishReason,
    ModelFacts,
    Piece,
    TokenLogprob,
)
from llmservice.backends.files import default_context, fingerprint, read_json, require_readable
from llmservice.backends.json_schemas import guided
from llmservice.backends.mlx_engine import MlxEngine, Step, Task
from llmservice.backends.mlx_sampling import GrammarMask, make_processors, make_sampler
from llmservice.backends.mlx_tools import ToolText
from llmservice.backends.stop_text import StopText
from llmservice.errors import ContextOverflow, InvalidRequest, ModelLoadError
from llmservice.model_manager import BaseModelWrapper

_CONTEXT_TOKENS = 6
"""Tokens before a new one that it is decoded with."""
_LONGEST_CHARACTER = 4
"""Most tokens that a character is spread over; more are no text."""
_INCOMPLETE = "\ufffd"
_ENCODERS = ("bert", "roberta")


class MlxModel(BaseModelWrapper):
    """A directory in Hugging Face's layout, in one running batch that answers join and leave."""

    def initialize(self) -> None:
        """Check the files and load them; blocks."""
        config = _check_directory(self.source.path)
        self._engine = MlxEngine(self.source.path, self.source.slots)
        self._tokenizer = self._engine.tokenizer
        own = int(_text_config(config).get("max_position_embeddings") or 0)
        context = min(self.source.context_length or default_context(self.source, own), own or 1 << 30)
        self._facts = ModelFacts("mlx", context, fingerprint(self.source.path))
        self._vocabulary = int(_text_config(config).get("vocab_size") or len(self._tokenizer))
        self._special = frozenset(self._tokenizer.all_special_ids)
        self._slots = asyncio.Semaphore(self.source.slots)
        self._grammar_lock = threading.Lock()
        self._grammar_tokenizer: Any = None

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def generate(self, request: ChatRequest | CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of an answer."""
        prompt = await asyncio.to_thread(self._prompt, request)
        limit = self._facts.context_length
        if len(prompt) >= limit:
            raise ContextOverflow(len(prompt), limit)
        grammar = await asyncio.to_thread(self._grammar, request.json_schema)
        async with self._slots:
            steps: asyncio.Queue[Step | Exception] = asyncio.Queue()
            number = self._engine.add(self._task(request, prompt, grammar, steps))
            writer = _Writer(self._tokenizer, self._special, request.sampling.stop, prompt, self._calls(request))
            try:
                while not writer.finished:
                    step = await steps.get()
                    if isinstance(step, Exception):
                        raise step
                    for piece in writer.read(step):
                        yield piece
            finally:
                self._engine.remove(number)

    def _calls(self, request: ChatRequest | CompletionRequest) -> ToolText | None:
        """Return what reads calls out of an answer, where it may have some and the model's syntax is known."""
        if isinstance(request, CompletionRequest) or not request.tools or request.json_schema is not None:
            return None
        return ToolText(self._tokenizer, request.tools) if self._tokenizer.has_tool_calling else None

    async def tokenize(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return await asyncio.to_thread(self._encode, text, False)

    async def aclose(self) -> None:
        """Stop what runs and release the model."""
        await asyncio.to_thread(self._engine.close)

    def _task(
        self,
        request: ChatRequest | CompletionRequest,
        prompt: Sequence[int],
        grammar: GrammarMask | None,
        steps: asyncio.Queue[Step | Exception],
    ) -> Task:
        loop = asyncio.get_running_loop()
        sampling = request.sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed & (2**63 - 1)

        def deliver(step: Step | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(steps.put_nowait, step)

        return Task(
            prompt,
            min(sampling.max_tokens, self._facts.context_length - len(prompt)),
            lambda: make_sampler(sampling, self._vocabulary, seed),
            lambda: make_processors(sampling, grammar),
            sampling.logprobs,
            deliver,
        )

    def _prompt(self, request: ChatRequest | CompletionRequest) -> list[int]:
        if isinstance(request, CompletionRequest):
            return self._encode(request.prompt, True) or [self._opening_token()]
        if self._tokenizer.chat_template is None:
            raise InvalidRequest(
                f"The model {self.source.name} has no chat template; use /v1/completions, or add a "
                "chat_template.jinja to its directory"
            )
        try:
            found = self._tokenizer.apply_chat_template(
                [_plain(message) for message in request.messages],
                tools=[dict(tool) for tool in request.tools] or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except Exception as error:  # templates raise what they like
            raise InvalidRequest(f"The model's chat template cannot use these messages: {error}") from error
        return self._encode(str(found), False)

    def _encode(self, text: str, special: bool) -> list[int]:
        encodable = text.encode("utf-8", "replace").decode("utf-8")  # the tokenizer refuses lone surrogates
        return [int(token) for token in self._tokenizer.encode(encodable, add_special_tokens=special)]

    def _opening_token(self) -> int:
        token = self._tokenizer.bos_token_id
        return int(token if token is not None else next(iter(self._tokenizer.eos_token_ids)))

    def _grammar(self, schema: Mapping[str, Any] | None) -> GrammarMask | None:
        """Return the mask for a schema; the vocabulary is prepared on first use, which takes up to a second."""
        if schema is None:
            return None
        text = guided(schema)
        with self._grammar_lock:
            if self._grammar_tokenizer is None:
                import llguidance.hf

                self._grammar_tokenizer = llguidance.hf.from_tokenizer(self._tokenizer._tokenizer)
        return GrammarMask(self._grammar_tokenizer, text)


class _Words:
    """Makes text of tokens as they come.

    Tokens are decoded together with those before them, on which blanks depend, and kept until whole characters are
    there.
    """

    def __init__(self, tokenizer: Any, context: Sequence[int], *, with_special: bool) -> None:
        self._tokenizer = tokenizer
        self._skip_special = not with_special
        self._tokens = list(context)
        self._shown = len(self._tokens)

    def add(self, token: int) -> str:
        """Return the text that a token completes."""
        self._tokens.append(token)
        text = self._pending()
        if text.endswith(_INCOMPLETE) and len(self._tokens) - self._shown < _LONGEST_CHARACTER:
            return ""
        self._settle()
        return text

    def rest(self) -> str:
        """Return what was kept, at the end."""
        text = self._pending()
        self._settle()
        return text

    def _pending(self) -> str:
        before = self._decode(self._tokens[: self._shown])
        return self._decode(self._tokens)[len(before) :]

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=self._skip_special))

    def _settle(self) -> None:
        self._tokens = self._tokens[-_CONTEXT_TOKENS:]
        self._shown = len(self._tokens)


class _Writer:
    """Makes pieces of tokens: text, stop sequences, calls, counts."""

    def __init__(
        self,
        tokenizer: Any,
        special: frozenset[int],
        stops: Sequence[str],
        prompt: Sequence[int],
        calls: ToolText | None,
    ) -> None:
        self._tokenizer = tokenizer
        # The marks around a call are special tokens with some models, and part of what is read.
        marks = frozenset((*tokenizer.tool_call_start_tokens, *tokenizer.tool_call_end_tokens) if calls else ())
        self._words = _Words(tokenizer, prompt[-_CONTEXT_TOKENS:], with_special=bool(marks & special))
        self._special = special - marks
        self._calls = calls
        self._has_called = False
        self._stop = StopText(stops)
        self._prompt_tokens = len(prompt)
        self._count = 0
        self.finished = False

    def read(self, step: Step) -> list[Piece]:
        """Return what a token adds to the answer, and at the end the piece that ends it."""
        self._count += 1
        ended = step.finish == "stop"
        text = ""
        if not ended and step.token not in self._special:
            text = self._words.add(step.token)
        if step.finish is not None:
            text += self._words.rest()
        shown, stopped = self._stop.feed(text)
        if step.finish is not None and not stopped:
            shown += self._stop.rest()
        self.finished = stopped or step.finish is not None
        pieces = []
        logprobs = () if ended else self._logprobs(step)
        shown, calls = self._called(shown)
        if shown or logprobs or calls:
            pieces.append(Piece(shown, logprobs, tool_calls=calls))
        if self.finished:
            reason: FinishReason = "length" if step.finish == "length" and not stopped else "stop"
            if reason == "stop" and self._has_called:
                reason = "tool_calls"
            pieces.append(Piece(finish_reason=reason, prompt_tokens=self._prompt_tokens, completion_tokens=self._count))
        return pieces

    def _called(self, text: str) -> tuple[str, tuple[Mapping[str, Any], ...]]:
        """Return what of a text is said and what is called."""
        if self._calls is None:
            return text, ()
        said, calls = self._calls.feed(text)
        if self.finished:
            more_said, more_calls = self._calls.rest()
            said, calls = said + more_said, calls + more_calls
        self._has_called |= bool(calls)
        return said, calls

    def _logprobs(self, step: Step) -> tuple[TokenLogprob, ...]:
        if step.logprob is None:
            return ()
        top = tuple((self._tokenizer.decode([token]), value) for token, value in step.top)
        return (TokenLogprob(self._tokenizer.decode([step.token]), step.logprob, top),)


def _check_directory(path: Path) -> dict[str, Any]:
    """Return a directory's configuration. Raises `ModelLoadError` where it holds no language model for MLX."""
    require_readable(path)
    if path.is_file():
        raise ModelLoadError(
            f"{path} is a file and MLX needs a directory with config.json, tokenizer.json and .safetensors files; "
            "for a GGUF file set the backend llamacpp"
        )
    _require_file(path, "config.json")
    config = read_json(path / "config.json")
    kind = str(config.get("model_type", ""))
    if any(word in kind for word in _ENCODERS):
        raise ModelLoadError(
            f"{path} is an encoder ({kind}) and cannot write text; convert it with llmservice convert and "
            "use it for the EMBEDDING or RERANKER tier with the backend onnx"
        )
    _require_file(path, "tokenizer_config.json")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise ModelLoadError(f"The directory {path} has no .safetensors files with weights; download them too")
    for file in weights:
        _check_weights(file)
    return config


def _require_file(path: Path, name: str) -> None:
    if not (path / name).is_file():
        raise ModelLoadError(f"The directory {path} has no {name}; download the whole directory of the model")


def _check_weights(file: Path) -> None:
    """Compare a safetensors file's size with what its header announces."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length < size else None
        ends = [int(item["data_offsets"][1]) for name, item in (header or {}).items() if name != "__metadata__"]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        ends = []
    if not ends or size < 8 + length + max(ends):
        raise ModelLoadError(f"{file} is damaged or incomplete; download or copy it again")


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the language model's part of a configuration, which models that also see keep apart."""
    found = config.get("text_config")
    return found if isinstance(found, Mapping) else config


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its content as one text, which is what templates expect."""
    content = message.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, Mapping) or part.get("type") != "text" for part in content):
            raise InvalidRequest("This model reads text only; a message has a part that is not text")
        content = "".join(str(part["text"]) for part in content)
    found = {**message, "content": "" if content is None else content}
    if message.get("tool_calls"):
        found["tool_calls"] = [_plain_call(call) for call in message["tool_calls"]]
    return found


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call with its arguments as an object; OpenAI's clients send them as text, templates print objects."""
    function = dict(call.get("function") or {})
    with contextlib.suppress(TypeError, ValueError):
        function["arguments"] = json.loads(function.get("arguments") or "{}")
    return {**call, "function": function}
