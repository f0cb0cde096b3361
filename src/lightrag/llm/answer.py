"""What the chat bindings share: a conversation as turns, and answers whole or growing, without their thinking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, Message, Usage
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.thinking import ThinkingHabit, ThinkingSplitter, split_thinking
from lightrag.llm.usage import estimate_usage
from lightrag.types import CUT

Speaker = Literal["user", "assistant"]

_FINISH: Mapping[str, str] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "length": "length",
    "model_length": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
}


def finish_reason(said: object) -> str:
    """Return how an answer ended in OpenAI's words; what has no counterpart there (`refusal`, …) in its own."""
    word = str(said or "stop").lower()
    return _FINISH.get(word, word)


def turns(messages: Iterable[Message]) -> tuple[str, list[tuple[Speaker, str]]]:
    """Return the system text, and the conversation with user and assistant in turn.

    Servers that insist on turns refuse two messages of one speaker in a row; they are joined.
    """
    system: list[str] = []
    spoken: list[tuple[Speaker, str]] = []
    for message in messages:
        if message.role == "system":
            system.append(message.content)
        elif spoken and spoken[-1][0] == message.role:
            spoken[-1] = (spoken[-1][0], f"{spoken[-1][1]}\n\n{message.content}")
        else:
            spoken.append((message.role, message.content))
    return "\n\n".join(system), spoken


def whole_reply(
    request: ChatRequest,
    endpoint: Endpoint,
    content: str,
    thinking: str,
    reason: str,
    usage: Usage | None,
    habit: ThinkingHabit | None = None,
) -> ChatReply:
    """Return a finished answer; raises `UnusableAnswer` where it has no text.

    `thinking`: what came apart from `content`. `habit`: what is known of the model's way to think.
    """
    text, tagged = split_thinking(
        content, habit, apart=bool(thinking), cut=reason == CUT, unlearns=not request.json_object
    )
    if not text.strip():
        raise endpoint.empty(reason)
    thinking = "\n".join(filter(None, (thinking, tagged)))
    return ChatReply(
        text=text,
        finish_reason=reason,
        usage=usage or estimate_usage(request, content + thinking),
        thinking=thinking,
    )


class GrowingAnswer:
    """What has arrived of a streamed answer. `habit`: what is known of the model's way to think."""

    def __init__(self, request: ChatRequest, endpoint: Endpoint, habit: ThinkingHabit | None = None) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._request = request
        self._endpoint = endpoint
        self._splitter = ThinkingSplitter(habit, unlearns=not request.json_object)

    @property
    def has_text(self) -> bool:
        """Whether any text has come, blanks included."""
        return bool(self._text)

    def add(self, content: str = "", thinking: str = "") -> list[ChatDelta]:
        """Take a piece, as text and as thinking that came apart from it; return what of it is certain."""
        if thinking:
            self._splitter.tell_apart()
        text, tagged = self._splitter.feed(content)
        return self._noted(text, thinking + tagged)

    def close(self) -> list[ChatDelta]:
        """Return what was held back, and the closing piece.

        Raises `ModelUnreachable` where the answer was not finished, `UnusableAnswer` where it has no text.
        """
        rest = self._noted(*self._splitter.finish(cut=self.finish_reason in (None, CUT)))
        if self.finish_reason is None:
            raise self._endpoint.unreachable("the stream ended before the answer was finished")
        if not any(map(str.strip, self._text)):
            raise self._endpoint.empty(self.finish_reason)
        usage = self.usage or estimate_usage(self._request, "".join((*self._text, *self._thinking)))
        return [*rest, ChatDelta(finish_reason=self.finish_reason, usage=usage)]

    def _noted(self, text: str, thinking: str) -> list[ChatDelta]:
        if not text and not thinking:
            return []
        takes_back = self._splitter.takes_back
        if takes_back:
            self._thinking += self._text
            self._text = []
        elif self._splitter.was_mistaken:
            self._thinking = []
        if text:
            self._text.append(text)
        if thinking:
            self._thinking.append(thinking)
        return [ChatDelta(text=text, thinking=thinking, takes_back=takes_back)]
