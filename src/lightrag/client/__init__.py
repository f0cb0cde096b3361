"""The typed Python SDK of the server: `LightRAGClient` blocks, `AsyncLightRAGClient` is awaited.

with LightRAGClient("http://localhost:9621", api_key="…") as client:
    accepted = client.documents.insert_text("Ada Lovelace wrote the first program.", "ada.txt")
    client.documents.wait(accepted)
    print(client.query("Who wrote the first program?"))
"""

from lightrag.client.clients import AsyncLightRAGClient, LightRAGClient, RagFlow
from lightrag.client.errors import (
    AnswerBroken,
    BudgetExceeded,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    LLMError,
    NotDone,
    NotFound,
    RateLimited,
    ServerError,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from lightrag.client.retrying import RetryPolicy
from lightrag.client.streams import AnswerStream, AsyncAnswerStream

RAGFlow = RagFlow
"""As RAGFlow's own SDK spells it."""

__all__ = [
    "AnswerBroken",
    "AnswerStream",
    "AsyncAnswerStream",
    "AsyncLightRAGClient",
    "BudgetExceeded",
    "ClientError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "LLMError",
    "LightRAGClient",
    "NotDone",
    "NotFound",
    "RAGFlow",
    "RagFlow",
    "RateLimited",
    "RetryPolicy",
    "ServerError",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
]
