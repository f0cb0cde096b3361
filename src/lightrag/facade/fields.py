"""The fields of `lightrag.LightRAG`: the union of all versions, in the order of the newest for positional use."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, Self

from lightrag.base import StoragesStatus
from lightrag.constants import (
    DEFAULT_CHUNK_OVERLAP_TOKEN_SIZE,
    DEFAULT_CHUNK_TOKEN_SIZE,
    DEFAULT_CHUNK_TOP_K,
    DEFAULT_COSINE_THRESHOLD,
    DEFAULT_EMBEDDING_BATCH_NUM,
    DEFAULT_EMBEDDING_FUNC_MAX_ASYNC,
    DEFAULT_EMBEDDING_TIMEOUT,
    DEFAULT_FILE_PATH_MORE_PLACEHOLDER,
    DEFAULT_FORCE_LLM_SUMMARY_ON_MERGE,
    DEFAULT_KG_CHUNK_PICK_METHOD,
    DEFAULT_LLM_TIMEOUT,
    DEFAULT_MAX_ASYNC,
    DEFAULT_MAX_ENTITY_TOKENS,
    DEFAULT_MAX_FILE_PATHS,
    DEFAULT_MAX_GLEANING,
    DEFAULT_MAX_GRAPH_NODES,
    DEFAULT_MAX_PARALLEL_INSERT,
    DEFAULT_MAX_RELATION_TOKENS,
    DEFAULT_MAX_SOURCE_IDS_PER_ENTITY,
    DEFAULT_MAX_SOURCE_IDS_PER_RELATION,
    DEFAULT_MAX_TOTAL_TOKENS,
    DEFAULT_MIN_RERANK_SCORE,
    DEFAULT_RELATED_CHUNK_NUMBER,
    DEFAULT_RERANK_TIMEOUT,
    DEFAULT_SOURCE_IDS_LIMIT_METHOD,
    DEFAULT_SUMMARY_CONTEXT_SIZE,
    DEFAULT_SUMMARY_LENGTH_RECOMMENDED,
    DEFAULT_SUMMARY_MAX_TOKENS,
    DEFAULT_TOP_K,
)
from lightrag.prompt import load_user_prompt_prefix_source
from lightrag.utils import TokenizerInterface, get_env_value

JSON_KV = "JsonKVStorage"
JSON_VECTOR = "NanoVectorDBStorage"
JSON_GRAPH = "NetworkXStorage"
JSON_STATUS = "JsonDocStatusStorage"


@dataclasses.dataclass(eq=False, repr=False)
class Fields:
    """What an instance is made with. All fields are optional.

    Fields without an explanation have no effect here: their subject does not exist, or is settled otherwise.
    """

    working_dir: str = "./rag_storage"
    kv_storage: str = JSON_KV
    """With the three others: the default names stand for the family that the folder holds, LightRAG's files where it
    is empty."""
    vector_storage: str = JSON_VECTOR
    graph_storage: str = JSON_GRAPH
    doc_status_storage: str = JSON_STATUS
    workspace: str = dataclasses.field(default_factory=lambda: get_env_value("WORKSPACE", "", str))
    log_level: int | None = None
    log_file_path: str | None = None
    top_k: int = get_env_value("TOP_K", DEFAULT_TOP_K, int)
    chunk_top_k: int = get_env_value("CHUNK_TOP_K", DEFAULT_CHUNK_TOP_K, int)
    max_entity_tokens: int = get_env_value("MAX_ENTITY_TOKENS", DEFAULT_MAX_ENTITY_TOKENS, int)
    max_relation_tokens: int = get_env_value("MAX_RELATION_TOKENS", DEFAULT_MAX_RELATION_TOKENS, int)
    max_total_tokens: int = get_env_value("MAX_TOTAL_TOKENS", DEFAULT_MAX_TOTAL_TOKENS, int)
    related_chunk_number: int = get_env_value("RELATED_CHUNK_NUMBER", DEFAULT_RELATED_CHUNK_NUMBER, int)
    kg_chunk_pick_method: str = get_env_value("KG_CHUNK_PICK_METHOD", DEFAULT_KG_CHUNK_PICK_METHOD, str)
    enable_content_headings: bool = get_env_value("ENABLE_CONTENT_HEADINGS", False, bool)
    entity_extract_max_gleaning: int = get_env_value("MAX_GLEANING", DEFAULT_MAX_GLEANING, int)
    """Further calls per chunk that ask for what was missed."""
    entity_extract_max_records: int = 100
    entity_extract_max_entities: int = 40
    force_llm_summary_on_merge: int = get_env_value(
        "FORCE_LLM_SUMMARY_ON_MERGE", DEFAULT_FORCE_LLM_SUMMARY_ON_MERGE, int
    )
    """Fragments of a description from which on it is summarised."""
    chunk_token_size: int | None = get_env_value("CHUNK_SIZE", DEFAULT_CHUNK_TOKEN_SIZE, int)
    chunk_overlap_token_size: int | None = get_env_value("CHUNK_OVERLAP_SIZE", DEFAULT_CHUNK_OVERLAP_TOKEN_SIZE, int)
    tokenizer: TokenizerInterface | None = None
    """Counts tokens; None for o200k_base, which is in the package."""
    tiktoken_model_name: str = "gpt-4o-mini"
    """Any name means the tokenizer in the package."""
    chunking_func: Callable[..., Any] | None = None
    """Cuts texts: `(tokenizer, content, split_by_character, split_by_character_only, chunk_overlap_token_size,
    chunk_token_size)`, plain or asynchronous, or the older form that begins with `content`."""
    embedding_func: Any = None
    """An `EmbeddingFunc` or a function of texts; None for the model that the environment names."""
    embedding_chunk_overlap_token_size: int = 0
    embedding_batch_num: int = get_env_value("EMBEDDING_BATCH_NUM", DEFAULT_EMBEDDING_BATCH_NUM, int)
    embedding_func_max_async: int = get_env_value("EMBEDDING_FUNC_MAX_ASYNC", DEFAULT_EMBEDDING_FUNC_MAX_ASYNC, int)
    embedding_cache_config: dict[str, Any] | None = dataclasses.field(
        default_factory=lambda: {"enabled": False, "similarity_threshold": 0.95, "use_llm_check": False}
    )
    default_embedding_timeout: int | None = get_env_value("EMBEDDING_TIMEOUT", DEFAULT_EMBEDDING_TIMEOUT, int)
    """Seconds for one call of `embedding_func`."""
    llm_model_func: Callable[..., Any] | None = None
    """Answers prompts; None for the model that the environment names, else the embedded parts."""
    role_llm_configs: dict[str, Any] | None = None
    """Other functions for the roles `extract`, `keyword` and `query`."""
    llm_model_name: str = "gpt-4o-mini"
    summary_max_tokens: int = get_env_value("SUMMARY_MAX_TOKENS", DEFAULT_SUMMARY_MAX_TOKENS, int)
    """Tokens of a description from which on it is summarised."""
    summary_context_size: int = get_env_value("SUMMARY_CONTEXT_SIZE", DEFAULT_SUMMARY_CONTEXT_SIZE, int)
    summary_length_recommended: int = get_env_value(
        "SUMMARY_LENGTH_RECOMMENDED", DEFAULT_SUMMARY_LENGTH_RECOMMENDED, int
    )
    llm_model_max_async: int = get_env_value("MAX_ASYNC_LLM", get_env_value("MAX_ASYNC", DEFAULT_MAX_ASYNC, int), int)
    """Calls of `llm_model_func` at the same time."""
    llm_model_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments that go with every call of `llm_model_func`."""
    default_llm_timeout: int | None = get_env_value("LLM_TIMEOUT", DEFAULT_LLM_TIMEOUT, int)
    """Seconds for one call of `llm_model_func`."""
    entity_extraction_use_json: bool = False
    rerank_model_func: Callable[..., Any] | None = None
    """Reorders passages: `(query, documents, top_n)`."""
    rerank_model_max_async: int = get_env_value("MAX_ASYNC_RERANK", DEFAULT_MAX_ASYNC, int)
    default_rerank_timeout: int | None = get_env_value("RERANK_TIMEOUT", DEFAULT_RERANK_TIMEOUT, int)
    min_rerank_score: float = get_env_value("MIN_RERANK_SCORE", DEFAULT_MIN_RERANK_SCORE, float)
    vector_db_storage_cls_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    """`cosine_better_than_threshold` is used."""
    enable_llm_cache: bool = True
    """Keep keywords and answers."""
    enable_llm_cache_for_entity_extract: bool = True
    """Keep the model's answers on chunks."""
    vlm_process_enable: bool = False
    max_parallel_insert: int = get_env_value("MAX_PARALLEL_INSERT", DEFAULT_MAX_PARALLEL_INSERT, int)
    max_parallel_parse_native: int = 1
    max_parallel_parse_mineru: int = 1
    max_parallel_parse_docling: int = 1
    max_parallel_analyze: int = 1
    queue_size_parse: int = 1
    queue_size_analyze: int = 1
    queue_size_insert: int = 1
    pipeline_scheduling_page_size: int = 100
    pipeline_require_strict_storage_reads: bool = False
    max_pending_documents: int = 0
    max_graph_nodes: int = get_env_value("MAX_GRAPH_NODES", DEFAULT_MAX_GRAPH_NODES, int)
    """Most nodes that `get_knowledge_graph` returns."""
    max_source_ids_per_entity: int = DEFAULT_MAX_SOURCE_IDS_PER_ENTITY
    max_source_ids_per_relation: int = DEFAULT_MAX_SOURCE_IDS_PER_RELATION
    source_ids_limit_method: str = DEFAULT_SOURCE_IDS_LIMIT_METHOD
    max_file_paths: int = DEFAULT_MAX_FILE_PATHS
    file_path_more_placeholder: str = DEFAULT_FILE_PATH_MORE_PLACEHOLDER
    addon_params: dict[str, Any] = dataclasses.field(default_factory=dict)
    """`language` and `entity_types` are used."""
    auto_manage_storages_states: bool = False
    cosine_better_than_threshold: float = get_env_value("COSINE_THRESHOLD", DEFAULT_COSINE_THRESHOLD, float)
    """Least cosine of what vector search finds."""
    ollama_server_infos: Any = None
    _storages_status: StoragesStatus = StoragesStatus.NOT_CREATED
    user_prompt_prefix: str = dataclasses.field(default_factory=load_user_prompt_prefix_source)
    """Standing instructions that go before each query's `user_prompt`."""
    namespace_prefix: str = ""
    llm_model_max_token_size: int | None = None
    entity_summary_to_max_tokens: int | None = None
    """As `summary_max_tokens`."""
    node_embedding_algorithm: str | None = None
    node2vec_params: dict[str, Any] = dataclasses.field(default_factory=dict)
    convert_response_to_json_func: Callable[..., Any] | None = None
    history_turns: int = 0

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse names that are no fields, and say which one may have been meant."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in kwargs.keys() - set(known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument '{name}'{hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Called after the fields are set."""
