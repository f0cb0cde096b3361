"""One tokenizer for all tests of text: its table is read once."""

from __future__ import annotations

import pytest

from lightrag.text.tokens import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The bundled tokenizer."""
    return load_tokenizer()
