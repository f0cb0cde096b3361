"""Manual edits of the graph: they hold whatever documents come or go, in whatever order, and can be undone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.indexing.contributions import (
    ExtractedChunk,
    Folder,
    add_chunks,
    add_extractions,
    remove_chunks,
)
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.graph_editor import Edited, GraphEditor
from lightrag.indexing.verify import Verifier
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.storage.memory import MemoryStorage
from lightrag.types import Chunk, DocStatus, DocumentRecord, Entity, Relation

NAMES = ["A", "B", "C", "D", "E"]
Fact = tuple[str, str, str]
TIME = "1970-01-01T00:00:07+00:00"


@dataclasses.dataclass
class Desk:
    """A workspace whose documents are one chunk each, with an editor."""

    storage: Storage
    fold: Folder
    editor: GraphEditor

    async def add(self, doc: str, facts: Sequence[Fact]) -> None:
        """Insert or update a document that states relations."""
        await self.remove(doc)
        chunk = Chunk(f"chunk-{doc}", doc, 0, f"{doc} {facts}", 3, 0, 3, f"{doc}.txt")
        entities = [RawEntity(name, "person", f"{name} of {doc}") for fact in facts for name in fact[:2]]
        relations = [RawRelation(one, other, word, f"{one} {word} {other} ({doc})") for one, other, word in facts]
        async with self.storage.transaction() as tx:
            await tx.documents.put([DocumentRecord(doc, DocStatus.PROCESSED, created_at=TIME, chunks_list=(chunk.id,))])
            await add_chunks(tx, [chunk])
            await add_extractions(tx, [ExtractedChunk(chunk, assemble(entities, relations), 7, "test")], self.fold)

    async def remove(self, doc: str) -> None:
        """Take a document out."""
        async with self.storage.transaction() as tx:
            await remove_chunks(tx, [f"chunk-{doc}"], self.fold)
            await tx.documents.delete([doc])

    async def entity(self, name: str) -> Entity:
        """Return an entity that is there."""
        return (await self.storage.graph.get_entities([name]))[name]

    async def names(self) -> list[str]:
        """Return all names."""
        return [entity.name for entity in await self.storage.graph.scan_entities()]

    async def relations(self) -> dict[tuple[str, str], Relation]:
        """Return all relations."""
        return {relation.pair: relation for relation in await self.storage.graph.scan_relations()}

    async def state(self) -> object:
        """Return everything that follows from documents and edits."""
        graph = self.storage.graph
        names = await graph.scan_mention_keys()
        pairs = await graph.scan_mention_pairs()
        return (
            await graph.scan_entities(),
            await graph.scan_relations(),
            await graph.entity_evidence(names, 99),
            await graph.relation_evidence(pairs, 99),
            [row for row in await self.storage.kv(Namespace.EDITS).scan() if row[0][0] in "tc"],
        )

    async def problems(self) -> list[str]:
        """Return what verification finds, but for vectors, which nobody makes here."""
        report = await Verifier(self.storage, self.fold).verify()
        return [problem for problem in report.problems if not problem.startswith("vector")]


async def desk() -> Desk:
    """Return an empty workspace."""
    storage = MemoryStorage("w")
    await storage.open()
    fold = Folder(FoldRules())
    return Desk(storage, fold, GraphEditor(storage, fold, clock=lambda: 5.0))


async def library() -> Desk:
    """Return a workspace with two documents."""
    made = await desk()
    await made.add("one", [("Ada", "Bob", "knows"), ("Ada", "Cy", "likes")])
    await made.add("two", [("Lady Ada", "Bob", "met")])
    return made


async def test_a_merge_moves_relations_and_folds_what_both_say() -> None:
    at = await library()
    merged = await at.editor.merge_entities(["Lady Ada"], "Ada")
    assert merged.entity is not None
    assert merged.entity.description == "Ada of one<SEP>Lady Ada of two"
    assert merged.entity.mentions == 2
    relations = await at.relations()
    assert set(relations) == {("Ada", "Bob"), ("Ada", "Cy")}
    assert relations["Ada", "Bob"].weight == 2
    assert relations["Ada", "Bob"].keywords == "knows,met"
    assert await at.names() == ["Ada", "Bob", "Cy"]


async def test_a_relation_between_merged_entities_vanishes() -> None:
    at = await library()
    await at.editor.merge_entities(["Ada", "Bob"], "Team")
    assert set(await at.relations()) == {("Cy", "Team"), ("Lady Ada", "Team")}


async def test_a_merged_description_of_a_person_takes_the_place_of_what_documents_said_before() -> None:
    at = await library()
    await at.editor.edit_entity("Lady Ada", {"description": "Countess"})
    merged = await at.editor.merge_entities(["Lady Ada"], "Ada")
    assert merged.entity is not None
    assert merged.entity.description == "Countess<SEP>Ada of one"


async def test_strategies_fix_fields_of_the_merged_entity() -> None:
    at = await library()
    merged = await at.editor.merge_entities(
        ["Lady Ada", "Bob"],
        "Ada",
        strategy={"description": "keep_last", "source_id": "join_unique", "weight": "max"},
        target_data={"entity_type": "team"},
    )
    assert merged.entity is not None
    assert (merged.entity.description, merged.entity.type) == ("Ada of one", "team")
    assert set(merged.entity.chunk_ids) == {"chunk-one", "chunk-two"}
    with pytest.raises(InvalidInput, match="strategy 'guess'"):
        await at.editor.merge_entities(["Cy"], "Ada", strategy={"description": "guess"})


async def test_an_edited_field_stands_whatever_documents_say_later() -> None:
    at = await library()
    await at.editor.edit_entity("Ada", {"description": "Countess of Lovelace", "entity_type": "PERSON"})
    await at.editor.edit_relation("Bob", "Ada", {"weight": 9, "keywords": "friends"})
    await at.add("three", [("Ada", "Bob", "writes to")])
    ada, relation = await at.entity("Ada"), (await at.relations())["Ada", "Bob"]
    assert (ada.description, ada.type, ada.mentions) == ("Countess of Lovelace", "PERSON", 2)
    assert (relation.weight, relation.keywords, relation.mentions) == (9, "friends", 2)


async def test_an_answer_sent_back_fixes_nothing() -> None:
    at = await library()
    ada = await at.entity("Ada")
    echoed = {"description": "Countess", "entity_type": ada.type, "source_id": "chunk-one", "entity_id": "Ada"}
    await at.editor.edit_entity("Ada", {**echoed, "created_at": 1, "truncate": ""})
    same = await at.editor.edit_entity("Ada", {"description": "Countess"})
    await at.add("three", [("Ada", "Bob", "writes to")])
    assert same.edit is None
    assert (await at.entity("Ada")).chunk_ids == ("chunk-one", "chunk-three")


async def test_what_is_made_by_hand_is_no_orphan_and_gains_what_documents_say() -> None:
    at = await library()
    await at.editor.create_entity("Tesla", {"description": "Cars"})
    await at.editor.create_relation("Tesla", "Cy", {"description": "Cy drives one", "weight": 2})
    await at.remove("one")
    assert await at.names() == ["Bob", "Cy", "Lady Ada", "Tesla"]
    assert (await at.entity("Cy")).description == "Cy drives one"
    assert await at.problems() == []
    await at.add("four", [("Tesla", "Cy", "pleases")])
    tesla, relation = await at.entity("Tesla"), (await at.relations())["Cy", "Tesla"]
    assert tesla.description == "Cars<SEP>Tesla of four"
    assert tesla.chunk_ids == ("manual_creation", "chunk-four")
    assert (relation.weight, relation.keywords) == (3, "pleases")
    assert await at.problems() == []


async def test_what_is_deleted_does_not_come_back_with_a_document() -> None:
    at = await library()
    gone = await at.editor.delete_entity("Ada")
    await at.editor.delete_relation("Bob", "Lady Ada")
    await at.add("one", [("Ada", "Bob", "knows"), ("Bob", "Lady Ada", "greets")])
    assert gone.lost_relations == 2
    assert await at.names() == ["Bob", "Lady Ada"]
    assert await at.relations() == {}
    await at.editor.create_relation("Bob", "Lady Ada", {"description": "by hand"})
    assert (await at.relations())["Bob", "Lady Ada"].description == "by hand"


async def test_undoing_brings_back_what_documents_say() -> None:
    at = await library()
    before = await at.state()
    merge = await at.editor.merge_entities(["Lady Ada", "Ada"], "Ada King")
    rename = await at.editor.edit_entity("Ada King", {"entity_name": "Ada Lovelace", "description": "X"})
    delete = await at.editor.delete_relation("Ada Lovelace", "Bob")
    for edited in (merge, delete, rename):
        assert edited.edit is not None
        await at.editor.undo(edited.edit.id)
        assert await at.problems() == []
    assert await at.state() == before
    assert merge.edit is not None
    with pytest.raises(Conflict):
        await at.editor.undo(merge.edit.id)
    with pytest.raises(NotFound):
        await at.editor.undo("edit-99-none")
    assert [edit.undone for edit in await at.editor.list_edits()] == [True, True, True]


async def test_another_process_sees_the_edits_before_it_stores_anything() -> None:
    at = await library()
    other = Desk(at.storage, Folder(FoldRules()), GraphEditor(at.storage, Folder(FoldRules())))
    merged = await at.editor.merge_entities(["Lady Ada"], "Ada")
    await other.add("three", [("Lady Ada", "Cy", "calls")])
    assert "Lady Ada" not in await at.names()
    assert merged.edit is not None
    await other.editor.undo(merged.edit.id)
    await at.add("four", [("Lady Ada", "Dora", "calls")])
    assert (await at.entity("Lady Ada")).mentions == 3
    await at.storage.drop()
    await other.add("five", [("Lady Ada", "Dora", "calls")])
    assert await other.problems() == []


async def test_repair_brings_mentions_in_line_with_the_edits() -> None:
    at = await library()
    await at.editor.merge_entities(["Lady Ada"], "Ada")
    await at.editor.create_entity("Tesla", {"description": "Cars"})
    await at.editor.create_entity("Ford", {"description": "More cars"})
    await at.editor.create_relation("Tesla", "Ford", {"description": "compete"})
    right = await at.state()
    async with at.storage.transaction() as tx:
        [mention] = (await tx.graph.entity_evidence(["Bob"], 1))["Bob"].mentions[:1]
        stray = mention._replace(entity=mention.entity._replace(name="Lady Ada"))
        await tx.graph.put_mentions([stray], [])
        await tx.graph.delete_entities(["Ada", "Ford"])
        await tx.graph.put_entities([dataclasses.replace(await at.entity("Tesla"), description="?")])
    assert await at.problems()
    await Verifier(at.storage, at.fold).repair()
    assert await at.problems() == []
    assert await at.state() == right


# One graph whatever the order: edits and documents drawn at random.


FACTS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(["knows", "likes"])), max_size=4
)
DOCUMENTS = st.dictionaries(st.sampled_from(["d1", "d2", "d3", "d4"]), FACTS, min_size=1)
NEW = st.sampled_from([*NAMES, "X", "Y"])
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("merge"), st.lists(NEW, min_size=1, max_size=3), NEW),
        st.tuples(st.just("rename"), NEW, NEW),
        st.tuples(st.just("describe"), NEW, st.sampled_from(["text 1", "text 2"])),
        st.tuples(st.just("create"), NEW, st.sampled_from(["made 1", "made 2"])),
        st.tuples(st.just("delete"), NEW),
        st.tuples(st.just("relate"), NEW, NEW),
        st.tuples(st.just("weigh"), NEW, NEW, st.integers(1, 5)),
        st.tuples(st.just("part"), NEW, NEW),
    ),
    max_size=7,
)


async def attempt(editor: GraphEditor, edit: tuple[object, ...]) -> Edited | None:
    """Make an edit; one that makes no sense in the present graph is refused and leaves it as it is."""
    actions: dict[str, Callable[..., object]] = {
        "merge": lambda sources, target: editor.merge_entities(sources, target),
        "rename": lambda one, other: editor.edit_entity(one, {"entity_name": other}, allow_merge=True),
        "describe": lambda name, text: editor.edit_entity(name, {"description": text}),
        "create": lambda name, text: editor.create_entity(name, {"description": text}),
        "delete": lambda name: editor.delete_entity(name),
        "relate": lambda one, other: editor.create_relation(one, other, {"description": "by hand"}),
        "weigh": lambda one, other, weight: editor.edit_relation(one, other, {"weight": weight, "description": "w"}),
        "part": lambda one, other: editor.delete_relation(one, other),
    }
    kind, *arguments = edit
    try:
        return await actions[str(kind)](*arguments)  # type: ignore[misc, no-any-return]
    except (InvalidInput, NotFound):
        return None


async def with_log_of(other: Desk) -> Desk:
    """Return an empty workspace with the edits of another one."""
    made = await desk()
    rows = [row for row in await other.storage.kv(Namespace.EDITS).scan() if row[0][0] in "ev"]
    await made.storage.kv(Namespace.EDITS).put(dict(rows))
    return made


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=DOCUMENTS, later=DOCUMENTS, edits=EDITS, data=st.data())
async def test_the_order_of_documents_and_edits_does_not_matter(
    documents: dict[str, list[Fact]],
    later: dict[str, list[Fact]],
    edits: list[tuple[object, ...]],
    data: st.DataObject,
) -> None:
    at = await desk()
    for doc, facts in documents.items():
        await at.add(doc, facts)
    made = [edited for edit in edits if (edited := await attempt(at.editor, edit)) is not None and edited.edit]
    for doc, facts in later.items():
        await at.add(doc, facts)
    assert await at.problems() == []

    # The same documents and edits, in another order: the edits are there first.
    again = await with_log_of(at)
    final = documents | later
    for doc in data.draw(st.permutations(sorted(final))):
        await again.add(doc, final[doc])
    if await at.storage.graph.scan_mention_keys():
        assert await settled(again) == await settled(at)

    # Taking some edits back is the same as never having made them.
    for edited in data.draw(st.permutations(made)):
        assert edited.edit is not None
        await at.editor.undo(edited.edit.id)
        assert await at.problems() == []
        fresh = await with_log_of(at)
        for doc, facts in final.items():
            await fresh.add(doc, facts)
        assert await settled(at) == await settled(fresh)

    never = await desk()
    for doc, facts in final.items():
        await never.add(doc, facts)
    assert await at.state() == await never.state()


async def settled(at: Desk) -> object:
    """Return the state after everything that is only made by hand has been folded too."""
    async with at.storage.transaction() as tx:
        overlay = await at.fold.overlays.current(tx)
        names = frozenset(overlay.entities) | frozenset(overlay.pairs_of)
        await at.fold.refold(tx, Touched(names, frozenset(overlay.relations)))
    return await at.state()
