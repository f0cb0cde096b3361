"""What is answered to those who bring documents, in LightRAG's words."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.api.schemas.taking_in import AcceptedDocument, InsertResponse
from lightrag.types import UNKNOWN_SOURCE, Accepted


def inserted(accepted: Sequence[Accepted], message: str, *, noun: str = "File source") -> InsertResponse:
    """Return the answer to an insertion; it counts as duplicated where nothing was taken.

    `noun` is what the message calls a source that is known already.
    """
    documents = accepted_documents(accepted)
    duplicates = [item for item in accepted if item.outcome == "duplicate"]
    if len(duplicates) == len(accepted):
        return InsertResponse(
            status="duplicated", message=_duplicate_message(duplicates, noun), track_id="", documents=documents
        )
    if duplicates:
        message += f" {len(duplicates)} of {len(accepted)} were known already and left as they are."
    track_id = next(item.track_id for item in accepted if item.outcome != "duplicate")
    return InsertResponse(status="success", message=message, track_id=track_id, documents=documents)


def accepted_documents(accepted: Sequence[Accepted]) -> list[AcceptedDocument]:
    """Return what became of each offered document."""
    return [
        AcceptedDocument(
            doc_id=item.record.id,
            file_path=item.record.file_path,
            status="duplicated" if item.outcome == "duplicate" else item.outcome,
        )
        for item in accepted
    ]


def _duplicate_message(duplicates: Sequence[Accepted], noun: str) -> str:
    """Return LightRAG's message on sources that are known already."""
    record = duplicates[0].record
    status = f"DocStatus.{record.status.name}"
    if record.file_path == UNKNOWN_SOURCE:
        message = f"The same text already exists in document storage as {record.id} (Status: {status})."
    else:
        message = f"{noun} '{record.file_path}' already exists in document storage (Status: {status})."
    return message + (f" So do {len(duplicates) - 1} more." if len(duplicates) > 1 else "")
