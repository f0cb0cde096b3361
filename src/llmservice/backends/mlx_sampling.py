"""How tokens are chosen with MLX: samplers with a random state of their own, penalties, grammars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmservice.backends.contracts import Sampling

_PENALTY_WINDOW = 64
"""Tokens that penalties look back on, as in llama.cpp."""


def make_sampler(sampling: Sampling, vocabulary: int, seed: int) -> Callable[[Any], Any]:
    """Return what chooses tokens out of log probabilities, shape (1, vocabulary).

    Each answer draws from its own random state, so that a seed gives the same tokens whatever else runs.
    """
    from mlx_lm.sample_utils import greedy_sampler

    if sampling.temperature == 0:
        return greedy_sampler  # one object for all, so that a batch of greedy answers is sampled in one call
    import mlx.core as mx
    from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

    key = mx.random.key(seed)

    def sample(logprobs: Any) -> Any:
        nonlocal key
        if sampling.top_k and sampling.top_k < vocabulary:
            logprobs = apply_top_k(logprobs, sampling.top_k)
        if 0 < sampling.top_p < 1:
            logprobs = apply_top_p(logprobs, sampling.top_p)
        if sampling.min_p:
            logprobs = apply_min_p(logprobs, sampling.min_p)
        key, drawn = mx.random.split(key)
        return mx.random.categorical(logprobs * (1 / sampling.temperature), key=drawn)

    return sample


def make_processors(sampling: Sampling, grammar: GrammarMask | None) -> list[Callable[[Any, Any], Any]]:
    """Return what changes logits before a token is chosen; the grammar has the last word."""
    from mlx_lm.sample_utils import make_logits_processors

    found = make_logits_processors(
        dict(sampling.logit_bias) or None,
        sampling.repeat_penalty if sampling.repeat_penalty not in (None, 1.0) else None,
        _PENALTY_WINDOW,
        sampling.presence_penalty or None,
        _PENALTY_WINDOW,
        sampling.frequency_penalty or None,
        _PENALTY_WINDOW,
    )
    return [*found, grammar] if grammar is not None else list(found)


class GrammarMask:
    """Lets only tokens through that a grammar admits next.

    The mask is made with numpy: llguidance's own kernel for MLX runs on Metal only.
    """

    def __init__(self, tokenizer: Any, schema: str) -> None:
        """`tokenizer` is llguidance's, `schema` JSON text as `json_schemas.guided` makes it."""
        import llguidance
        import llguidance.numpy

        self._matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema(schema))
        self._bits = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)
        self._fill = llguidance.numpy.fill_next_token_bitmask
        self._seen: int | None = None

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """Return the logits with all other tokens at minus infinity; `tokens` are those of prompt and answer."""
        import mlx.core as mx

        count = tokens.shape[-1]
        if self._seen is not None:
            for token in tokens.reshape(-1)[self._seen :].tolist():
                if not self._matcher.is_stopped():
                    self._matcher.consume_token(token)
        self._seen = count
        self._fill(self._matcher, self._bits, 0)
        admitted = np.unpackbits(self._bits.view(np.uint8).reshape(-1), bitorder="little").astype(bool)
        width = logits.shape[-1]
        mask = np.zeros(width, bool)
        mask[: min(width, len(admitted))] = admitted[:width]
        return mx.where(mx.array(mask), logits, mx.array(-float("inf"), logits.dtype))
