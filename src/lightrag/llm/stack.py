"""Put the wrappers around a binding, in the one order that is right.

From the inside out, and why:

1. binding: speaks the dialect, maps errors.
2. meter: directly around it, so that every attempt that reaches the server is counted, failed and aborted ones too,
   and durations are the server's, without waiting for a slot.
3. limiter: each attempt holds a slot, and only while it runs.
4. retry: outside the limiter, so that a call that waits for its next attempt holds no slot.
5. router: where there are several backends, each of them has all of the above for itself. Retries are few there: the
   next attempt goes to another backend.
6. cache: outermost. A kept answer needs no slot and no attempt, equal calls at the same time become one, and only
   answers that passed all attempts are kept. It tells the meter what was not paid.

For embeddings the batcher is outermost in the cache's place: each batch is limited, retried and counted by itself, so
that a failure costs one batch again and not all of them. For reranking it is the cutter of long documents: the pieces
are documents to everything below it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from lightrag.llm.cache import CACHED_ROLES, AnswerStore, CachedChat
from lightrag.llm.contracts import ChatModel, EmbeddingModel, RerankModel, Role
from lightrag.llm.embedding_batcher import BatchedEmbedding
from lightrag.llm.limiter import LimitedChat, LimitedEmbedding, LimitedRerank, Limiter
from lightrag.llm.meter import MeteredChat, MeteredEmbedding, MeteredRerank, UsageMeter
from lightrag.llm.rerank_chunking import ChunkedRerank, Cutter
from lightrag.llm.retry import RetryingChat, RetryingEmbedding, RetryingRerank, RetryPolicy

ROUTE_POLICY = RetryPolicy(attempts=1, unusable_attempts=1, deadline=1.0)
"""Of one backend among several: no second attempt, but for a rate limit that is over in a second."""
RERANK_POLICY = RetryPolicy(attempts=3, most=4.0, deadline=15.0)
"""Somebody waits for the answer, which comes without reranking, too."""


def chat_backend(
    binding: ChatModel, *, limiter: Limiter, meter: UsageMeter, policy: RetryPolicy | None = None
) -> ChatModel:
    """Return `binding` limited, retried and counted: what a router chooses among."""
    limited = LimitedChat(MeteredChat(binding, meter), limiter)
    return RetryingChat(limited, policy or ROUTE_POLICY, limiter)


def cached_chat(
    model: ChatModel,
    *,
    meter: UsageMeter,
    store: AnswerStore,
    cached_roles: Collection[Role] = CACHED_ROLES,
    on_hit: Callable[[Role], None] | None = None,
) -> CachedChat:
    """Return `model` cached in `store`; `on_hit` is told of calls that were not made. Closing it closes the model."""

    def count_hit(role: Role) -> None:
        meter.row(role, model.facts).cache_hits += 1
        if on_hit is not None:
            on_hit(role)

    return CachedChat(model, store, roles=cached_roles, on_hit=count_hit)


def chat_stack(
    binding: ChatModel,
    *,
    limiter: Limiter,
    meter: UsageMeter,
    store: AnswerStore,
    policy: RetryPolicy | None = None,
    cached_roles: Collection[Role] = CACHED_ROLES,
    on_hit: Callable[[Role], None] | None = None,
) -> CachedChat:
    """Return `binding` limited, retried, cached in `store` and counted. Closing it closes the binding."""
    backend = chat_backend(binding, limiter=limiter, meter=meter, policy=policy or RetryPolicy())
    return cached_chat(backend, meter=meter, store=store, cached_roles=cached_roles, on_hit=on_hit)


def embedding_backend(
    binding: EmbeddingModel, *, limiter: Limiter, meter: UsageMeter, policy: RetryPolicy | None = None
) -> EmbeddingModel:
    """Return `binding` limited, retried and counted: what a router chooses among."""
    limited = LimitedEmbedding(MeteredEmbedding(binding, meter), limiter)
    return RetryingEmbedding(limited, policy or ROUTE_POLICY, limiter)


def embedding_stack(
    binding: EmbeddingModel,
    *,
    limiter: Limiter,
    meter: UsageMeter,
    policy: RetryPolicy | None = None,
    max_batch: int | None = None,
) -> BatchedEmbedding:
    """Return `binding` limited, retried, counted and batched. Closing it closes the binding."""
    backend = embedding_backend(binding, limiter=limiter, meter=meter, policy=policy or RetryPolicy())
    return BatchedEmbedding(backend, max_batch, parallel=2 * limiter.slots)


def rerank_backend(
    binding: RerankModel, *, limiter: Limiter, meter: UsageMeter, policy: RetryPolicy | None = None
) -> RerankModel:
    """Return `binding` limited, retried and counted: what a router chooses among."""
    limited = LimitedRerank(MeteredRerank(binding, meter), limiter)
    return RetryingRerank(limited, policy or ROUTE_POLICY, limiter)


def rerank_stack(
    binding: RerankModel,
    *,
    limiter: Limiter,
    meter: UsageMeter,
    policy: RetryPolicy | None = None,
    cut: Cutter | None = None,
) -> RerankModel:
    """Return `binding` limited, retried and counted; with `cut` long documents are judged piece by piece."""
    retrying = rerank_backend(binding, limiter=limiter, meter=meter, policy=policy or RERANK_POLICY)
    return ChunkedRerank(retrying, cut) if cut is not None else retrying
