"""Bodies of the query routes."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.common import Body, FilterBody, ModelKey, Text
from lightrag.settings import QuerySettings
from lightrag.types import DocumentFilter, Mode, QueryParam, Reference

MAX_QUERY_CHARS = 65_536
MIN_QUERY_WEIGHT = 3
"""A question needs three letters, or two where one is Chinese, Japanese or Korean (which count twice)."""

Keyword = Annotated[Text, Field(max_length=512)]
TopK = Annotated[int, Field(ge=1, le=1000)]
TokenBudget = Annotated[int, Field(ge=1, le=1_000_000)]


class HistoryMessage(Body):
    """One message of the conversation so far."""

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Annotated[Text, Field(max_length=32_768)]


class QueryRequest(Body):
    """A question with how it is to be answered; what is left out has the server's defaults."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "Who wrote the first program?", "mode": "mix"},
                {
                    "query": "What changed in the second quarter?",
                    "mode": "hybrid",
                    "only_need_context": True,
                    "filter": {"file_paths": ["reports/*.pdf"], "tags": {"year": 2025}},
                },
                {"query": "Who wrote the first program?", "model": "gpt-4o-mini@OpenAI"},
            ]
        }
    )

    # `mode` stands before `query`: how long a question must be depends on it.
    mode: Mode = "mix"
    query: Text = Field(max_length=MAX_QUERY_CHARS)
    only_need_context: bool | None = Field(None, description="Return what was found instead of an answer.")
    only_need_prompt: bool | None = Field(None, description="Return the prompt instead of an answer.")
    response_type: Annotated[Text, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Form of the answer, such as `Multiple Paragraphs` or `Bullet Points`."
    )
    top_k: TopK | None = Field(None, description="Entities (local) or relations (global) to retrieve.")
    chunk_top_k: TopK | None = Field(None, description="Chunks to retrieve.")
    max_entity_tokens: TokenBudget | None = None
    max_relation_tokens: TokenBudget | None = None
    max_total_tokens: TokenBudget | None = None
    hl_keywords: Annotated[list[Keyword], Field(max_length=64)] | None = Field(
        None, description="Themes; with these or `ll_keywords` given no model is asked for keywords."
    )
    ll_keywords: Annotated[list[Keyword], Field(max_length=64)] | None = Field(None, description="Names and terms.")
    conversation_history: Annotated[list[HistoryMessage], Field(max_length=128)] | None = None
    history_turns: Annotated[int, Field(ge=0, le=1000)] | None = None
    user_prompt: Annotated[Text, Field(max_length=MAX_QUERY_CHARS)] | None = Field(
        None, description="Instructions on how to answer, not used for retrieval."
    )
    enable_rerank: bool | None = None
    include_references: bool | None = True
    include_chunk_content: bool | None = Field(False, description="Send the text of the cited chunks.")
    stream: bool | None = Field(None, description="Only for /query/stream: false sends the answer in one piece.")
    filter: FilterBody | None = Field(None, description="Restrict the question to some documents.")
    model: ModelKey | None = Field(
        None,
        description="The chat model that names the keywords and writes the answer, as `name@provider`, or by its name "
        "where only one model has it; one that the workspace cannot use is refused (404). Without it the workspace's "
        "defaults decide.",
        examples=["gpt-4o-mini@OpenAI", "gpt-4o-mini"],
    )
    rerank_model: ModelKey | None = Field(
        None,
        description="The model that reorders the passages, named likewise.",
        examples=["rerank-v3.5@Cohere"],
    )

    @field_validator("query")
    @classmethod
    def _long_enough(cls, query: str, info: ValidationInfo) -> str:
        query = query.strip()
        needed = 1 if info.data.get("mode") == "bypass" else MIN_QUERY_WEIGHT
        if len(query) < needed and _weight(query) < needed:
            raise PydanticCustomError(
                "string_too_short",
                "String should have at least {min_length} characters" if needed > 1 else "Query must not be empty",
                {"min_length": needed},
            )
        return query

    def to_param(self, defaults: QuerySettings, *, stream: bool) -> QueryParam:
        """Return the engine's parameters; what the request leaves open comes from the settings."""
        return QueryParam(
            mode=self.mode,
            only_need_context=bool(self.only_need_context),
            only_need_prompt=bool(self.only_need_prompt),
            response_type=self.response_type or QueryParam().response_type,
            stream=stream,
            top_k=self.top_k or defaults.top_k,
            chunk_top_k=self.chunk_top_k or defaults.chunk_top_k,
            max_entity_tokens=self.max_entity_tokens or defaults.max_entity_tokens,
            max_relation_tokens=self.max_relation_tokens or defaults.max_relation_tokens,
            max_total_tokens=self.max_total_tokens or defaults.max_total_tokens,
            hl_keywords=list(self.hl_keywords or ()),
            ll_keywords=list(self.ll_keywords or ()),
            conversation_history=[
                {"role": item.role, "content": item.content} for item in self.conversation_history or ()
            ],
            history_turns=defaults.history_turns if self.history_turns is None else self.history_turns,
            user_prompt=self.user_prompt,
            enable_rerank=self._reranks(defaults),
            include_references=self.wants_references,
            filter=self.filter.to_filter() if self.filter else DocumentFilter(),
            model=self.model,
            rerank_model=self.rerank_model,
        )

    def _reranks(self, defaults: QuerySettings) -> bool:
        if self.enable_rerank is not None:
            return self.enable_rerank
        return defaults.rerank_by_default or self.rerank_model is not None

    @property
    def wants_references(self) -> bool:
        """Whether the answer comes with its sources; they do unless the request says no."""
        return self.include_references is not False


