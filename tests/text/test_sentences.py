"""Sentences are found in many scripts and layouts, and nothing is lost between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrag.text.sentences import MAX_SENTENCE_CHARS, sentences


def cut(text: str) -> list[str]:
    """Return the sentences themselves."""
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One is here.", "Two is there!", "Is three?", "Four"],
        ["Dr. J. K. Smith met Mr. Jones in the U.S. Senate.", "He was late."],
        ["He lives in the U.S.", "The city is big."],
        ["It costs 3.14 euro, i.e. little, cf. No. 5 and Fig. 2.", "Good."],
        ["Apple Inc. was founded in 1976.", "It grew."],
        ['"Really?" he asked.', '"Yes!"', "She left."],
        ["Am 3. Oktober feiert man, z. B. in Bonn.", "Das ist bekannt."],
        ["El Sr. García llegó tarde.", "¿Por qué?", "Nadie lo sabe."],
        ["Он пришёл.", "Она ушла…", "Потом тишина."],
    ],
)
def test_sentences_end_where_they_end(expected: list[str]) -> None:
    assert cut(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["他来了。", "“你好！”", "她说。", "然后走了"],
        ["今日は晴れです。", "明日は雨でしょう。"],
        ["यह एक वाक्य है।", "यह दूसरा है।"],
        ["هل هذا صحيح؟", "نعم."],
    ],
)
def test_other_scripts_have_their_own_full_stops(expected: list[str]) -> None:
    assert cut("".join(expected) if expected[0].isascii() else " ".join(expected)) == expected


def test_chinese_needs_no_blank_after_a_full_stop() -> None:
    assert cut("第一句。第二句！第三句") == ["第一句。", "第二句！", "第三句"]


def test_headings_list_items_and_table_rows_stand_alone() -> None:
    lists = "- first item\n- second item\n\n1. Step one\n2. Step two"
    assert cut(f"# Title\nIntroduction of it.\n\n{lists}\n\n| a | b |\n| c | d |") == [
        "# Title",
        "Introduction of it.",
        "- first item",
        "- second item",
        "1. Step one",
        "2. Step two",
        "| a | b |",
        "| c | d |",
    ]


def test_a_title_line_is_not_joined_to_the_text_below() -> None:
    assert cut("Marie Curie\nShe was a physicist.") == ["Marie Curie", "She was a physicist."]


def test_lines_broken_by_width_are_one_sentence() -> None:
    text = """This sentence was wrapped by an editor at a width of sixty or so
and continues here. And then there comes Professor Alexandra
Morgenstern of the second line."""
    assert len(cut(text)) == 2


@pytest.mark.parametrize("unit", ["x", "a b ", "ไทย", "word, ", "中文字"])
def test_endless_sentences_are_cut(unit: str) -> None:
    parts = cut(unit * 2000)
    assert max(map(len, parts)) <= MAX_SENTENCE_CHARS
    assert "".join("".join(parts).split()) == "".join((unit * 2000).split())


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("aB1 .!?\n\t。、-\"'”é中")), max_size=120))
def test_only_blanks_lie_between_sentences(text: str) -> None:
    position = 0
    for start, end in sentences(text):
        assert position <= start < end <= len(text)
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()
