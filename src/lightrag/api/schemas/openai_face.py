"""Bodies of the routes that OpenAI's clients call.

Format: https://platform.openai.com/docs/api-reference/chat. A parameter that would change the form of the answer and
cannot be honoured is refused; one that only tunes it (`top_p`, `seed`, penalties, …) is ignored, as are unknown ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.common import Body, NamedModels, Text
from lightrag.types import Generation

MAX_MESSAGES = 2048


class ContentPart(Body):
    """A part of a message; only texts are read."""

    type: Text
    text: Text | None = None
    refusal: Text | None = None


class ChatMessage(Body):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """The texts of the message, one after another."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text or part.refusal or "" for part in self.content if part.text or part.refusal)

    @property
    def other_parts(self) -> list[str]:
        """Types of the parts that are not text."""
        if self.content is None or isinstance(self.content, str):
            return []
        return [part.type for part in self.content if part.type not in ("text", "input_text", "output_text", "refusal")]


class StreamOptions(Body):
    """What a stream carries beside the answer."""

    include_usage: bool | None = None


class ResponseFormat(Body):
    """The form of the answer."""

    type: Text = "text"


class ChatCompletionRequest(NamedModels):
    """A conversation to be continued."""

    model: Text
    messages: Annotated[list[ChatMessage], Field(max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    n: int | None = Field(None, description="Only 1.")
    logprobs: bool | None = Field(None, description="Only false.")
    response_format: ResponseFormat | None = Field(
        None, description="`json_object` with the model `…:bypass`, where nothing is retrieved; else only `text`."
    )
    tool_choice: Any = Field(None, description="Tools are never called, so `required` or a named one is refused.")
    functions: list[Any] | None = None
    tools: list[Any] | None = None
    modalities: list[Text] | None = None
    include_reasoning: bool | None = Field(
        None, description="Send what a reasoning model thinks, as `reasoning_content`."
    )
    user: Text | None = None

    @model_validator(mode="after")
    def _can_be_done(self) -> ChatCompletionRequest:
        for field, refused, why in (
            ("n", self.n not in (None, 1), "only one answer can be given"),
            ("logprobs", bool(self.logprobs), "log probabilities are not known"),
            ("tool_choice", _names_a_tool(self.tool_choice), "tools are never called; leave it out or send 'auto'"),
            ("modalities", self.modalities not in (None, [], ["text"]), "answers are text only"),
        ):
            if refused:
                raise PydanticCustomError(
                    "unsupported", "'{field}' is not supported: {why}", {"field": field, "why": why}
                )
        return self

    @property
    def generation(self) -> Generation:
        """How the model is to answer."""
        return Generation(
            temperature=self.temperature,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            json_object=self.response_format is not None and self.response_format.type == "json_object",
            with_thinking=bool(self.include_reasoning),
        )

    @property
    def stops(self) -> list[str]:
        """Texts before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class EmbeddingRequest(Body):
    """Texts to embed. Token numbers are refused: they belong to another model's tokenizer."""

    model: Text
    input: Annotated[Text, Field(min_length=1)] | Annotated[list[Any], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, description="Only the length that the model has.")
    user: Text | None = None

    @model_validator(mode="after")
    def _are_texts(self) -> EmbeddingRequest:
        if not isinstance(self.input, str) and not all(isinstance(text, str) and text for text in self.input):
            raise PydanticCustomError(
                "unsupported",
                "'input' should be a text or a list of texts, none of them empty; with LangChain set"
                " check_embedding_ctx_length=False",
            )
        return self

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [self.input] if isinstance(self.input, str) else [str(text) for text in self.input]


def _names_a_tool(choice: Any) -> bool:
    return choice not in (None, "none", "auto")