class CitedChunk(Body):
    """A passage that the answer rests on: characters [start, end) of the document's text."""

    chunk_id: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None


class ReferenceItem(Body):
    """A cited document."""

    reference_id: str
    file_path: str
    content: list[str] | None = Field(None, description="Texts of the chunks, with `include_chunk_content`.")
    doc_id: str
    chunks: list[CitedChunk]

    @staticmethod
    def of(reference: Reference, *, with_content: bool) -> ReferenceItem:
        """Return the cited document."""
        return ReferenceItem(
            reference_id=reference.reference_id,
            file_path=reference.file_path,
            content=[chunk.content for chunk in reference.chunks] if with_content else None,
            doc_id=reference.doc_id,
            chunks=[
                CitedChunk(
                    chunk_id=chunk.id,
                    start=chunk.start,
                    end=chunk.end,
                    page_start=chunk.page_start,
                    page_end=chunk.page_end,
                )
                for chunk in reference.chunks
            ],
        )


_REFERENCE_EXAMPLE: JsonDict = {
    "reference_id": "1",
    "file_path": "ada.txt",
    "content": None,
    "doc_id": "doc-0cc175b9c0f1b6a831c399e269772661",
    "chunks": [{"chunk_id": "chunk-1", "start": 0, "end": 78, "page_start": None, "page_end": None}],
}


class QueryResponse(Body):
    """The answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "response": "Ada Lovelace wrote it [1].",
                    "references": [_REFERENCE_EXAMPLE],
                    "response_time": 0.42,
                    "llm_generated": True,
                    "finish_reason": "stop",
                    "model": "gpt-4o-mini@OpenAI",
                }
            ]
        }
    )

    response: str
    references: list[ReferenceItem] | None
    response_time: float = Field(description="Seconds.")
    llm_generated: bool = Field(description="False where the answer was quoted or canned.")
    finish_reason: str | None = Field(
        None,
        description="How the answer ended: `stop`; `length` where it was cut off at the model's length limit; else the "
        "model server's own word. Null where no model wrote it.",
        examples=["stop", "length"],
    )
    model: str | None = Field(
        None,
        description="The model that wrote the answer, as questions name it; it may have stood in for another one. Null "
        "where no model wrote it.",
        examples=["gpt-4o-mini@OpenAI"],
    )


class QueryDataResponse(Body):
    """What was found for a question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "message": "Query processed successfully",
                    "data": {
                        "entities": [
                            {
                                "entity_name": "Ada Lovelace",
                                "entity_type": "person",
                                "description": "Wrote the first program.",
                                "source_id": "chunk-1",
                                "file_path": "ada.txt",
                                "created_at": 1767322800,
                            }
                        ],
                        "relationships": [],
                        "chunks": [],
                        "references": [_REFERENCE_EXAMPLE],
                    },
                    "metadata": {
                        "query_mode": "mix",
                        "keywords": {"high_level": [], "low_level": ["Ada Lovelace"]},
                        "keywords_model": "gpt-4o-mini@OpenAI",
                        "processing_info": {"total_entities_found": 1},
                    },
                }
            ]
        }
    )

    status: Literal["success", "failure"]
    message: str
    data: dict[str, Any]
    metadata: dict[str, Any]


def _weight(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
