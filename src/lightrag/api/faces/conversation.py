"""From the messages of a chat to what the engine is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lightrag.api.faces.errors import FaceError
from lightrag.api.faces.housekeeping import is_housekeeping
from lightrag.api.faces.prefixes import parse_prefix
from lightrag.api.schemas.common import NamedModels
from lightrag.api.schemas.query import MAX_QUERY_CHARS
from lightrag.settings import QuerySettings
from lightrag.types import Generation, Mode, QueryParam

DEFAULT_MODE: Mode = "mix"
_INSTRUCTING = frozenset({"system", "developer"})


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """One message: who said what. Roles are those of OpenAI and Ollama."""

    role: str
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What the engine is asked."""

    question: str
    param: QueryParam
    system: str
    """Instructions of the conversation, those of the question's prefix left out."""
    is_housekeeping: bool = False

    def asking(self, named: NamedModels) -> Turn:
        """Return the turn with the models that a request names."""
        param = dataclasses.replace(
            self.param,
            model=named.answer_model,
            rerank_model=named.rerank_model,
            enable_rerank=self.param.enable_rerank or named.rerank_model is not None,
        )
        return dataclasses.replace(self, param=param)


def read_turn(
    messages: Sequence[Said],
    defaults: QuerySettings,
    generation: Generation,
    *,
    system: str = "",
    mode: Mode | None = None,
    streamed: bool,
) -> Turn:
    """Return what a conversation asks: its last message with all before it as history.

    `mode` is what the model's name says; a prefix of the message beats it. What system messages say goes to the
    model as instructions. Raises `FaceError` where there is nothing to answer.
    """
    if not messages:
        raise FaceError(400, "No messages provided", param="messages")
    *before, last = messages
    if last.role != "user":
        raise FaceError(400, "Last message must be from user role", param=f"messages.{len(before)}.role")
    told = [system, *(said.content for said in before if said.role in _INSTRUCTING)]
    instructions = "\n\n".join(text for text in told if text.strip())
    history = [
        {"role": "assistant" if said.role == "assistant" else "user", "content": said.content}
        for said in before
        if said.role not in _INSTRUCTING and said.content
    ]
    if is_housekeeping(last.content, instructions, streamed=streamed):
        param = _param(defaults, generation, "bypass", history, instructions, streamed=streamed)
        return Turn(last.content, param, instructions, is_housekeeping=True)
    asked = parse_prefix(last.content)
    if not asked.question.strip():
        raise FaceError(400, "The last message holds no question", param=f"messages.{len(before)}.content")
    wishes = "\n\n".join(filter(None, (instructions, asked.instructions)))
    for text, field in ((asked.question, f"messages.{len(before)}.content"), (wishes, "system")):
        # Where documents are asked, both are cut into tokens, which takes long for long texts without spaces.
        if len(text) > MAX_QUERY_CHARS:
            message = f"{field} has {len(text)} characters; at most {MAX_QUERY_CHARS} can be asked of the documents"
            raise FaceError(413, message, param=field)
    param = _param(defaults, generation, asked.mode or mode or DEFAULT_MODE, history, wishes, streamed=streamed)
    param.only_need_context = asked.context_only
    if param.mode != "bypass":
        param.generation = dataclasses.replace(generation, json_object=False)  # the answer's prompt asks for prose
    return Turn(asked.question, param, instructions)


def plain_turn(prompt: str, defaults: QuerySettings, generation: Generation, *, system: str, streamed: bool) -> Turn:
    """Return a prompt that goes to the model as it is."""
    param = _param(defaults, generation, "bypass", [], system, streamed=streamed)
    return Turn(prompt, param, system, is_housekeeping=is_housekeeping(prompt, system, streamed=streamed))


def _param(
    defaults: QuerySettings,
    generation: Generation,
    mode: Mode,
    history: list[dict[str, str]],
    instructions: str,
    *,
    streamed: bool,
) -> QueryParam:
    return QueryParam(
        mode=mode,
        stream=streamed,
        top_k=defaults.top_k,
        chunk_top_k=defaults.chunk_top_k,
        max_entity_tokens=defaults.max_entity_tokens,
        max_relation_tokens=defaults.max_relation_tokens,
        max_total_tokens=defaults.max_total_tokens,
        conversation_history=history,
        history_turns=defaults.history_turns,
        user_prompt=instructions or None,
        enable_rerank=defaults.rerank_by_default,
        generation=generation,
    )
