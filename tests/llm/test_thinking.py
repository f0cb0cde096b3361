"""Thinking is separated from the answer, however the text is torn apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrag.llm.thinking import ThinkingSplitter, split_thinking


def feed(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkingSplitter()
    parts = [splitter.feed(piece) for piece in pieces]
    parts.append(splitter.finish())
    return "".join(text for text, _ in parts), "".join(thinking for _, thinking in parts)


@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        ("Plain.", "Plain.", ""),
        ("<think>a</think>b", "b", "a"),
        ("\n <think>a</think>\n\nb", "b", "a"),
        ("<thinking>a</thinking>b", "b", "a"),
        ("<think>a</think><think>b</think>c", "c", "ab"),
        ("Well. <think>a</think>So.", "Well. So.", "a"),
        ("<think>never closed", "", "never closed"),
        ("<think>a</think>b < c <th", "b < c <th", "a"),
        ("The tag <think> opens thoughts.", "The tag <think> opens thoughts.", ""),
    ],
)
def test_the_answer_is_what_is_outside_the_tags(text: str, answer: str, thinking: str) -> None:
    assert split_thinking(text) == (answer, thinking)
    assert feed([text]) == (answer, thinking)
    assert feed(list(text)) == (answer, thinking)


def test_a_template_that_opens_the_tag_itself_leaves_only_the_closing_one() -> None:
    assert split_thinking("First I count.\n</think>\n\nThree.") == ("Three.", "First I count.")


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "a", " b", "\n"]), max_size=12),
    st.data(),
)
def test_where_a_text_is_torn_makes_no_difference(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert feed(pieces) == feed([text])


@given(st.lists(st.sampled_from(["<think>", "<", "t", "hink>", "x", " "]), max_size=12))
def test_an_answer_that_closes_no_thinking_is_not_lost(words: list[str]) -> None:
    text = "answer " + "".join(words)
    assert feed(list(text)) == (text, "")
