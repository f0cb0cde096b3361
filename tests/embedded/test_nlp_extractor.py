"""Names, titles and links are found without a model, in several languages, under the same name everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrag.embedded.nlp_extractor import MAX_ENTITIES, MAX_RELATIONS, NLPExtractor, extract_text
from lightrag.types import Chunk, Extraction

CURIE = """Marie Curie
Marie Curie (born 7 November 1867 in Warsaw) was a physicist and chemist. In 1891 she moved to Paris, where she studied
at the University of Paris. Curie shared the Nobel Prize in Physics with Pierre Curie and Henri Becquerel. Her account,
"Radioactive Substances", was praised by the Royal Swedish Academy of Sciences. During World War I she drove X-ray vans.
"""


def names(text: str) -> set[str]:
    """Return the names of the entities of a text."""
    return {entity.name for entity in extract_text(text).entities}


def types(text: str) -> dict[str, str]:
    """Return the type of each entity of a text."""
    return {entity.name: entity.type for entity in extract_text(text).entities}


def test_people_places_institutions_works_and_events_are_found() -> None:
    assert {
        "Marie Curie",
        "Warsaw",
        "Paris",
        "University of Paris",
        "Pierre Curie",
        "Henri Becquerel",
        "Radioactive Substances",
        "Royal Swedish Academy of Sciences",
        "World War I",
        "7 November 1867",
    } <= names(CURIE)


def test_words_that_only_open_a_sentence_are_no_names() -> None:
    assert names(CURIE).isdisjoint({"In", "Her", "During", "Curie shared", "She"})
    found = names("However, prices fell. Researchers found it. Yesterday Anna Smith left. Then London slept.")
    assert found == {"Anna Smith", "London"}


def test_types_follow_from_words_and_surroundings() -> None:
    found = types(CURIE)
    assert found["University of Paris"] == "organization"
    assert found["Radioactive Substances"] == "content"
    assert found["World War I"] == "event"
    assert found["Warsaw"] == "location"
    assert found["Marie Curie"] == "person"
    assert found["7 November 1867"] == "date"
    assert types("They crossed the Hudson River.")["Hudson River"] == "location"
    assert types("Sales of Foobar Widgets rose, and Foobar Widgets grew.")["Foobar Widgets"] == "concept"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("It is the Beatles' best. He met the Beatles in May.", "Beatles"),
        ("They read Newton’s Principia, and Newton's notes.", "Newton"),
        ("They left the U.S. in May. He knows the U.S. well.", "US"),
        ("He flew to Los Angeles and to Las Vegas.", "Los Angeles"),
        ("We visited St. Louis, then Mt. Everest.", "St. Louis"),
        ("J. R. R. Tolkien wrote it; they like J. R. R. Tolkien.", "J. R. R. Tolkien"),
        ("They saw Ludwig van Beethoven and Leonardo da Vinci.", "Leonardo da Vinci"),
        ("The parts are by Procter & Gamble.", "Procter & Gamble"),
        ("They launched Apollo 11 from there.", "Apollo 11"),
        ("Call get_user_name first.", "get_user_name"),
        ("He bought an iPhone from eBay.", "iPhone"),
        ("For many years it has been hanging in New York in the Museum of\nModern Art there.", "Museum of Modern Art"),
    ],
)
def test_a_name_has_one_spelling(text: str, name: str) -> None:
    assert name in names(text)


def test_a_short_form_stands_for_the_only_longer_name_that_has_it() -> None:
    found = names("Grace Hopper invented it. Hopper served long. They praised Hopper.")
    assert "Grace Hopper" in found
    assert "Hopper" not in found


def test_a_short_form_of_two_people_stands_for_neither() -> None:
    found = names("They met Marie Curie and Pierre Curie. It was Curie who spoke, said Curie.")
    assert {"Marie Curie", "Pierre Curie", "Curie"} <= found


def test_the_first_line_is_an_entity_where_it_is_a_title() -> None:
    text = "person-centred care\nIt is a way of caring."
    assert "Person-centred care" in names("Person-centred care\nIt is a way of caring.")
    assert "Gradient descent" in names("# Gradient descent\n\nIt minimises a function.")
    assert "person-centred care" not in names(text)
    assert "It was late." not in names("It was late.\nThey went home.")


def test_the_words_in_brackets_of_a_title_are_no_part_of_the_name() -> None:
    found = names("Madonna (entertainer)\nShe sang in Detroit.")
    assert "Madonna" in found
    assert not any("entertainer" in name for name in found)


def test_a_place_in_a_title_is_an_entity_of_its_own() -> None:
    assert {"Baure, Nigeria", "Nigeria"} <= names("Baure, Nigeria\nIt is a town in the north.")


def test_entities_are_described_by_the_sentences_that_mention_them() -> None:
    described = {entity.name: entity.description for entity in extract_text(CURIE).entities}
    assert "Curie shared the Nobel Prize" in described["Henri Becquerel"]
    assert all(0 < len(description) <= 300 for description in described.values())


def test_names_of_one_sentence_are_linked_with_the_words_between() -> None:
    text = "Ada Lovelace worked with Charles Babbage. Charles Babbage designed the Analytical Engine."
    links = {(link.source, link.target): link for link in extract_text(text).relations}
    link = links["Ada Lovelace", "Charles Babbage"]
    assert link.keywords == "worked with"
    assert link.description == "Ada Lovelace worked with Charles Babbage."
    assert link.weight == 1.0
    assert ("Ada Lovelace", "Analytical Engine") not in links


def test_what_a_titled_passage_mentions_is_linked_to_its_title() -> None:
    text = "Mount Etna\nIt rises above Catania. Lava reached Nicolosi in 1886."
    pairs = {(link.source, link.target) for link in extract_text(text).relations}
    assert {("Catania", "Mount Etna"), ("Mount Etna", "Nicolosi")} <= pairs


def test_a_text_without_names_is_described_by_key_phrases() -> None:
    text = (
        "a sourdough starter is fed with flour and water every day. when the sourdough starter doubles within hours, "
        "it is ready for baking, and the oven temperature should be high."
    )
    found = names(text)
    assert "sourdough starter" in found
    assert "oven temperature" in found


def test_chinese_names_are_found_by_their_kind() -> None:
    found = types("马云在杭州创办了阿里巴巴集团，并与蔡崇信合作。《红楼梦》由曹雪芹写成。")
    assert found["马云"] == "person"
    assert found["杭州"] == "location"
    assert found["阿里巴巴集团"] == "organization"
    assert found["蔡崇信"] == "person"
    assert found["红楼梦"] == "content"
    assert found["曹雪芹"] == "person"


def test_chinese_characters_in_an_english_text_do_not_disturb() -> None:
    found = names("Tai Chi Hero (太極) is a film directed by Stephen Fung and produced by Daniel Wu.")
    assert {"Tai Chi Hero", "Stephen Fung", "Daniel Wu"} <= found
    assert found.isdisjoint({"and", "by", "film"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Анна Ахматова родилась в Одессе. Позже Анна Ахматова жила в Ленинграде.", {"Анна Ахматова"}),
        ("Am Montag reiste Angela Merkel nach Paris. Die Universität Leipzig ehrte sie.", {"Angela Merkel", "Paris"}),
        ("El escritor Gabriel García Márquez nació en Aracataca.", {"Gabriel García Márquez", "Aracataca"}),
        ("Le général Charles de Gaulle parla à Londres.", {"Charles de Gaulle", "Londres"}),
        ("東京タワーは港区にある電波塔です。", {"東京タワー", "港区", "電波塔"}),
        ("서울은 대한민국의 수도이다.", {"서울", "대한민국"}),
        ("القاهرة عاصمة مصر. تقع القاهرة على النيل.", {"القاهرة"}),
    ],
)
def test_names_are_found_in_other_languages(text: str, expected: set[str]) -> None:
    assert expected <= names(text)


def test_findings_are_bounded() -> None:
    found = extract_text(" ".join(f"Person Number{i} met City Name{i} there." for i in range(500)))
    assert len(found.entities) == MAX_ENTITIES
    assert len(found.relations) <= MAX_RELATIONS


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*"Aa. \n“”\"'中は가한ا_-1", "The ", "New York", " of ", "Dr. ", "’s "]), max_size=60).map(
        "".join
    )
)
def test_any_text_gives_a_sound_extraction(text: str) -> None:
    found = extract_text(text)
    listed = [entity.name for entity in found.entities]
    assert len(listed) == len(set(listed))
    assert all(name and name == name.strip() for name in listed)
    assert all(entity.description for entity in found.entities)
    pairs = [(link.source, link.target) for link in found.relations]
    assert len(pairs) == len(set(pairs))
    for source, target in pairs:
        assert source < target
        assert {source, target} <= set(listed)


async def test_the_extractor_reads_the_chunk_and_always_finds_the_same() -> None:
    extractor = NLPExtractor()
    chunk = Chunk("c1", "d1", 0, CURIE, 90, 0, len(CURIE))
    first = await extractor.extract(chunk)
    assert isinstance(first, Extraction)
    assert first == await NLPExtractor().extract(chunk)
    assert extractor.fingerprint == NLPExtractor().fingerprint
    assert extractor.fingerprint.startswith("nlp/")
