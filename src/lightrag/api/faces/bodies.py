"""Request bodies that are read as JSON whatever their content type says, and how they are documented."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from lightrag.api.errors import validation_details
from lightrag.api.faces.errors import FaceError

B = TypeVar("B", bound=BaseModel)

INVALID_JSON = "Invalid JSON in request body"
_NO_OBJECT = frozenset({"model_type", "dict_type"})


async def read_body(request: Request, model: type[B]) -> B:
    """Return the request's body; raises `FaceError` (400) that names the first field which is wrong."""
    content = await request.body()
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise FaceError(400, INVALID_JSON) from None
        if not first["loc"] and first["type"] in _NO_OBJECT:
            raise FaceError(400, "The request body should be a JSON object") from None
        [detail] = validation_details([first])
        place = ".".join(str(part) for part in detail["loc"])
        field = place or detail.get("ctx", {}).get("field")
        raise FaceError(400, f"{place}: {detail['msg']}" if place else detail["msg"], param=field) from None


def body_docs(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an operation's OpenAPI description that says what body it takes."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, definitions), "example": example}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    return schema
