"""Error responses that the OpenAPI document names."""

from __future__ import annotations

from typing import Any

from lightrag.api.schemas.common import ErrorBody

Responses = dict[int | str, dict[str, Any]]

_EXAMPLES: dict[int, tuple[str, str]] = {
    400: ("The request cannot be carried out as it is", "Filename cannot be empty"),
    401: ("The token is missing, wrong or expired", "No credentials provided. Please login."),
    402: ("A limit of the workspace or token is used up", "The workspace's limit tokens_per_day is used up"),
    403: ("The API key is missing or wrong", "API Key required"),
    404: ("There is no such thing", "Document doc-1 not found"),
    409: ("The request contradicts the present state", "Documents are being deleted; try again when that is done"),
    413: ("The request is too large", "File too large. Maximum size: 100.0MB, uploaded: 120.0MB"),
    429: (
        "Too many failed logins, or more calls at a time than are allowed",
        "Too many failed login attempts. Please try again later.",
    ),
    502: ("The model server refused or gave no usable answer", "The model server refused the API key"),
    503: ("A store or model server does not answer", "The model server cannot be reached"),
    504: ("The request took too long", "The request was not done within 150 s and was given up"),
}


def errors(*codes: int) -> Responses:
    """Return the OpenAPI description of error responses; what can lack a key (403) can lack a token (401)."""
    return {
        code: {
            "model": ErrorBody,
            "description": _EXAMPLES[code][0],
            "content": {"application/json": {"example": {"detail": _EXAMPLES[code][1]}}},
        }
        for code in sorted({401, *codes} if 403 in codes else codes)
    }
