"""A worker with models made of rules, for tests: `python -m llmservice.testing.fake_worker FD`.

It is a real worker process on the real wire; only what a model would compute is replaced. The last message's text
says what to do, in words separated by blanks:

    say N [SLOW]  write N words, w0 w1 …, each after SLOW seconds
    until PATH    write a word, and another one once the file is there
    die           end the process before the first word
    die-once PATH the same, unless the file is there; it is made first
    die-after N   end the process after N words
    long          claim that the prompt does not fit
    bad           claim that a parameter cannot be used
    fail          fail for a reason of its own
    call NAME     write a tool call
    parts NAME    think, and make a call that the engine itself has read, in two parts
    seed          write the seed and the temperature

Anything else is written back word by word. A JSON schema is answered with the least that it admits.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmservice.backends.contracts import (
    Backend,
    ChatRequest,
    CompletionRequest,
    Embedded,
    ModelFacts,
    ModelSource,
    Piece,
    Sampling,
    Score,
    TokenLogprob,
    VectorKind,
)
from llmservice.errors import ContextOverflow, InvalidRequest, ModelLoadError
from llmservice.tiers import ModelKind
from llmservice.workers.main import serve

DIMENSION = 8


class FakeModel:
    """A model of every kind."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return ModelFacts("fake", 4096, "fake", DIMENSION, ("dense", "sparse", "colbert"))

    async def tokenize(self, text: str) -> list[int]:
        """Return a number for each word."""
        return [len(word) for word in text.split()]

    async def aclose(self) -> None:
        """Nothing is held."""

    def chat(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """Do what the last message says."""
        return _do(str(request.messages[-1]["content"]), request.sampling, request.json_schema)

    def complete(self, request: CompletionRequest) -> AsyncGenerator[Piece, None]:
        """Do what the prompt says."""
        return _do(request.prompt, request.sampling, request.json_schema)

    async def embed(self, texts: Sequence[str], kinds: frozenset[VectorKind], *, truncate: bool) -> list[Embedded]:
        """Return vectors that depend on the text alone."""
        for text in texts:
            if text == "die":
                os._exit(9)
            if text == "slow":
                await asyncio.sleep(1.0)
        return [_embedded(text, kinds) for text in texts]

    async def score(self, query: str, documents: Sequence[str], *, document_tokens: int | None = None) -> list[Score]:
        """Score by words in common."""
        wanted = set(query.lower().split())
        read = [text.lower().split()[:document_tokens] for text in documents]
        return [Score(2.0 * len(wanted & set(words)) - 1.0, len(words)) for words in read]


def load_fake(kind: ModelKind, source: ModelSource, engine: str) -> Backend:
    """Load a fake model; a file that says why it is broken cannot be loaded."""
    text = source.path.read_text(errors="replace") if source.path.is_file() else ""
    if "broken" in text:
        raise ModelLoadError(f"{source.path.name} is broken; copy it again")
    if "abort" in text:
        sys.stderr.write("native code: assertion failed\n")
        sys.stderr.flush()
        os._exit(134)
    return FakeModel(source)


async def _do(text: str, sampling: Sampling, schema: Mapping[str, Any] | None) -> AsyncGenerator[Piece, None]:
    for piece in _parts(text.split()):
        yield piece
    match text.split():
        case ["say", count, *slow]:
            words, pause, dies = [f"w{number}" for number in range(int(count))], float(slow[0]) if slow else 0.0, None
        case ["until", path]:
            yield Piece("begun ")
            while not _is_there(path):  # noqa: ASYNC110 - another process makes the file
                await asyncio.sleep(0.01)
            words, pause, dies = ["ended"], 0.0, None
        case ["die"]:
            os._exit(9)
        case ["die-once", path, *rest]:
            _die_once(Path(path))
            words, pause, dies = rest, 0.0, None
        case ["die-after", count]:
            words, pause, dies = [f"w{number}" for number in range(99)], 0.01, int(count)
        case ["long"]:
            raise ContextOverflow(5000, 4096)
        case ["bad"]:
            raise InvalidRequest("that parameter cannot be used")
        case ["fail"]:
            raise RuntimeError("the model broke down")
        case ["call", name]:
            words, pause, dies = [f'<tool_call>{{"name": "{name}", "arguments": {{"a": 1}}}}</tool_call>'], 0.0, None
        case ["parts", _]:
            words, pause, dies = [], 0.0, None
        case ["seed"]:
            words, pause, dies = [f"{sampling.seed} {sampling.temperature}"], 0.0, None
        case _:
            words, pause, dies = text.split(), 0.0, None
    if schema is not None:
        words = [json.dumps(_least(schema))]
    words = words[: sampling.max_tokens]
    for number, word in enumerate(words):
        if dies == number:
            os._exit(9)
        await asyncio.sleep(pause)
        spoken = word if number == 0 else f" {word}"
        logprobs = (TokenLogprob(spoken, -0.5, ((spoken, -0.5),) * (sampling.logprobs or 0)),)
        yield Piece(spoken, logprobs if sampling.logprobs is not None else ())
    finish = "length" if len(words) == sampling.max_tokens else "stop"
    yield Piece(finish_reason=finish, prompt_tokens=len(text.split()), completion_tokens=len(words))  # type: ignore[arg-type]


def _parts(words: Sequence[str]) -> Sequence[Piece]:
    match words:
        case ["parts", name]:
            first = {"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": '{"a"'}}
            calls = (first, {"index": 0, "function": {"arguments": ": 1}"}})
            return [Piece(reasoning="I should call."), *(Piece(tool_calls=(call,)) for call in calls)]
    return ()


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os._exit(9)


def _least(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return _least(schema["anyOf"][0])
    if schema.get("type") == "object" or not schema:
        return {name: _least(one) for name, one in schema.get("properties", {}).items()}
    return {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": []}.get(str(schema.get("type")))


def _embedded(text: str, kinds: frozenset[VectorKind]) -> Embedded:
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest()[:DIMENSION], np.uint8).astype(np.float32) + 1
    dense = digest / np.linalg.norm(digest)
    words = text.split()
    return Embedded(
        len(words),
        dense if "dense" in kinds else None,
        {str(len(word)): 0.5 for word in words} if "sparse" in kinds else None,
        np.stack([dense] * max(len(words), 1)) if "colbert" in kinds else None,
    )


if __name__ == "__main__":
    serve(load_fake, int(sys.argv[1]))
