"""Files in."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from lightrag.api.dependencies import EngineDep, SettingsDep, documented_key
from lightrag.api.insertion import accepted_documents, inserted
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.chunking import ChunkingRequest, choice_of
from lightrag.api.schemas.common import OnConflict, Tags, plain_tags
from lightrag.api.schemas.taking_in import BatchResponse, InsertResponse
from lightrag.documents.folder import file_md5
from lightrag.documents.names import resolve_inside, safe_file_name, safe_folder
from lightrag.documents.uploads import store_upload
from lightrag.errors import Conflict, InvalidInput, LightRAGError, UnreadableDocument, UnsupportedFormat
from lightrag.indexing.intake import new_track_id
from lightrag.types import Accepted, ChunkingChoice, DocumentRecord

router = APIRouter(prefix="/documents", tags=["documents"], dependencies=[documented_key])

_BLOCK = 1024 * 1024
_tags_adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(Tags)
_chunking_adapter: TypeAdapter[ChunkingRequest] = TypeAdapter(ChunkingRequest)

TagsForm = Annotated[
    str | None, Form(description="Metadata as a JSON object.", examples=['{"year": 2025}'], max_length=65_536)
]
ConflictForm = Annotated[
    OnConflict, Form(description="Where the name is known already: leave the document, or replace a changed one.")
]
PathForm = Annotated[
    str | None,
    Form(description="Folder below the input folder, such as `reports/2025`.", examples=["reports"], max_length=1024),
]
ChunkingForm = Annotated[
    str | None,
    Form(
        description="How to cut the file, as a JSON object; left out: as the settings say.",
        examples=['{"strategy": "fixed_token", "params": {"chunk_token_size": 800}}'],
        max_length=65_536,
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class _Wish:
    """What is said beside a file."""

    folder: str
    tags: dict[str, Any]
    on_conflict: OnConflict
    chunking: ChunkingChoice | None
    track_id: str


@router.post("/upload", operation_id="upload_file", responses=errors(400, 403, 409, 413, 503))
async def upload(
    engine: EngineDep,
    settings: SettingsDep,
    file: Annotated[UploadFile, File(description="The file, under its name.")],
    tags: TagsForm = None,
    on_conflict: ConflictForm = "skip",
    path: PathForm = None,
    chunking: ChunkingForm = None,
) -> InsertResponse:
    """Take in a file. It is durable when this returns, and parsed and indexed in the background."""
    accepted = await _take(engine, settings, file, _wish(tags, on_conflict, path, chunking))
    if isinstance(accepted, str):
        return InsertResponse(status="duplicated", message=accepted, track_id="", documents=[])
    name = accepted.record.file_path.rpartition("/")[2]
    message = f"File '{name}' uploaded successfully. Processing will continue in background."
    return inserted([accepted], message, noun="File")


@router.post("/file", operation_id="insert_file", responses=errors(400, 403, 409, 413, 503))
async def insert_file(
    engine: EngineDep,
    settings: SettingsDep,
    file: Annotated[UploadFile, File(description="The file, under its name.")],
    description: Annotated[str | None, Form(description="Ignored.")] = None,
) -> InsertResponse:
    """Take in a file, as LightRAG's first servers named it; the same as `/documents/upload`."""
    accepted = await _take(engine, settings, file, _wish())
    if isinstance(accepted, str):
        return InsertResponse(status="duplicated", message=accepted, track_id="", documents=[])
    message = f"File '{accepted.record.file_path}' saved successfully. Processing will continue in background."
    return inserted([accepted], message, noun="File")


@router.post("/file_batch", operation_id="insert_file_batch", responses=errors(400, 403, 413, 503))
async def insert_file_batch(
    engine: EngineDep,
    settings: SettingsDep,
    files: Annotated[list[UploadFile], File(description="The files, each under its name.")],
    tags: TagsForm = None,
    on_conflict: ConflictForm = "skip",
    path: PathForm = None,
    chunking: ChunkingForm = None,
) -> BatchResponse:
    """Take in several files, as LightRAG's first servers named it; the same as `/documents/batch`."""
    return await insert_batch(engine, settings, files, tags, on_conflict, path, chunking)


