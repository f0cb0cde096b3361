"""Settings of LightRAG whose subject does not exist here: they are recognised, and whoever sets one is told why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

_SAMPLED = "descriptions are made from a fair sample of all mentions, see LIGHTRAG_EVIDENCE_LIMIT"
_READERS = "files are read by the built-in readers"
_INTERNAL = "the queue lies in the database and needs no such bound"
_PICKED = "passages are ranked together with those that search finds"
_FRONT_END = "this server has no such user interface"
_IMAGES = "pictures are not described by a model here"
_TOKENIZER = "the tokenizer comes with the program and is never downloaded"
_BACKEND = "no storage that uses it is chosen"
_PREFIX = "workspaces keep data apart, see WORKSPACE"
_PROMPTS = "send the text as user_prompt with the questions"

_VARIABLES: Mapping[str, str] = {
    "DOCUMENT_LOADING_ENGINE": _READERS,
    "EMBEDDING_ASYMMETRIC": "EMBEDDING_QUERY_PREFIX and EMBEDDING_DOCUMENT_PREFIX are used where they are set",
    "ENABLE_AI_CONTENT_NOTICE": _FRONT_END,
    "KG_CHUNK_PICK_METHOD": _PICKED,
    "LIGHTRAG_DEFAULT_UI": _FRONT_END,
    "LIGHTRAG_PARSER": _READERS,
    "MAX_FILE_PATHS": _SAMPLED,
    "MAX_PENDING_DOCUMENTS": _INTERNAL,
    "MAX_SOURCE_IDS_PER_ENTITY": _SAMPLED,
    "MAX_SOURCE_IDS_PER_RELATION": _SAMPLED,
    "MAX_TOKEN_TEXT_CHUNK": "passages get what the other parts leave of MAX_TOTAL_TOKENS",
    "NAMESPACE_PREFIX": _PREFIX,
    "PIPELINE_SCHEDULING_PAGE_SIZE": _INTERNAL,
    "PROMPT_DIR": "the prompts are part of the program",
    "RELATED_CHUNK_NUMBER": _PICKED,
    "SCAN_ENQUEUE_BATCH_SIZE": _INTERNAL,
    "SCAN_SPOOL_DIR": _INTERNAL,
    "SOURCE_IDS_LIMIT_METHOD": _SAMPLED,
    "TIKTOKEN_CACHE_DIR": _TOKENIZER,
    "TIKTOKEN_MODEL_NAME": _TOKENIZER,
    "UI_TEMPLATES_DIR": _FRONT_END,
    "USER_PROMPT_PREFIX": _PROMPTS,
    "USER_PROMPT_PREFIX_FILE": _PROMPTS,
    "VLM_PROCESS_ENABLE": _IMAGES,
}
_PREFIXES: Mapping[str, str] = {
    "DOCLING_": _READERS,
    "MINERU_": _READERS,
    "VLM_LLM_": _IMAGES,
    "VLM_MAX_ASYNC": _IMAGES,
    **dict.fromkeys(
        (
            *("POSTGRES_", "NEO4J_", "MONGO_", "MONGODB_", "MILVUS_", "QDRANT_", "REDIS_", "MEMGRAPH_", "OPENSEARCH_"),
            *("ORACLE_", "TIDB_", "AGE_", "GREMLIN_", "CHROMA_", "FAISS_"),
        ),
        _BACKEND,
    ),
}
DEPLOYMENT = frozenset({"LIGHTRAG_COMMAND", "LIGHTRAG_PUBLISH", "LIGHTRAG_TAG", "LIGHTRAG_VENV"})
"""Variables that the start script and compose.yaml read, and that reach the server beside its own."""
IGNORED_OPTIONS: Mapping[str, str] = {
    "--namespace-prefix": _PREFIX,
    "--default-ui": _FRONT_END,
    "--docling": _READERS,
}
"""Options of LightRAG without effect here, with the reason."""


def reason_to_ignore(name: str) -> str | None:
    """Return why a variable has no effect; None where that is not known."""
    reason = _VARIABLES.get(name)
    return reason or next((why for prefix, why in _PREFIXES.items() if name.startswith(prefix)), None)


def unheeded_variables(names: Sequence[str], place: str) -> Iterator[str]:
    """Yield one line for all variables that have no effect for the same reason."""
    by_reason: dict[str, list[str]] = {}
    for name in names:
        reason = reason_to_ignore(name)
        if reason is not None:
            by_reason.setdefault(reason, []).append(name)
    for reason, same in by_reason.items():
        yield f"{', '.join(same)} ({place}) {'has' if len(same) == 1 else 'have'} no effect here: {reason}"


def unheeded_options(given: Iterable[str]) -> Iterator[str]:
    """Yield one line for each option of the command line that has no effect."""
    for flag in given:
        if flag in IGNORED_OPTIONS:
            yield f"{flag} has no effect here: {IGNORED_OPTIONS[flag]}"
