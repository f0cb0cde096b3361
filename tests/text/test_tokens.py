"""The bundled tokenizer counts as o200k_base does, and maps tokens back to characters."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrag.errors import InvalidInput
from lightrag.text.tokens import Tokenizer, load_tokenizer

TEXTS = [
    "",
    "The quick brown fox jumps over the lazy dog.",
    "Zürich, naïve café: ½ of 3,141.59 €",
    "知识图谱与检索增强生成。",
    "東京タワーと고양이 and हिन्दी",
    "👩‍👩‍👧‍👦 family \U0001f9ff",
    "line one\n\n\tline two\r\n",
]


def test_the_table_is_the_published_one() -> None:
    table = resources.files("lightrag.text") / "data" / "o200k_base.tiktoken.gz"
    digest = hashlib.sha256(gzip.decompress(table.read_bytes())).hexdigest()
    assert digest == "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def test_known_tokens_are_found(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("hello world") == [24912, 2375]
    assert tokenizer.count("hello world") == 2


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_slices_between_offsets_join_to_the_text(tokenizer: Tokenizer, text: str) -> None:
    offsets = tokenizer.offsets(text)
    assert len(offsets) == tokenizer.count(text) + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(text)
    assert "".join(text[a:b] for a, b in itertools.pairwise(offsets)) == text


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=80))
def test_any_string_can_be_counted_and_cut(text: str) -> None:
    offsets = SHARED.offsets(text)
    assert len(offsets) == SHARED.count(text) + 1
    assert offsets[-1] == len(text)
    assert all(a <= b for a, b in itertools.pairwise(offsets))


def test_what_looks_like_a_special_token_is_text(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("<|endoftext|>")
    assert len(tokens) > 1
    assert 199999 not in tokens


def test_lone_surrogates_count_as_one_replacement_each(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83db\ude00")) == "a\ufffdb\ufffd"


@pytest.mark.parametrize("blank", [" ", "\n", " \n", "\u00a0"])
def test_a_million_blanks_do_no_harm(tokenizer: Tokenizer, blank: str) -> None:
    text = "a" + blank * 500_000 + "b"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_windows_hold_the_asked_tokens_and_cover_the_text(tokenizer: Tokenizer) -> None:
    words = random.Random(7).choices(["graph", "知识", "retrieval", "naïve", "\n", "42"], k=500)
    text = " ".join(words)
    windows = tokenizer.windows(text, 100, 20)
    assert windows[0].start == 0
    assert windows[-1].end == len(text)
    assert all(window.tokens == 100 for window in windows[:-1])
    for before, after in itertools.pairwise(windows):
        assert before.start < after.start <= before.end


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_windows_that_would_not_move_on_are_refused(tokenizer: Tokenizer, size: int, overlap: int) -> None:
    with pytest.raises(InvalidInput, match="cannot move on"):
        tokenizer.windows("some text", size, overlap)


def test_threads_may_share_a_tokenizer() -> None:
    fresh = load_tokenizer()
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(fresh.count, ["one two three four"] * 8))
    assert set(counts) == {4}


SHARED = load_tokenizer()
