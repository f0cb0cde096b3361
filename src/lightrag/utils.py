"""Helpers under the names that LightRAG's scripts import from here."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import logging
import logging.handlers
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import numpy as np

from lightrag.llm.embedding_func import EmbeddingFunc, wrap_embedding_func_with_attrs
from lightrag.text.tokens import Tokenizer as PackagedTokenizer

__all__ = [
    "EmbeddingFunc",
    "TiktokenTokenizer",
    "TokenTracker",
    "Tokenizer",
    "TokenizerInterface",
    "always_get_an_event_loop",
    "compute_args_hash",
    "compute_mdhash_id",
    "cosine_similarity",
    "create_prefixed_exception",
    "generate_track_id",
    "get_content_summary",
    "get_env_value",
    "lazy_external_import",
    "load_json",
    "locate_json_string_body_from_string",
    "logger",
    "parse_optional_float",
    "pick_by_weighted_polling",
    "remove_think_tags",
    "safe_unicode_decode",
    "sanitize_text_for_encoding",
    "set_verbose_debug",
    "setup_logger",
    "split_string_by_multi_markers",
    "split_text_by_token_limit",
    "strip_control_characters",
    "truncate_list_by_token_size",
    "verbose_debug",
    "wrap_embedding_func_with_attrs",
    "write_json",
    "xml_to_json",
]

T = TypeVar("T", str, int, float, bool, list[Any], dict[str, Any])
Item = TypeVar("Item")

logger = logging.getLogger("lightrag")
_verbose = logging.getLogger("lightrag.verbose")

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_THINK = re.compile(r"^.*?</think>|<think>.*?</think>", re.DOTALL)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_TRUE = frozenset({"true", "1", "yes", "t", "on"})


# Logging


def set_verbose_debug(enabled: bool) -> None:
    """Turn `verbose_debug` messages on or off."""
    _verbose.setLevel(logging.DEBUG if enabled else logging.INFO)


def verbose_debug(msg: str, *args: Any, **kwargs: Any) -> None:
    """Log a message of level DEBUG in full where verbose debugging is on, else its beginning."""
    if _verbose.isEnabledFor(logging.DEBUG) and _verbose.level == logging.DEBUG:
        logger.debug(msg, *args, **kwargs)
        return
    text = msg % args if args else msg
    logger.debug("%s", text[:150] + ("..." if len(text) > 150 else ""), **kwargs)


def setup_logger(
    logger_name: str,
    level: str = "INFO",
    add_filter: bool = False,
    log_file_path: str | None = None,
    enable_file_logging: bool = True,
) -> None:
    """Give a logger a console handler and a rotating file, in place of what it had.

    `log_file_path`: by default `lightrag.log` in LOG_DIR or the current folder. `add_filter` is accepted and not
    needed: requests are not logged through this logger.
    """
    target = logging.getLogger(logger_name)
    target.setLevel(level.upper())
    target.handlers = []
    target.propagate = False
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    target.addHandler(console)
    if not enable_file_logging:
        return
    path = Path(log_file_path or Path(os.getenv("LOG_DIR", os.getcwd())) / "lightrag.log").absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path,
            maxBytes=get_env_value("LOG_MAX_BYTES", 10485760, int),
            backupCount=get_env_value("LOG_BACKUP_COUNT", 5, int),
            encoding="utf-8",
        )
    except OSError as error:
        target.warning("no log file is written: %s", error)
        return
    file.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
    target.addHandler(file)


# Environment


def get_env_value(env_key: str, default: T, value_type: type[T], special_none: bool = False) -> T:
    """Return an environment variable as `value_type`; the default where it is unset, empty or of another type.

    With `special_none` the word "None" gives None.
    """
    value = os.getenv(env_key, "").strip()
    if not value:
        return default
    if special_none and value == "None":
        return None  # type: ignore[return-value]
    try:
        if value_type is bool:
            return value_type(value.lower() in _TRUE)
        if value_type in (list, dict):
            parsed = json.loads(value)
            return parsed if isinstance(parsed, value_type) else default
        convert: Callable[[str], Any] = value_type
        converted: T = convert(value)
    except ValueError:
        return default
    return default if isinstance(converted, float) and not math.isfinite(converted) else converted


def parse_optional_float(raw: str | None) -> float | None:
    """Return a number, or None for nothing and "None". Raises `ValueError` for what is not finite."""
    text = (raw or "").strip()
    if not text or text.lower() == "none":
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{raw!r}: a finite number is needed")
    return value


# Hashes and ids


def compute_mdhash_id(content: str, prefix: str = "") -> str:
    """Return `prefix` and the MD5 of a text."""
    return prefix + hashlib.md5(content.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def compute_args_hash(*args: Any) -> str:
    """Return the MD5 of arguments, each with its length, so that no two lists of them are alike."""
    parts = [str(arg) for arg in args]
    joined = parts[0] if len(parts) == 1 else "".join(f"{len(part)}:{part}" for part in parts)
    return compute_mdhash_id(joined)


def generate_track_id(prefix: str = "upload") -> str:
    """Return an id under which the documents of one request are found."""
    return f"{prefix}_{datetime.now(UTC):%Y%m%d_%H%M%S}_{uuid4().hex[:8]}"


# Texts


def strip_control_characters(text: str, replacement_char: str = "") -> str:
    """Replace control characters and lone surrogates; tabs and line ends stay."""
    return _CONTROL.sub(replacement_char, text) if text else text


def sanitize_text_for_encoding(text: str, replacement_char: str = "") -> str:
    """Return a text that every encoding and store can hold, without outer blanks."""
    return strip_control_characters(text, replacement_char).strip()


def get_content_summary(content: str, max_length: int = 250) -> str:
    """Return the beginning of a text."""
    text = content.strip()
    return text if len(text) <= max_length else text[:max_length] + "..."


def remove_think_tags(text: str) -> str:
    """Return an answer without the model's thinking."""
    return _THINK.sub("", text).strip()