@router.post("/batch", operation_id="insert_batch", responses=errors(400, 403, 413, 503))
async def insert_batch(
    engine: EngineDep,
    settings: SettingsDep,
    files: Annotated[list[UploadFile], File(description="The files, each under its name.")],
    tags: TagsForm = None,
    on_conflict: ConflictForm = "skip",
    path: PathForm = None,
    chunking: ChunkingForm = None,
) -> BatchResponse:
    """Take in several files; those that cannot be taken are named, and do not keep the others out."""
    wish = _wish(tags, on_conflict, path, chunking)
    if wish.chunking is not None:
        engine.check_chunking(wish.chunking)
    taken: list[Accepted] = []
    known = 0
    failed: list[str] = []
    for file in files:
        name = (file.filename or "").strip()[:200] or "(no name)"
        try:
            accepted = await _take(engine, settings, file, wish)
        except UnsupportedFormat:
            failed.append(f"{name} (unsupported type)")
        except (InvalidInput, Conflict) as error:
            failed.append(f"{name} ({error})")
        except LightRAGError:
            # A store in trouble refuses all; what was taken before is durable and would be a duplicate next time.
            if not taken:
                raise
            failed.append(f"{name} (the server cannot take it now; send it again)")
        else:
            known += 1 if isinstance(accepted, str) else accepted.outcome == "duplicate"
            taken += [] if isinstance(accepted, str) else [accepted]
    return _batch_answer(taken, known, failed, len(files), wish.track_id)


def _batch_answer(taken: list[Accepted], known: int, failed: list[str], total: int, track_id: str) -> BatchResponse:
    good = total - len(failed)
    listed = ", ".join(failed)
    if not failed:
        status, message = "success", f"Successfully inserted all {total} documents"
    elif good:
        status = "partial_success"
        message = f"Successfully inserted {good} out of {total} documents. Failed files: {listed}"
    else:
        status, message = "failure", f"No documents were successfully inserted. Failed files: {listed}"
    if known:
        message += f". {known} were known already and left as they are"
    is_any_new = any(item.outcome != "duplicate" for item in taken)
    return BatchResponse.model_validate(
        {
            "status": status,
            "message": message,
            "track_id": track_id if is_any_new else "",
            "documents": accepted_documents(taken),
        }
    )


def _wish(
    tags: str | None = None,
    on_conflict: OnConflict = "skip",
    path: str | None = None,
    chunking: str | None = None,
) -> _Wish:
    asked = None if chunking is None or not chunking.strip() else _parsed(chunking, "chunking", _chunking_adapter)
    return _Wish(
        safe_folder(path or ""),
        {} if tags is None or not tags.strip() else plain_tags(_parsed(tags, "tags", _tags_adapter)),
        on_conflict,
        choice_of(asked),
        new_track_id("upload"),
    )


async def _take(engine: EngineDep, settings: SettingsDep, file: UploadFile, wish: _Wish) -> Accepted | str:
    """Store and accept a file; return a message where it was not needed because it lies there already."""
    base_name = safe_file_name(file.filename or "")
    await engine.check_file_type(base_name)
    if wish.chunking is not None:
        engine.check_chunking(wish.chunking)
    await engine.check_folder(wish.folder)
    name = f"{wish.folder}/{base_name}" if wish.folder else base_name
    if file.size == 0:
        raise UnreadableDocument(f"File '{name}' is empty")
    known = await engine.find_by_path(name)
    if known is not None and known.delete_requested:
        raise Conflict(f"The former document '{name}' is being deleted; try again when that is done")
    if known is not None and wish.on_conflict == "skip":
        return Accepted("duplicate", known)
    target = await asyncio.to_thread(resolve_inside, engine.describe().input_dir, name)
    try:
        await store_upload(_blocks(file), target, settings.server.max_upload_bytes, overwrite=known is not None)
        is_new_file = known is None
    except Conflict as error:
        # The file lies in the folder without being a document. Equal bytes are as good as a successful upload;
        # others are somebody's file, which an upload must not overwrite.
        try:
            is_same = await _md5(file) == await file_md5(target)
        except FileNotFoundError:
            raise Conflict(f"The file '{name}' was being removed; send it again") from None
        if not is_same:
            return str(error)
        is_new_file = False
    except (NotADirectoryError, FileExistsError):
        raise InvalidInput(f"'{wish.folder}' cannot be a folder: a file of that name is there") from None
    accepted: Accepted = await engine.add_file(
        name, track_id=wish.track_id, tags=wish.tags, on_conflict=wish.on_conflict, chunking=wish.chunking
    )
    if is_new_file and _is_twin(accepted, name):
        await asyncio.to_thread(target.unlink, missing_ok=True)
    return accepted


def _is_twin(accepted: Accepted, name: str) -> bool:
    """Return whether the bytes are those of a document with another name, so that the new file serves nothing."""
    record: DocumentRecord = accepted.record
    return accepted.outcome == "duplicate" and record.file_path != name


def _parsed(text: str, name: str, adapter: TypeAdapter[Any]) -> Any:
    try:
        return adapter.validate_python(json.loads(text))
    except (json.JSONDecodeError, RecursionError):
        raise InvalidInput(f'{name} must be a JSON object such as {{"year": 2025}}') from None
    except ValidationError as error:
        details = [item | {"loc": ("body", name, *item["loc"])} for item in error.errors()]
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
