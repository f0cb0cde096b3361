"""Request bodies: OpenAI's, Cohere's and Jina's field names, with the bounds of every parameter.

Fields that the service does not know are ignored, since clients send many.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_CHOICES = 8
MAX_STOPS = 16
MAX_TOKENS = 1_000_000
SEEDS = 2**63

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "n": (1, MAX_CHOICES),
    "top_logprobs": (0, 20),
    "logprobs": (0, 20),
    "max_tokens": (1, MAX_TOKENS),
    "max_completion_tokens": (1, MAX_TOKENS),
    "top_k": (1, 100_000),
    "repeat_penalty": (0.01, 2.0),
    "repetition_penalty": (0.01, 2.0),
    "seed": (-SEEDS, SEEDS - 1),
    "dimensions": (1, 65_536),
    "top_n": (1, 1_000_000),
    "max_tokens_per_doc": (1, MAX_TOKENS),
}
"""Least and greatest value of a parameter; error messages name both."""


def _bounded(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(ge=low, le=high)


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Whole = Annotated[int, Field(strict=True)]


class Body(BaseModel):
    """What all bodies have."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, hide_input_in_errors=True, protected_namespaces=())

    model: ModelName


class TextPart(BaseModel):
    """A part of a message's content; images and audio are not understood."""

    type: Literal["text"]
    text: str


class CalledFunction(BaseModel):
    """The function of a call that an assistant's message made."""

    name: str
    arguments: str = "{}"


class ToolCall(BaseModel):
    """A call that an assistant's message made."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ToolFunction(BaseModel):
    """A function that the model may call."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool; only functions are known."""

    type: Literal["function"]
    function: ToolFunction


class NamedFunction(BaseModel):
    """The name in a forced choice."""

    name: str


class NamedTool(BaseModel):
    """A forced choice."""

    type: Literal["function"]
    function: NamedFunction


class NamedSchema(BaseModel):
    """The schema that an answer must satisfy."""

    name: str = "answer"
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What form an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class StreamOptions(BaseModel):
    """What a stream carries besides text."""

    include_usage: bool = False


Stops = str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None


class SamplingFields(Body):
    """How tokens are chosen; what is absent is the tier's default."""

    temperature: Annotated[Number, _bounded("temperature")] | None = None
    top_p: Annotated[Number, _bounded("top_p")] | None = None
    top_k: Annotated[Whole, _bounded("top_k")] | None = None
    min_p: Annotated[Number, _bounded("min_p")] | None = None
    max_tokens: Annotated[Whole, _bounded("max_tokens")] | None = None
    seed: Annotated[Whole, _bounded("seed")] | None = None
    stop: Stops = None
    frequency_penalty: Annotated[Number, _bounded("frequency_penalty")] | None = None
    presence_penalty: Annotated[Number, _bounded("presence_penalty")] | None = None
    repeat_penalty: Annotated[Number, _bounded("repeat_penalty")] | None = Field(
        None, validation_alias=AliasChoices("repeat_penalty", "repetition_penalty")
    )
    logit_bias: (
        dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")], Annotated[Number, Field(ge=-100, le=100)]]
        | None
    ) = None
    n: Annotated[Whole, _bounded("n")] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None


class ChatBody(SamplingFields):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: Annotated[Whole, _bounded("max_completion_tokens")] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Whole, _bounded("top_logprobs")] | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None


class CompletionBody(SamplingFields):
    """`POST /v1/completions`."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=64)]
    logprobs: Annotated[Whole, _bounded("logprobs")] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Annotated[Whole, _bounded("n")] | None = None


NotEmpty = Annotated[str, StringConstraints(min_length=1)]
TokenIds = Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1)]


class EmbeddingBody(Body):
    """`POST /v1/embeddings`."""

    input: (
        NotEmpty
        | Annotated[list[NotEmpty], Field(min_length=1)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    embedding_type: Literal["dense", "sparse", "colbert"] | None = None
    return_sparse: bool | None = None
    dimensions: Annotated[Whole, _bounded("dimensions")] | None = None
    truncate: bool | None = None
    """Cut texts that are longer than the model's context, instead of refusing them."""
    user: str | None = None


def _documents(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [item["text"] if isinstance(item, dict) and isinstance(item.get("text"), str) else item for item in value]


class RerankBody(Body):
    """`POST /v1/rerank`: the service's own names, Cohere's and Jina's."""

    model: ModelName = "reranker"
    query: NotEmpty
    documents: Annotated[list[str], BeforeValidator(_documents), Field(min_length=1)] = Field(
        validation_alias=AliasChoices("documents", "texts")
    )
    top_k: Annotated[Whole, _bounded("top_n")] | None = Field(None, validation_alias=AliasChoices("top_k", "top_n"))
    return_documents: bool | None = Field(None, validation_alias=AliasChoices("return_documents", "return_text"))
    max_tokens_per_doc: Annotated[Whole, _bounded("max_tokens_per_doc")] | None = None
    """Tokens of a document that are read, from its beginning."""
    raw_scores: bool | None = None
    """The model's logits instead of their sigmoid."""


class TokenizeBody(Body):
    """`POST /v1/tokenize`."""

    text: str = Field(validation_alias=AliasChoices("text", "prompt", "input", "content"))


class TierBody(BaseModel):
    """`POST /admin/load` and `/admin/unload`."""

    model: ModelName