def safe_unicode_decode(content: bytes) -> str:
    r"""Decode bytes that hold `\uXXXX` sequences."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), content.decode("utf-8"))


def split_string_by_multi_markers(content: str, markers: list[str]) -> list[str]:
    """Cut a text at any of the markers; pieces are stripped, empty ones left out."""
    if not markers:
        return [content]
    pieces = re.split("|".join(re.escape(marker) for marker in markers), content)
    return [piece.strip() for piece in pieces if piece.strip()]


def locate_json_string_body_from_string(content: str) -> str | None:
    """Return the part of a text from its first to its last brace; None where there is none."""
    start, end = content.find("{"), content.rfind("}")
    return content[start : end + 1] if 0 <= start < end else None


def xml_to_json(xml_file: str) -> dict[str, list[dict[str, Any]]] | None:
    """Read a GraphML file that LightRAG wrote: its nodes and edges as dictionaries; None where it cannot be read."""
    try:
        root = ElementTree.parse(xml_file).getroot()  # noqa: S314 - a file of the user's own
    except (OSError, ElementTree.ParseError) as error:
        logger.error("%s cannot be read: %s", xml_file, error)
        return None
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    names = {key.get("id", ""): key.get("attr.name", "") for key in root.iter(f"{space}key")}

    def data(element: ElementTree.Element) -> dict[str, Any]:
        return {names.get(item.get("key", ""), ""): item.text or "" for item in element.iter(f"{space}data")}

    nodes = [{"id": node.get("id", ""), **data(node)} for node in root.iter(f"{space}node")]
    edges = [
        {"source": edge.get("source", ""), "target": edge.get("target", ""), **data(edge)}
        for edge in root.iter(f"{space}edge")
    ]
    return {"nodes": nodes, "edges": edges}


# Tokens


class TokenizerInterface(Protocol):
    """What a tokenizer must be able to do."""

    def encode(self, content: str) -> list[int]:
        """Return the tokens of a text."""
        ...

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens."""
        ...


