"""A model's extraction answer is read however it is written, or refused with the reason."""

import pytest

from lightrag.errors import UnusableAnswer
from lightrag.indexing.answer_parser import parse_answer

PLAIN = """entity<|#|>Ada Lovelace<|#|>Person<|#|>Ada Lovelace wrote the first program.
entity<|#|>Analytical Engine<|#|>Product<|#|>A mechanical computer.
relation<|#|>Ada Lovelace<|#|>Analytical Engine<|#|>wrote for, programming<|#|>She wrote a program for it.
<|COMPLETE|>"""


def names(answer: str) -> list[str]:
    return [entity.name for entity in parse_answer(answer).entities]


def test_records_become_entities_and_relations() -> None:
    found = parse_answer(PLAIN)
    assert [(e.name, e.type) for e in found.entities] == [("Ada Lovelace", "person"), ("Analytical Engine", "product")]
    (relation,) = found.relations
    assert (relation.source, relation.target) == ("Ada Lovelace", "Analytical Engine")
    assert relation.keywords == "wrote for,programming"


@pytest.mark.parametrize(
    "answer",
    [
        f"```\n{PLAIN}\n```",
        f"<think>Let me see: entity<|#|>Wrong<|#|>x<|#|>y</think>\n{PLAIN}",
        PLAIN.replace("entity", "- Entity"),
        PLAIN.replace("<|#|>", "<|>"),
        PLAIN.replace("<|#|>", "<#>"),
        PLAIN.replace("<|#|>", "<|#>"),
        "Here are the records:\n" + PLAIN,
        '("entity"<|>"Ada Lovelace"<|>"person"<|>"First programmer.")##\n'
        '("entity"<|>"Analytical Engine"<|>"product"<|>"A computer.")##\n'
        '("relationship"<|>"Ada Lovelace"<|>"Analytical Engine"<|>"She wrote for it."<|>"programming"<|>9)<|COMPLETE|>',
        '{"entities": [{"name": "Ada Lovelace", "type": "person", "description": "First programmer."}, '
        '{"name": "Analytical Engine", "type": "product", "description": "A computer."}], '
        '"relationships": [{"source": "Ada Lovelace", "target": "Analytical Engine", "keywords": "programming", '
        '"description": "She wrote for it."}]}',
    ],
)
def test_forms_seen_from_models_are_read_alike(answer: str) -> None:
    found = parse_answer(answer)
    assert {entity.name for entity in found.entities} == {"Ada Lovelace", "Analytical Engine"}
    assert len(found.relations) == 1


def test_json_is_read_whatever_prose_stands_around_it() -> None:
    listed = '{"entities": [{"name": "Ada Lovelace", "type": "person", "description": "First programmer."}]}'
    assert names(f"Here is the graph you asked for:\n\n```json\n{listed}\n```\nAnything else?") == ["Ada Lovelace"]


def test_empty_lists_or_a_sentence_before_the_end_mark_say_that_there_is_nothing() -> None:
    assert parse_answer('```json\n{"entities": [], "relationships": []}\n```').entities == ()
    assert parse_answer("The text names nothing.\n<|COMPLETE|>").entities == ()


@pytest.mark.parametrize(
    "answer",
    [
        "Ada Lovelace (person): wrote a program.\nAnalytical Engine (product): a computer.\n<|COMPLETE|>",
        "Ada Lovelace<|#|>person<|#|>She wrote the first program.<|COMPLETE|>",
        "entity<|#|>Ada Lovelace<|#|>person<|#|>\n<|COMPLETE|>",
        '{"entities": [{"label": "Ada Lovelace"}]}',
    ],
)
def test_records_that_cannot_be_read_are_not_taken_for_nothing_though_the_answer_is_ended(answer: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_answer(answer)


def test_an_answer_of_the_end_mark_alone_says_that_there_is_nothing() -> None:
    assert parse_answer("<|COMPLETE|>").entities == ()


@pytest.mark.parametrize("answer", ["", "I cannot help with that.", "<think>hmm", "{}", "entity<|#|>only a name"])
def test_an_answer_without_records_is_refused_not_taken_for_empty(answer: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_answer(answer)


def test_a_cut_off_answer_keeps_whole_records_and_is_noted() -> None:
    cut = PLAIN[: PLAIN.index("for it.")]
    found = parse_answer(cut, cut_off=True)
    assert len(found.entities) == 2
    assert found.relations == ()
    assert found.notes


def test_an_end_that_was_not_listed_becomes_an_entity() -> None:
    found = parse_answer("relation<|#|>Bob<|#|>Alice<|#|>knows<|#|>Alice knows Bob.\n<|COMPLETE|>")
    assert [(e.name, e.type) for e in found.entities] == [("Alice", "UNKNOWN"), ("Bob", "UNKNOWN")]
    assert found.relations[0].source == "Alice"


def test_names_are_spelled_one_way() -> None:
    rows = ['"Ada Lovelace"', "Ada  Lovelace ", "Ada&nbsp;Lovelace", "<br>Ada Lovelace"]
    assert names("\n".join(f"entity<|#|>{row}<|#|>person<|#|>x" for row in rows)) == ["Ada Lovelace"]
    assert names("entity<|#|>北京 大学<|#|>organization<|#|>学校") == ["北京大学"]


def test_a_relation_of_a_thing_to_itself_is_dropped() -> None:
    answer = "entity<|#|>A1b<|#|>x<|#|>y\nrelation<|#|>A1b<|#|>A1b<|#|>k<|#|>d"
    assert parse_answer(answer).relations == ()
