"""Estimate tokens where a server does not tell them."""

from __future__ import annotations

from lightrag.llm.contracts import ChatRequest, Usage

_BYTES_PER_TOKEN = 4
"""Of UTF-8: about right for English, and for Chinese (three bytes a character) within a third."""

_TOKENS_OF_A_PICTURE = 1200
"""What vendors count for a picture of a million pixels lies between 700 and 1,600."""


def estimate_tokens(text: str) -> int:
    """Return a rough number of tokens of `text`."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def estimate_usage(request: ChatRequest, answer: str) -> Usage:
    """Return the estimated usage of a call that ended with `answer` (thinking included)."""
    prompt = sum(estimate_tokens(message.content) for message in request.messages)
    prompt += _TOKENS_OF_A_PICTURE if request.picture is not None else 0
    return Usage(prompt_tokens=prompt, completion_tokens=estimate_tokens(answer), estimated=True)
