"""Extraction by a chat model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from lightrag.errors import UnusableAnswer
from lightrag.indexing.answer_parser import parse_answer
from lightrag.llm.contracts import ChatModel, ChatRequest, Message, Role
from lightrag.prompts import fill, template
from lightrag.types import Chunk, ExtractedEntity, Extraction

DEFAULT_ENTITY_TYPES = (
    "person",
    "organization",
    "location",
    "event",
    "concept",
    "method",
    "product",
    "work",
    "data",
    "date",
)


@dataclasses.dataclass(frozen=True, slots=True)
class LLMExtractor:
    """Asks a chat model for records, and once more where the answer cannot be used.

    The system message is the same for every chunk, so that servers which cache prompts by prefix read it once.
    `rounds` further questions ask for what was missed (LightRAG's gleaning); each costs another call.
    """

    chat: ChatModel
    language: str = "English"
    entity_types: Sequence[str] = DEFAULT_ENTITY_TYPES
    rounds: int = 0
    attempts: int = 2

    @property
    def fingerprint(self) -> str:
        """Names the model, the prompt and the number of rounds."""
        digest = hashlib.blake2b(self._system().encode(), digest_size=6).hexdigest()
        return f"llm:{self.chat.facts.identity}:{digest}:{self.rounds}"

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return what the model found; raises `UnusableAnswer` where no attempt gave records."""
        messages = self._opening(chunk)
        found, answer = await self._ask(chunk, messages)
        for _ in range(self.rounds):
            messages = (*messages, Message("assistant", answer), Message("user", template("extract_more")))
            try:
                more, answer = await self._ask(chunk, messages)
            except UnusableAnswer:
                break
            found = _merge(found, more)
        return found

    def requests(self, chunk: Chunk) -> list[ChatRequest]:
        """Return the requests by which the chunk's first answers are cached."""
        return [self._request(chunk, self._opening(chunk), attempt) for attempt in range(self.attempts)]

    def _opening(self, chunk: Chunk) -> tuple[Message, ...]:
        return (Message("system", self._system()), Message("user", fill("extract_user", text=chunk.content)))

    def _request(self, chunk: Chunk, messages: tuple[Message, ...], attempt: int) -> ChatRequest:
        # A cached answer that could not be read would be given again; another temperature makes it another request,
        # and lets a model that is stuck in a rut leave it.
        temperature = None if attempt == 0 else 0.5 + 0.2 * attempt
        return ChatRequest(messages, Role.EXTRACT, temperature=temperature, chunk_id=chunk.id)

    def _system(self) -> str:
        return fill("extract_system", entity_types=", ".join(self.entity_types), language=self.language)

    async def _ask(self, chunk: Chunk, messages: tuple[Message, ...]) -> tuple[Extraction, str]:
        failure: UnusableAnswer | None = None
        for attempt in range(self.attempts):
            reply = await self.chat.complete(self._request(chunk, messages, attempt))
            try:
                return parse_answer(reply.text, cut_off=reply.finish_reason == "length"), reply.text
            except UnusableAnswer as error:
                failure = error
        raise UnusableAnswer(
            f"{self.chat.facts.name} gave no usable extraction in {self.attempts} attempts: {failure}. "
            "A larger model, or more output tokens, usually mends this"
        ) from failure


def _merge(first: Extraction, second: Extraction) -> Extraction:
    """Add what is new; of an entity found twice keep the longer description."""
    entities = {entity.name: entity for entity in first.entities}
    for entity in second.entities:
        known = entities.get(entity.name)
        if known is None:
            entities[entity.name] = entity
        elif len(entity.description) > len(known.description):
            entities[entity.name] = ExtractedEntity(known.name, known.type, entity.description)
    relations = {(relation.source, relation.target): relation for relation in first.relations}
    for relation in second.relations:
        relations.setdefault((relation.source, relation.target), relation)
    return Extraction(tuple(entities.values()), tuple(relations.values()), first.notes + second.notes)
