"""Passages and questions are cut into the same terms."""

from __future__ import annotations

import pytest

from lightrag.text.scripts import is_chinese, is_cjk
from lightrag.text.words import MAX_TERM_CHARS, index_terms, query_terms


def finds(question: str, passage: str) -> bool:
    """Whether any term of the question is a term of the passage."""
    return not set(query_terms(question)).isdisjoint(index_terms(passage))


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("city", "two cities"),
        ("running", "he runs"),
        ("stopped", "stopping"),
        ("boxes", "a box"),
        ("making", "they make"),
        ("Beyoncé", "BEYONCE"),
        ("Strasse", "Straße"),
        ("Malmo", "Malmö"),
        ("naive", "naïve"),
        ("ABC", "ＡＢＣ"),
        ("Einstein", "Einstein’s house"),
        ("self-actualizing", "self - actualizing"),
        ("NASA", "N.A.S.A."),
        ("1000", "1,000"),
        ("елка", "Ёлка"),
        ("محمد", "مُحَمَّد"),
        ("हिन्दी", "हिन्दी भाषा"),
        ("猫", "黑猫睡觉"),
        ("猫是什么？", "猫喜欢鱼"),
        ("北京大学在哪里", "他在北京工作"),
        ("東京タワーはどこですか", "タワーの高さ"),
        ("고양이는", "고양이가 잔다"),
        ("ภาษาไทย", "เรียนภาษา"),
        ("手机v2.0", "iPhone手机"),
    ],
)
def test_a_question_finds_other_forms_of_its_words(asked: str, written: str) -> None:
    assert finds(asked, written)


@pytest.mark.parametrize(
    ("asked", "other"),
    [("news", "new"), ("Paris", "pari"), ("bus", "bu"), ("glass", "glas"), ("sing", "s"), ("red", "r")],
)
def test_words_that_only_look_like_forms_are_kept_apart(asked: str, other: str) -> None:
    assert not finds(asked, other)


@pytest.mark.parametrize(
    "name", ["foo_bar", "v1.2.3", "C++", "C#", "covid-19", "me@example.com", "AT&T", "example.com", "0x1F"]
)
def test_identifiers_are_found_as_they_are_written(name: str) -> None:
    exact = name.lower()
    assert exact in query_terms(f"what about {name} here")
    assert exact in index_terms(f"See ({name}), please.")
    assert exact in index_terms(f"中文{name}测试")


def test_parts_of_identifiers_are_found_too() -> None:
    assert finds("bar", "call foo_bar()")
    assert finds("example", "mail me@example.com")


def test_c_is_not_the_same_as_c_plus_plus() -> None:
    assert "c++" not in index_terms("the language C and vitamin C")


def test_questions_leave_out_words_that_say_nothing() -> None:
    assert query_terms("What is the capital of France?") == ["capital", "franc"]
    assert query_terms("Was ist die Hauptstadt von Österreich?") == ["hauptstadt", "osterreich"]
    assert query_terms("¿Cuál es la capital de España?") == ["capital", "espana"]
    assert query_terms("请问中国的首都是什么") == ["中国", "首都"]


def test_a_word_of_another_language_is_no_stop_word() -> None:
    assert query_terms("How did Caesar die in Rome?") == ["caesar", "die", "rome"]


def test_a_question_of_stop_words_only_keeps_them() -> None:
    assert query_terms("The Who") == ["the", "who"]
    assert query_terms("です") == ["です"]


def test_terms_of_a_question_are_distinct_and_in_order() -> None:
    assert query_terms("graph edges and graph walks") == ["graph", "edge", "walk"]


def test_passages_keep_repetitions() -> None:
    assert index_terms("dog dogs DOG") == ["dog", "dog", "dog"]


def test_nothing_gives_no_terms() -> None:
    assert index_terms("") == []
    assert index_terms(" — … !? \u200b") == []
    assert query_terms("...") == []


def test_endless_tokens_are_cut() -> None:
    assert max(map(len, index_terms("x" * 100_000))) <= MAX_TERM_CHARS
    assert max(map(len, index_terms("a_" * 50_000))) <= MAX_TERM_CHARS


@pytest.mark.parametrize("text", ["中文", "かな", "カナ", "한글", "mixed 字"])
def test_east_asian_writing_is_recognised(text: str) -> None:
    assert is_cjk(text)


@pytest.mark.parametrize("text", ["", "latin", "кириллица", "ไทย", "“quoted”"])
def test_other_writing_is_not_taken_for_it(text: str) -> None:
    assert not is_cjk(text)


def test_chinese_is_told_from_japanese() -> None:
    assert is_chinese("知识图谱")
    assert not is_chinese("知識グラフです")
