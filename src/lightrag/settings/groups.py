"""The settings, group by group: name, type, bounds, default, and what each is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lightrag.settings.documents import ChunkingOptions, ScanOptions
from lightrag.settings.options import Group, Option, Seconds, Secret, Words

MIB = 1024 * 1024

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _root_path(value: str) -> str:
    return "/" + value.strip("/") if value.strip("/") else ""


class ServerSettings(Group):
    """The HTTP server."""

    host: Annotated[str, Option(("HOST",), "--host")] = Field("0.0.0.0", description="address to listen on")  # noqa: S104
    port: Annotated[int, Option(("PORT",), "--port")] = Field(9621, ge=0, le=65535, description="port to listen on")
    workers: Annotated[Count, Option(("WORKERS",), "--workers")] = Field(
        2, description="processes of lightrag-gunicorn; lightrag-server always serves with one"
    )
    timeout: Annotated[Seconds, Option(("TIMEOUT",), "--timeout")] = Field(
        150, description="seconds after which a question that is not streamed is given up; None for never"
    )
    api_key: Annotated[Secret, Option(("LIGHTRAG_API_KEY",), "--key", env_wins=True)] = Field(
        None, description="key that clients send as X-API-Key or as bearer token; the variable beats the option"
    )
    whitelist_paths: Annotated[Words, Option(("WHITELIST_PATHS",))] = Field(
        ("/health", "/api/*"), description="paths that need no credentials; a final /* opens everything below"
    )
    ssl: Annotated[bool, Option(("SSL",), "--ssl", is_switch=True)] = Field(False, description="serve HTTPS")
    ssl_certfile: Annotated[Path | None, Option(("SSL_CERTFILE",), "--ssl-certfile")] = Field(
        None, description="certificate file, needed with --ssl"
    )
    ssl_keyfile: Annotated[Path | None, Option(("SSL_KEYFILE",), "--ssl-keyfile")] = Field(
        None, description="private key file, needed with --ssl"
    )
    cors_origins: Annotated[Words, Option(("CORS_ORIGINS",))] = Field(
        ("*",), description="web origins that browsers may call from"
    )
    root_path: Annotated[str, Option(("LIGHTRAG_API_PREFIX",), "--api-prefix"), AfterValidator(_root_path)] = Field(
        "", description="path prefix under which a reverse proxy serves this server"
    )
    proxies: Annotated[Words, Option(("FORWARDED_ALLOW_IPS",))] = Field(
        ("127.0.0.1", "::1"), description="addresses of proxies whose X-Forwarded-* headers are believed; * for any"
    )
    max_upload_bytes: Annotated[Count, Option(("MAX_UPLOAD_SIZE",))] = Field(
        100 * MIB, description="largest file that may be uploaded, in bytes"
    )
    max_body_bytes: Annotated[Count, Option(("MAX_REQUEST_BODY_BYTES",))] = Field(
        1 * MIB, description="largest JSON request body, in bytes"
    )
    max_text_body_bytes: Annotated[Count, Option(("MAX_TEXT_REQUEST_BODY_BYTES",))] = Field(
        50 * MIB, description="largest request body of the routes that take texts, in bytes"
    )
    max_texts: Annotated[CountOrZero, Option(("MAX_TEXTS_PER_REQUEST",))] = Field(
        0, description="most texts in one request; 0 for any number"
    )
    log_level: Annotated[LogLevel, Option(("LOG_LEVEL",), "--log-level"), BeforeValidator(_upper)] = Field(
        "INFO", description="least severe level that is logged"
    )
    log_format: Annotated[Literal["text", "json"], Option(("LOG_FORMAT",), "--log-format")] = Field(
        "text", description="form of log lines; json: one object a line"
    )
    verbose: Annotated[bool, Option(("VERBOSE",), "--verbose", is_switch=True)] = Field(
        False, description="log at level DEBUG"
    )
    log_dir: Annotated[Path | None, Option(("LOG_DIR",))] = Field(
        None,
        description="folder of the rotating log file lightrag.log; unset: log to the console only",
    )
    log_max_bytes: Annotated[Count, Option(("LOG_MAX_BYTES",))] = Field(
        10 * MIB, description="size at which the log file is rotated, in bytes"
    )
    log_backup_count: Annotated[CountOrZero, Option(("LOG_BACKUP_COUNT",))] = Field(
        5, description="rotated log files that are kept"
    )
    api_docs: Annotated[bool, Option(("ENABLE_API_DOCS",))] = Field(
        True, description="serve the interactive documentation and openapi.json"
    )
    webui_title: Annotated[str | None, Option(("WEBUI_TITLE",))] = Field(
        None, description="title that web front ends show, told by /health"
    )
    webui_description: Annotated[str | None, Option(("WEBUI_DESCRIPTION",))] = Field(
        None, description="description that web front ends show, told by /health"
    )
    auto_scan: Annotated[bool, Option(("AUTO_SCAN_AT_STARTUP",), "--auto-scan-at-startup", is_switch=True)] = Field(
        False, description="scan the input folder for new files at start"
    )
    simulated_model_name: Annotated[str, Option(("OLLAMA_EMULATING_MODEL_NAME",), "--simulated-model-name")] = Field(
        "lightrag", min_length=1, description="name under which chat front ends see this server; may hold its tag"
    )
    simulated_model_tag: Annotated[str, Option(("OLLAMA_EMULATING_MODEL_TAG",), "--simulated-model-tag")] = Field(
        "latest", min_length=1, description="tag of that name, where it has none"
    )
    simulated_model: Annotated[str, Option(("SIMULATED_MODEL_NAME",))] = Field(
        "", description="the whole name with its tag, as LightRAG had it in early 2025; the other two beat it"
    )


class PathSettings(Group):
    """Where data lie."""

    working_dir: Annotated[Path, Option(("WORKING_DIR",), "--working-dir")] = Field(
        Path("rag_storage"), description="folder of the databases"
    )
    input_dir: Annotated[Path, Option(("INPUT_DIR",), "--input-dir")] = Field(
        Path("inputs"), description="folder of the documents' files"
    )
    workspace: Annotated[str, Option(("WORKSPACE",), "--workspace")] = Field(
        "", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$", description="name of the default workspace"
    )


class StorageSettings(Group):
    """Implementation names of the four kinds of storage; those that are not named follow from those that are."""

    kv: Annotated[str, Option(("LIGHTRAG_KV_STORAGE",), ini=("storage", "kv_storage"))] = Field(
        "SQLiteKVStorage", description="texts, chunks, extractions, model cache"
    )
    vector: Annotated[str, Option(("LIGHTRAG_VECTOR_STORAGE",), ini=("storage", "vector_storage"))] = Field(
        "SQLiteVectorStorage", description="vectors"
    )
    graph: Annotated[str, Option(("LIGHTRAG_GRAPH_STORAGE",), ini=("storage", "graph_storage"))] = Field(
        "SQLiteGraphStorage", description="entities and relations"
    )
    doc_status: Annotated[str, Option(("LIGHTRAG_DOC_STATUS_STORAGE",), ini=("storage", "doc_status_storage"))] = Field(
        "SQLiteDocStatusStorage", description="status of the documents"
    )


class IndexingSettings(ChunkingOptions, ScanOptions):
    """From documents to the graph."""

    extractor: Annotated[Literal["auto", "llm", "nlp"], Option(("LIGHTRAG_EXTRACTOR",))] = Field(
        "auto",
        description="what finds entities and relations: llm, nlp, or auto (llm where one is configured)",
    )
    chunk_size: Annotated[int, Option(("CHUNK_SIZE",))] = Field(1200, ge=16, description="tokens of a chunk")
    chunk_overlap: Annotated[CountOrZero, Option(("CHUNK_OVERLAP_SIZE",))] = Field(
        100, description="tokens that neighbouring chunks share"
    )
    max_gleaning: Annotated[CountOrZero, Option(("MAX_GLEANING",))] = Field(
        0, description="further calls per chunk that ask for what was missed"
    )
    entity_types: Annotated[Words, Option(("ENTITY_TYPES",))] = Field(
        (
            "Person",
            "Creature",
            "Organization",
            "Location",
            "Event",
            "Concept",
            "Method",
            "Content",
            "Data",
            "Artifact",
            "NaturalObject",
        ),
        min_length=1,
        description="types of entities to look for",
    )
    language: Annotated[str, Option(("SUMMARY_LANGUAGE",))] = Field(
        "English", min_length=1, description="language of descriptions and summaries"
    )
    force_summary_on_merge: Annotated[Count, Option(("FORCE_LLM_SUMMARY_ON_MERGE",))] = Field(
        8, description="fragments of a description from which on it is summarised"
    )
    summary_max_tokens: Annotated[Count, Option(("SUMMARY_MAX_TOKENS",), "--summary-max-tokens")] = Field(
        1200, description="tokens of a description from which on it is summarised"
    )
    summary_context_size: Annotated[Count, Option(("SUMMARY_CONTEXT_SIZE",), "--summary-context-size")] = Field(
        12000, description="most tokens in one summary call"
    )
    summary_length_recommended: Annotated[
        Count, Option(("SUMMARY_LENGTH_RECOMMENDED", "MAX_TOKEN_SUMMARY"), "--summary-length-recommended")
    ] = Field(600, description="tokens that a summary should have")
    max_parallel_insert: Annotated[Count, Option(("MAX_PARALLEL_INSERT",))] = Field(
        3, description="documents that are parsed at the same time"
    )
    evidence_limit: Annotated[Count, Option(("LIGHTRAG_EVIDENCE_LIMIT",))] = Field(
        24, description="mentions that the description of one entity or relation is made from"
    )
    cache_extractions: Annotated[bool, Option(("ENABLE_LLM_CACHE_FOR_EXTRACT",))] = Field(
        True, description="keep the model's answers on chunks, so that none is paid for twice"
    )
    lease_seconds: Annotated[float, Option(("LIGHTRAG_LEASE_SECONDS",))] = Field(
        30, ge=1, description="seconds after which another process takes over the work of one that died"
    )


class QuerySettings(Group):
    """Defaults of questions; requests may override most."""

    top_k: Annotated[Count, Option(("TOP_K",), "--top-k")] = Field(40, description="entities or relations to retrieve")
    chunk_top_k: Annotated[Count, Option(("CHUNK_TOP_K",))] = Field(20, description="chunks to retrieve")
    max_entity_tokens: Annotated[Count, Option(("MAX_ENTITY_TOKENS", "MAX_TOKEN_ENTITY_DESC"))] = Field(
        6000, description="tokens of entities in the context"
    )
    max_relation_tokens: Annotated[Count, Option(("MAX_RELATION_TOKENS", "MAX_TOKEN_RELATION_DESC"))] = Field(
        8000, description="tokens of relations in the context"
    )
    max_total_tokens: Annotated[Count, Option(("MAX_TOTAL_TOKENS",))] = Field(
        30000, description="tokens of the whole prompt"
    )
    cosine_threshold: Annotated[float, Option(("COSINE_THRESHOLD",), "--cosine-threshold")] = Field(
        0.2, ge=-1, le=1, description="least cosine of what vector search finds"
    )
    history_turns: Annotated[CountOrZero, Option(("HISTORY_TURNS",), "--history-turns")] = Field(
        0, description="turns of the conversation that are used; 0 for all that were sent"
    )
    cache_answers: Annotated[bool, Option(("ENABLE_LLM_CACHE",))] = Field(
        True, description="keep keywords and answers, so that an equal question is answered from the cache"
    )
    rerank_by_default: Annotated[bool, Option(("RERANK_BY_DEFAULT",))] = Field(
        True, description="rerank where a reranker is configured and the request does not say"
    )
    max_graph_nodes: Annotated[Count, Option(("MAX_GRAPH_NODES",))] = Field(
        1000, description="most nodes that /graphs returns"
    )


class ParsingSettings(Group):
    """Limits that protect the parsers."""

    pdf_password: Annotated[Secret, Option(("PDF_DECRYPT_PASSWORD",))] = Field(
        None, description="password tried on encrypted PDF files"
    )
    max_text_chars: Annotated[Count, Option(("LIGHTRAG_MAX_TEXT_CHARS",))] = Field(
        100 * MIB, description="most characters of text in one document"
    )
    max_pages: Annotated[Count, Option(("LIGHTRAG_MAX_PAGES",))] = Field(
        20_000, description="most pages, slides or sheets of one document"
    )
    max_decompressed_bytes: Annotated[Count, Option(("LIGHTRAG_MAX_DECOMPRESSED_SIZE",))] = Field(
        512 * MIB, description="most bytes that a compressed document may unpack to"
    )
    max_memory_bytes: Annotated[Count, Option(("LIGHTRAG_PARSE_MEMORY",))] = Field(
        1024 * MIB, description="memory of the process that reads a file, in bytes"
    )
    timeout_seconds: Annotated[float, Option(("LIGHTRAG_PARSE_TIMEOUT",))] = Field(
        300, gt=0, description="seconds after which the reading of one file is given up"
    )
    max_pictures: Annotated[int, Option(("LIGHTRAG_MAX_PICTURES",))] = Field(
        50,
        ge=0,
        le=1000,
        description="most pictures of one document that are described, where the workspace has a model of type "
        "image2text; 0: none, and pictures are not read as documents",
    )
    picture_min_pixels: Annotated[Count, Option(("LIGHTRAG_PICTURE_MIN_PIXELS",))] = Field(
        64, description="pictures with a shorter side than this are left out: bullets, lines, emblems"
    )
    picture_max_bytes: Annotated[Count, Option(("LIGHTRAG_PICTURE_MAX_SIZE",))] = Field(
        5 * MIB, le=64 * MIB, description="most bytes of one picture that is described"
    )
