"""What a document filter admits, decided in one place for every family that cannot decide it by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from lightrag.types import BROUGHT_BY, DocStatus, DocumentFilter, DocumentRecord, TagValue


def admits(filter: DocumentFilter, doc_id: str, file_path: str, tags: Mapping[str, TagValue]) -> bool:
    """Tell whether a document passes all parts of the filter."""
    if filter.doc_ids and doc_id not in filter.doc_ids:
        return False
    if filter.file_paths and not any(_path_matches(file_path, pattern) for pattern in filter.file_paths):
        return False
    return all(name in tags and _tag_matches(tags[name], wanted) for name, wanted in filter.tags.items())


def is_open(record: DocumentRecord, statuses: Collection[DocStatus], not_of: Collection[str]) -> bool:
    """Tell whether a document waits for its indexing, and is of none whose documents are to wait longer."""
    return record.status in statuses and not (not_of and record.metadata.get(BROUGHT_BY) in not_of)


def _path_matches(path: str, pattern: str) -> bool:
    return path == pattern or fnmatchcase(path, pattern)


def _tag_matches(value: TagValue, wanted: TagValue) -> bool:
    if isinstance(value, list) or isinstance(wanted, list):
        values = value if isinstance(value, list) else [value]
        options = wanted if isinstance(wanted, list) else [wanted]
        return any(_same(one, other) for one in values for other in options)
    return _same(value, wanted)


def _same(one: TagValue, other: TagValue) -> bool:
    """Compare scalars as JSON does: `true` is not `1`."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
