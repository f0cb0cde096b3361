"""Without a language model, a question is answered by quotations that fit, with honest words around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from lightrag.embedded.extractive_answerer import MAX_QUOTES, ExtractiveAnswerer
from lightrag.embedded.minilm import MiniLMEmbedder
from lightrag.errors import ModelUnreachable
from lightrag.llm.contracts import FloatArray, ModelFacts
from lightrag.types import Chunk, RankedChunk


def ranked(doc_id: str, reference: str, content: str, order: int = 0, rank: int = 1) -> RankedChunk:
    """Return a chunk as retrieval hands it over."""
    chunk = Chunk(f"{doc_id}-{order}", doc_id, order, content, 0, 0, len(content))
    return RankedChunk(chunk, 1 / rank, reference)


CHUNKS = [
    ranked(
        "curie",
        "1",
        "Marie Curie\nMarie Curie was born in Warsaw in 1867. She moved to Paris in 1891 to study physics. "
        "In 1903 she shared the Nobel Prize in Physics with Pierre Curie and Henri Becquerel. Her laboratory was cold.",
    ),
    ranked("paris", "2", "Paris is the capital of France. The Eiffel Tower opened in 1889. Trams run daily.", rank=2),
    ranked("居里", "3", "玛丽·居里1867年出生于华沙。她于1903年获得诺贝尔物理学奖。她的实验室很冷。", rank=3),
]


@pytest.fixture
def answerer(embedder: MiniLMEmbedder) -> ExtractiveAnswerer:
    """An answerer on the bundled embedder."""
    return ExtractiveAnswerer(embedder)


def quotes(answer: str) -> list[str]:
    """Return the quoted lines of an answer."""
    return [line for line in answer.splitlines() if line.startswith("- ")]


async def test_the_sentence_that_answers_is_quoted_with_its_reference(answerer: ExtractiveAnswerer) -> None:
    answer = await answerer.quote("When did the Eiffel Tower open?", CHUNKS)
    assert quotes(answer) == ["- The Eiffel Tower opened in 1889. [2]"]


async def test_a_document_without_a_name_is_quoted_without_a_number(answerer: ExtractiveAnswerer) -> None:
    nameless = [ranked("tower", "", "The Eiffel Tower opened in 1889.")]
    assert quotes(await answerer.quote("When did the Eiffel Tower open?", nameless)) == [
        "- The Eiffel Tower opened in 1889."
    ]


async def test_an_answer_in_other_words_is_found_by_meaning(answerer: ExtractiveAnswerer) -> None:
    answer = await answerer.quote("Which award did the scientist receive?", CHUNKS[:2])
    assert "Nobel Prize in Physics" in answer


async def test_the_answer_says_that_no_model_is_configured_and_how_to_configure_one(
    answerer: ExtractiveAnswerer,
) -> None:
    for question in ("Where was Marie Curie born?", "How do I bake bread?"):
        last = (await answerer.quote(question, CHUNKS)).splitlines()[-1]
        assert "No language model is configured" in last
        assert all(name in last for name in ("LLM_BINDING", "LLM_BINDING_HOST", "LLM_MODEL"))


async def test_it_says_plainly_when_nothing_fits(answerer: ExtractiveAnswerer) -> None:
    for chunks in (CHUNKS, []):
        answer = await answerer.quote("How do I bake sourdough bread?", chunks)
        assert quotes(answer) == []
        assert answer.startswith("Nothing in the documents fits")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Wann wurde der Eiffelturm eröffnet?", "Sprachmodell"),
        ("Où est née Marie Curie ?", "modèle de langage"),
        ("¿Dónde nació Marie Curie?", "modelo de lenguaje"),
        ("Где родилась Мария Кюри?", "модель"),
        ("居里在哪里出生？", "语言模型"),
        ("キュリー夫人はどこで生まれましたか", "言語モデル"),
        ("퀴리 부인은 어디에서 태어났나요?", "언어 모델"),
    ],
)
async def test_it_speaks_the_language_of_the_question(answerer: ExtractiveAnswerer, question: str, words: str) -> None:
    assert words in await answerer.quote(question, CHUNKS)


async def test_chinese_questions_are_answered_from_chinese_text(answerer: ExtractiveAnswerer) -> None:
    assert quotes(await answerer.quote("居里夫人哪年获得诺贝尔奖？", CHUNKS)) == [
        "- 她于1903年获得诺贝尔物理学奖。 [3]"
    ]
    assert quotes(await answerer.quote("如何烤面包？", CHUNKS)) == []


async def test_quotations_are_distinct_few_and_in_reading_order(answerer: ExtractiveAnswerer) -> None:
    text = " ".join(f"The museum of Basel shows painting number {i} by artist {chr(65 + i)}." for i in range(12))
    answer = quotes(
        await answerer.quote(
            "What paintings does the museum of Basel show?", [ranked("a", "1", text), ranked("b", "2", text)]
        )
    )
    assert 1 <= len(answer) <= MAX_QUOTES
    assert len(set(answer)) == len(answer)
    positions = [text.index(line[2:-4]) for line in answer]
    assert positions == sorted(positions)


class BrokenEmbedder:
    """An embedding model whose server is gone."""

    facts = ModelFacts("test", "broken")

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Fail."""
        raise ModelUnreachable("no connection")

    async def aclose(self) -> None:
        """Do nothing."""


async def test_words_alone_decide_when_the_embedding_model_fails() -> None:
    answer = await ExtractiveAnswerer(BrokenEmbedder()).quote("When did the Eiffel Tower open?", CHUNKS)
    assert quotes(answer)[0] == "- The Eiffel Tower opened in 1889. [2]"
