"""Files in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from lightrag.api.dependencies import EngineDep, SettingsDep, documented_key
from lightrag.api.insertion import inserted
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.common import OnConflict, Tags, plain_tags
from lightrag.api.schemas.documents import InsertResponse
from lightrag.documents.folder import file_md5
from lightrag.documents.formats import format_of
from lightrag.documents.names import resolve_inside, safe_file_name
from lightrag.documents.uploads import store_upload
from lightrag.errors import Conflict, InvalidInput, UnreadableDocument
from lightrag.types import Accepted, DocumentRecord

router = APIRouter(prefix="/documents", tags=["documents"], dependencies=[documented_key])

_BLOCK = 1024 * 1024
_tags_adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(Tags)


@router.post(
    "/upload",
    operation_id="upload_file",
    responses=errors(400, 403, 409, 413, 503),
)
async def upload(
    engine: EngineDep,
    settings: SettingsDep,
    file: Annotated[UploadFile, File(description="The file, under its name.")],
    tags: Annotated[
        str | None, Form(description="Metadata as a JSON object.", examples=['{"year": 2025}'], max_length=65_536)
    ] = None,
    on_conflict: Annotated[
        OnConflict, Form(description="Where the name is known already: leave the document, or replace a changed one.")
    ] = "skip",
) -> InsertResponse:
    """Take in a file. It is durable when this returns, and parsed and indexed in the background."""
    parsed_tags = _parse_tags(tags)
    name = safe_file_name(file.filename or "")
    format_of(name)
    if file.size == 0:
        raise UnreadableDocument(f"File '{name}' is empty")
    known = await engine.find_by_path(name)
    if known is not None and known.delete_requested:
        raise Conflict(f"The former document '{name}' is being deleted; try again when that is done")
    if known is not None and on_conflict == "skip":
        return inserted([Accepted("duplicate", known)], "")
    target = resolve_inside(engine.describe().input_dir, name)
    try:
        await store_upload(_blocks(file), target, settings.server.max_upload_bytes, overwrite=known is not None)
        is_new_file = known is None
    except Conflict as error:
        # The file lies in the folder without being a document. Equal bytes are as good as a successful upload;
        # others are somebody's file, which an upload must not overwrite.
        if await _md5(file) != await file_md5(target):
            return InsertResponse(status="duplicated", message=str(error), track_id="", documents=[])
        is_new_file = False
    accepted = await engine.add_file(name, tags=parsed_tags, on_conflict=on_conflict)
    if is_new_file and _is_twin(accepted, name):
        target.unlink(missing_ok=True)
    return inserted([accepted], f"File '{name}' uploaded successfully. Processing will continue in background.")


def _is_twin(accepted: Accepted, name: str) -> bool:
    """Return whether the bytes are those of a document with another name, so that the new file serves nothing."""
    record: DocumentRecord = accepted.record
    return accepted.outcome == "duplicate" and record.file_path != name


def _parse_tags(text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        return plain_tags(_tags_adapter.validate_python(json.loads(text)))
    except (json.JSONDecodeError, RecursionError):
        raise InvalidInput('tags must be a JSON object such as {"year": 2025}') from None
    except ValidationError as error:
        details = [item | {"loc": ("body", "tags", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(details) from None


async def _blocks(file: UploadFile) -> AsyncIterator[bytes]:
    await file.seek(0)
    while block := await file.read(_BLOCK):
        yield block


async def _md5(file: UploadFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    async for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest()