class Tokenizer:
    """A tokenizer with its model's name."""

    def __init__(self, model_name: str, tokenizer: TokenizerInterface) -> None:
        self.model_name = model_name
        self.tokenizer = tokenizer

    def encode(self, content: str) -> list[int]:
        """Return the tokens of a text."""
        return self.tokenizer.encode(content)

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens."""
        return self.tokenizer.decode(tokens)


class TiktokenTokenizer(Tokenizer):
    """The tokenizer in the package (o200k_base), which every model name gets: nothing is downloaded."""

    def __init__(self, model_name: str = "gpt-4o-mini") -> None:
        super().__init__(model_name, PackagedTokenizer())


def truncate_list_by_token_size(
    list_data: list[Item], key: Callable[[Item], str], max_token_size: int, tokenizer: TokenizerInterface
) -> list[Item]:
    """Return the first items whose texts have at most so many tokens together."""
    total = 0
    for index, item in enumerate(list_data):
        total += len(tokenizer.encode(key(item)))
        if total > max_token_size:
            return list_data[:index]
    return list_data if max_token_size > 0 else []


def split_text_by_token_limit(text: str, tokenizer: TokenizerInterface, max_tokens: int) -> list[str]:
    """Cut a text into pieces of at most so many tokens; none for a limit below one."""
    if max_tokens < 1 or not text:
        return []
    tokens = tokenizer.encode(text)
    if len(tokens) <= max_tokens:
        return [text]
    pieces = [tokenizer.decode(tokens[start : start + max_tokens]) for start in range(0, len(tokens), max_tokens)]
    if "".join(pieces) == text:
        return pieces
    # Tokens that are no whole characters decode to nothing useful: cut at characters.
    middle = len(text) // 2
    if middle == 0:
        return [text]
    halves = (text[:middle], text[middle:])
    return [piece for half in halves for piece in split_text_by_token_limit(half, tokenizer, max_tokens)]


class TokenTracker:
    """Adds up the tokens of model calls; a context manager prints the sum at its end."""

    def __init__(self) -> None:
        self.reset()

    def __enter__(self) -> TokenTracker:
        self.reset()
        return self

    def __exit__(self, *exc: object) -> None:
        logger.info("%s", self)

    def __str__(self) -> str:
        usage = self.get_usage()
        return (
            f"LLM call count: {usage['call_count']}, Prompt tokens: {usage['prompt_tokens']}, "
            f"Completion tokens: {usage['completion_tokens']}, Total tokens: {usage['total_tokens']}"
        )

    def reset(self) -> None:
        """Begin at zero."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.total_tokens = 0
        self.call_count = 0

    def add_usage(self, token_counts: dict[str, int]) -> None:
        """Add a call; the keys are `prompt_tokens`, `completion_tokens` and, where known, `total_tokens`."""
        prompt, completion = token_counts.get("prompt_tokens", 0), token_counts.get("completion_tokens", 0)
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.total_tokens += token_counts.get("total_tokens", prompt + completion)
        self.call_count += 1

    def get_usage(self) -> dict[str, int]:
        """Return the sums."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "call_count": self.call_count,
        }


# Numbers, files, loops


def cosine_similarity(v1: Any, v2: Any) -> float:
    """Return the cosine of two vectors; 0 where one is zero or not finite."""
    a, b = np.asarray(v1, dtype=np.float64), np.asarray(v2, dtype=np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not math.isfinite(norms) or norms == 0.0:
        return 0.0
    return float(np.dot(a, b) / norms)


def pick_by_weighted_polling(
    entities_or_relations: list[dict[str, Any]], max_related_chunks: int, min_related_chunks: int = 1
) -> list[str]:
    """Choose chunks of items in the order of their importance: many of the first, few of the last.

    Items hold their chunk ids under `sorted_chunks`. The quota falls evenly from `max_related_chunks` to
    `min_related_chunks`; what an item does not use goes, one by one, to those that have more, from the first on.
    """
    if max_related_chunks < 1 or not entities_or_relations:
        return []
    lists = [list(item.get("sorted_chunks", [])) for item in entities_or_relations]
    last = len(lists) - 1
    slope = (max_related_chunks - min_related_chunks) / last if last else 0.0
    quotas = [round(max_related_chunks - slope * index) for index in range(len(lists))]
    taken = [min(quota, len(chunks)) for quota, chunks in zip(quotas, lists, strict=True)]
    spare = sum(quotas) - sum(taken)
    while spare > 0 and any(count < len(chunks) for count, chunks in zip(taken, lists, strict=True)):
        for index, chunks in enumerate(lists):
            if spare > 0 and taken[index] < len(chunks):
                taken[index] += 1
                spare -= 1
    return [chunk for chunks, count in zip(lists, taken, strict=True) for chunk in chunks[:count]]


def create_prefixed_exception(original_exception: Exception, prefix: str) -> Exception:
    """Return an exception of the same class with words before its message, or a `RuntimeError` that names the class."""
    kind = type(original_exception)
    try:
        copy = kind(f"{prefix}: {original_exception}")
    except Exception:  # the class wants other arguments
        return RuntimeError(f"{prefix}: {kind.__name__}: {original_exception}")
    return copy


def load_json(file_name: str) -> Any:
    """Return what a JSON file holds; None where there is none."""
    path = Path(file_name)
    return json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else None


def write_json(json_obj: Any, file_name: str) -> None:
    """Write a JSON file in LightRAG's form."""
    Path(file_name).write_text(json.dumps(json_obj, indent=2, ensure_ascii=False), encoding="utf-8")


def lazy_external_import(module_name: str, class_name: str) -> Callable[..., Any]:
    """Return a function that imports a class when it is called, and makes an instance."""

    def make(*args: Any, **kwargs: Any) -> Any:
        package = "lightrag" if module_name.startswith(".") else None
        return getattr(importlib.import_module(module_name, package), class_name)(*args, **kwargs)

    return make


def always_get_an_event_loop() -> asyncio.AbstractEventLoop:
    """Return the thread's event loop, made where there is none or the last one was closed."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    try:
        loop = asyncio.get_event_loop_policy().get_event_loop()
        if not loop.is_closed():
            return loop
    except RuntimeError:
        pass
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
