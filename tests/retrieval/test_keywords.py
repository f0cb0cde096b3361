"""Where keywords come from."""

from __future__ import annotations

import pytest

from lightrag.errors import ModelUnreachable
from lightrag.llm.contracts import Role
from lightrag.retrieval.keywords import keywords_of_text, parse_keywords
from lightrag.storage.contracts import Storage
from lightrag.testing.fake_models import FakeChat
from lightrag.types import Keywords, QueryParam
from tests.retrieval.library import reader

QUESTION = "Who directed Stellar Drift?"
ANSWER = '{"high_level_keywords": ["directing"], "low_level_keywords": ["Stellar Drift"]}'


async def test_given_keywords_win_and_cost_no_call(films: Storage) -> None:
    chat = FakeChat([ANSWER])
    param = QueryParam(mode="hybrid", ll_keywords=["Tiree"])
    found = await reader(films, chat={Role.KEYWORDS: chat}).retrieve(QUESTION, param)
    assert found.keywords == Keywords((), ("Tiree",))
    assert not chat.requests


async def test_else_the_model_names_them(films: Storage) -> None:
    chat = FakeChat([ANSWER])
    found = await reader(films, chat={Role.KEYWORDS: chat}).retrieve(QUESTION, QueryParam(mode="hybrid"))
    assert found.keywords == Keywords(("directing",), ("Stellar Drift",))
    [request] = chat.requests
    assert request.json_object
    assert request.role is Role.KEYWORDS
    assert QUESTION in request.messages[-1].content


@pytest.mark.parametrize("trouble", [ModelUnreachable("away"), "I would rather not.", '{"high_level_keywords": []}'])
async def test_a_model_in_trouble_is_replaced_by_the_text(films: Storage, trouble: ModelUnreachable | str) -> None:
    chat = FakeChat([trouble])
    found = await reader(films, chat={Role.KEYWORDS: chat}).retrieve(QUESTION, QueryParam(mode="hybrid"))
    assert found.keywords.low_level == ("Stellar Drift",)
    assert found.chunks


async def test_poor_keywords_of_a_model_do_not_hide_what_the_question_asks_for(films: Storage) -> None:
    chat = FakeChat(['{"high_level_keywords": ["matters"], "low_level_keywords": ["things"]}'])
    found = await reader(films, chat={Role.KEYWORDS: chat}).retrieve("departure Ferry Noon", QueryParam(mode="global"))
    assert found.chunks[0].chunk.doc_id == "boat"


async def test_naive_asks_for_no_keywords(films: Storage) -> None:
    chat = FakeChat([ANSWER])
    await reader(films, chat={Role.KEYWORDS: chat}).retrieve(QUESTION, QueryParam(mode="naive"))
    assert not chat.requests


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        f"Sure!\n```json\n{ANSWER}\n```\nAnything else?",
        '{"high_level_keywords": "directing", "low_level_keywords": "Stellar Drift"}',
        "{'high_level_keywords': ['directing'], 'low_level_keywords': ['Stellar Drift']}",
        "high_level_keywords: directing\nlow_level_keywords: Stellar Drift",
        '{"high_level_keywords": ["directing"], "low_level_keywords": ["Stellar Drift"',
    ],
    ids=["plain", "fenced", "strings", "single quotes", "lines", "cut off"],
)
def test_answers_are_read_leniently(answer: str) -> None:
    assert parse_keywords(answer) == Keywords(("directing",), ("Stellar Drift",))


@pytest.mark.parametrize("answer", ["", "no", "[]", "{}", '{"other": 1}', '{"high_level_keywords": {"a": 1}}'])
def test_an_answer_without_keywords_has_none(answer: str) -> None:
    assert parse_keywords(answer) == Keywords()


@pytest.mark.parametrize(
    ("question", "low"),
    [
        ("Who directed Stellar Drift?", ("Stellar Drift",)),
        ("What did the University of Upsala say of the IAEA?", ("University of Upsala", "IAEA")),
        ('what does "open at nine" mean', ("open at nine",)),
        ("谁写了《红楼梦》?", ("红楼梦",)),
    ],
)
def test_names_and_quotations_in_the_text_are_low_level(question: str, low: tuple[str, ...]) -> None:
    assert keywords_of_text(question).low_level == low


def test_other_telling_words_are_high_level() -> None:
    assert "tank" in keywords_of_text("why is the tank of Orion empty").high_level
