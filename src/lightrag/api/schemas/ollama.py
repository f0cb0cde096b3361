"""Bodies of the routes that Ollama's clients call. What they send beyond this is ignored.

Format: https://docs.ollama.com/api
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.common import Body, NamedModels, Text
from lightrag.types import Generation


class OllamaOptions(Body):
    """The options that are honoured; the others are the model server's own."""

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    num_predict: Annotated[int, Field(description="Most tokens of the answer; below 1 for no limit.")] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    """Texts before which the answer ends."""


class _Answered(NamedModels):
    model: Text | None = Field(None, description="`NAME[@WORKSPACE][:MODE]`; names of other models are ignored.")
    system: Text | None = Field(None, description="Instructions on how to answer.")
    options: OllamaOptions | None = None
    format: Any = Field(None, description="Given: ask for JSON, where nothing is retrieved.")
    think: bool | Text | None = Field(None, description="Send what a reasoning model thinks, apart from its answer.")
    keep_alive: Any = None

    @property
    def generation(self) -> Generation:
        """How the model is to answer."""
        options = self.options or OllamaOptions()
        limit = options.num_predict
        return Generation(
            temperature=options.temperature,
            max_tokens=limit if limit is not None and limit > 0 else None,
            json_object=bool(self.format),
            with_thinking=bool(self.think),
        )

    @property
    def stops(self) -> list[str]:
        """Texts before which the answer ends."""
        stop = self.options.stop if self.options is not None else None
        return [stop] if isinstance(stop, str) else stop or []


class OllamaMessage(Body):
    """One message. Images are accepted and not looked at, as by any model that reads text only."""

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Text | None = None
    images: list[Any] | None = None
    tool_calls: list[Any] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> OllamaMessage:
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError("missing", "Field 'content' is required")
        return self


class OllamaChatRequest(_Answered):
    """A conversation whose last message is the question."""

    messages: list[OllamaMessage]
    stream: bool | None = True


class OllamaGenerateRequest(_Answered):
    """A prompt that goes to the language model as it is."""

    prompt: Text = ""
    stream: bool | None = False


class OllamaShowRequest(Body):
    """Which model to describe; old clients call it `name`."""

    model: Text | None = None
    name: Text | None = None
    verbose: bool | None = None


class OllamaEmbedRequest(Body):
    """Texts to embed."""

    model: Text | None = None
    input: Text | Annotated[list[Text], Field(max_length=2048)] = Field(default_factory=list)


class OllamaEmbeddingsRequest(Body):
    """A text to embed, in the older form."""

    model: Text | None = None
    prompt: Text
