"""Thinking is separated from the answer, however the text is torn apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrag.llm.thinking import ThinkingHabit, ThinkingSplitter, split_thinking


def feed(pieces: list[str], habit: ThinkingHabit | None = None, *, apart: bool = False) -> tuple[str, str]:
    splitter = ThinkingSplitter(habit)
    if apart:
        splitter.tell_apart()
    answer, thoughts = "", ""
    for piece in (*pieces, None):
        text, thinking = splitter.finish() if piece is None else splitter.feed(piece)
        if splitter.takes_back:
            answer, thoughts = "", thoughts + answer
        if splitter.was_mistaken:
            thoughts = ""
        answer, thoughts = answer + text, thoughts + thinking
    return answer, thoughts


def used_to_it() -> ThinkingHabit:
    """The habit of a model that has closed thinking which it never opened."""
    habit = ThinkingHabit()
    habit.met()
    return habit


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


@pytest.mark.parametrize("habit", [ThinkingHabit, used_to_it])
@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        ("First I count.\n</think>\n\nThree.", "Three.", "First I count."),
        ("First I count.</think>Three.", "Three.", "First I count."),
        ("First I count. </thinking>\nThree.", "Three.", "First I count."),
        ("1 < 2, so</think>The tag </think> closes.", "The tag </think> closes.", "1 < 2, so"),
        ("\n</think>\n\nThree.", "Three.", ""),
        ("<think>I count.</think>\n\nThree.", "Three.", "I count."),
        ("<think>I count.</think>The tag\n</think> closes.", "The tag\n</think> closes.", "I count."),
        ("Thoughts end with `</think>`.", "Thoughts end with `</think>`.", ""),
        ("The tag </think> ends thoughts.", "The tag </think> ends thoughts.", ""),
        ("Three.", "Three.", ""),
        (" <", "<", ""),
    ],
)
def test_a_template_that_opens_the_tag_itself_leaves_only_the_closing_one(
    text: str, answer: str, thinking: str, habit: Callable[[], ThinkingHabit]
) -> None:
    assert split_thinking(text, habit()) == (answer, thinking)
    for pieces in ([text], list(text)):
        said, thought = feed(pieces, habit())
        assert (said, thought.strip()) == (answer, thinking)


def test_the_first_such_stream_takes_back_and_later_ones_do_not_have_to() -> None:
    habit = ThinkingHabit()
    first, second = ThinkingSplitter(habit), None
    assert first.feed("Hmm, ") == ("Hmm, ", "")
    assert first.feed("so.\n</think>\n\nYes") == ("Yes", "so.\n")
    assert first.takes_back
    second = ThinkingSplitter(habit)
    assert second.feed("Hmm, ") == ("", "Hmm, ")
    assert second.feed("so.\n</think>\n\nYes") == ("Yes", "so.\n")
    assert not second.takes_back


def test_a_whole_answer_teaches_what_streams_do() -> None:
    habit = ThinkingHabit()
    split_thinking("Hmm.</think>Yes.", habit)
    assert ThinkingSplitter(habit).feed("Well") == ("", "Well")


def test_a_model_that_stops_thinking_is_believed_after_three_answers() -> None:
    habit = used_to_it()
    for _ in range(2):
        assert feed(["Ye", "s."], habit) == ("Yes.", "")
    split_thinking("{}", habit, unlearns=False)
    assert habit.is_expected
    split_thinking("Yes.", habit)
    assert ThinkingSplitter(habit).feed("Yes") == ("Yes", "")


def test_expected_thoughts_that_were_cut_off_are_no_answer() -> None:
    assert split_thinking("First I count", used_to_it(), cut=True) == ("", "First I count")
    assert split_thinking("First I count", ThinkingHabit(), cut=True) == ("First I count", "")


@pytest.mark.parametrize("habit", [ThinkingHabit, used_to_it])
def test_a_server_that_sends_thinking_apart_is_believed(habit: Callable[[], ThinkingHabit]) -> None:
    text = "One.\n</think>\nTwo."
    assert split_thinking(text, habit(), apart=True) == (text, "")
    assert feed(list(text), habit(), apart=True) == (text, "")
    assert feed(["\n</think>\n", "Two."], habit(), apart=True) == ("Two.", "")


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "a", " b ", "`", "\n"]), max_size=12
    ),
    st.data(),
    st.booleans(),
)
def test_where_a_text_is_torn_makes_no_difference(words: list[str], data: st.DataObject, expected: bool) -> None:
    habit = used_to_it if expected else ThinkingHabit
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    (answer, thinking), (whole_answer, whole_thinking) = feed(pieces, habit()), feed([text], habit())
    assert (answer, thinking.strip()) == (whole_answer, whole_thinking.strip())


@given(st.lists(st.sampled_from(["<think>", "<", "t", "hink>", "x", " "]), max_size=12))
def test_an_answer_that_closes_no_thinking_is_not_lost(words: list[str]) -> None:
    text = "answer " + "".join(words)
    assert feed(list(text)) == (text, "")
