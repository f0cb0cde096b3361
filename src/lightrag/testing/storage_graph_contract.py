"""What the graph store of every family must do; part of `lightrag.testing.storage_contract`."""

from __future__ import annotations

import pytest

from lightrag.errors import InvalidInput, StorageError
from lightrag.storage.contracts import Disagreements, EntityEvidence, Storage, Touched
from lightrag.types import (
    Entity,
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    MentionSource,
    Pair,
    Relation,
    RelationMention,
)


def source(chunk_id: str, doc_id: str = "doc") -> MentionSource:
    """Return where a mention stands."""
    return MentionSource(chunk_id, doc_id, 3, f"{doc_id}.txt", 1_700_000_000)


def entity_mention(name: str, chunk_id: str, doc_id: str = "doc", description: str = "d") -> EntityMention:
    """Return a mention of an entity."""
    return EntityMention(ExtractedEntity(name, "thing", description), source(chunk_id, doc_id))


def relation_mention(pair: Pair, chunk_id: str, doc_id: str = "doc", weight: float = 1.0) -> RelationMention:
    """Return a mention of a relation."""
    return RelationMention(ExtractedRelation(*pair, "k", "d", weight), source(chunk_id, doc_id))


def node(name: str, description: str = "d") -> Entity:
    """Return an entity."""
    return Entity(name, "thing", description, 2, ("c1", "c2"), ("a.txt",), 17)


def edge(a: str, b: str, weight: float = 1.0) -> Relation:
    """Return a relation."""
    return Relation(a, b, "k", "d", weight, 1, ("c1",), ("a.txt",), 17)


class MentionContract:
    """Mentions and the evidence that they are."""

    async def test_evidence_holds_totals_and_whole_mentions(self, storage: Storage) -> None:
        entities = [entity_mention("A", "c1", "d1"), entity_mention("A", "c2", "d2", 'q"\n中\x00')]
        relations = [relation_mention(("A", "B"), "c1", "d1", 0.1), relation_mention(("A", "B"), "c2", "d2", 0.2)]
        touched = await storage.graph.put_mentions(entities, relations)
        assert touched == Touched(frozenset({"A"}), frozenset({("A", "B")}))
        found = await storage.graph.entity_evidence(["A", "B", "none"], 9)
        assert found.keys() == {"A"}
        assert (found["A"].total, set(found["A"].mentions)) == (2, set(entities))
        of_pair = (await storage.graph.relation_evidence([("A", "B"), ("B", "C")], 9))["A", "B"]
        assert (of_pair.total, of_pair.weight, set(of_pair.mentions)) == (2, 0.3, set(relations))

    async def test_the_first_mentions_do_not_depend_on_the_order_of_insertion(self, storage: Storage) -> None:
        graph, mentions = storage.graph, [entity_mention("A", f"c{i}") for i in range(40)]
        await graph.put_mentions(mentions, [])
        before = (await graph.entity_evidence(["A"], 5))["A"]
        assert before.total == 40
        assert len(before.mentions) == 5
        await graph.delete_mentions([f"c{i}" for i in range(40)])
        for mention in reversed(mentions):
            await graph.put_mentions([mention], [])
        assert (await graph.entity_evidence(["A"], 5))["A"] == before
        assert (await graph.entity_evidence(["A"], 40))["A"].mentions[:5] == before.mentions
        assert (await graph.entity_evidence(["A"], 0))["A"] == EntityEvidence(40, ())

    async def test_a_cleared_graph_is_empty_and_can_be_built_anew(self, storage: Storage) -> None:
        graph = storage.graph
        for _ in range(2):
            async with storage.transaction() as tx:
                await tx.graph.clear()
                await tx.graph.put_mentions([entity_mention("A", "c1"), entity_mention("B", "c1")], [])
                await tx.graph.put_entities([node("A"), node("B")])
                await tx.graph.put_relations([edge("A", "B")])
        assert await graph.counts() == (2, 1)
        assert (await graph.entity_evidence(["A"], 5))["A"].total == 1
        changes = await graph.changes(0)
        assert len(changes.mentions) == 2
        await graph.clear()
        assert await graph.counts() == (0, 0)
        assert await graph.scan_mention_keys() == []
        assert (await graph.changes(changes.seq)).complete or len((await graph.changes(changes.seq)).removed_entities)
        assert await storage.check() == Disagreements()

    async def test_putting_a_mention_again_replaces_it_and_counts_once(self, storage: Storage) -> None:
        graph = storage.graph
        for weight, description in ((1.0, "old"), (2.5, "new")):
            await graph.put_mentions(
                [entity_mention("A", "c", description=description)], [relation_mention(("A", "B"), "c", weight=weight)]
            )
        of_name = (await graph.entity_evidence(["A"], 9))["A"]
        assert (of_name.total, of_name.mentions[0].entity.description) == (1, "new")
        of_pair = (await graph.relation_evidence([("A", "B")], 9))["A", "B"]
        assert (of_pair.total, of_pair.weight) == (1, 2.5)

    async def test_weights_add_up_to_the_same_in_any_order(self, storage: Storage) -> None:
        graph, weights = storage.graph, [0.1, 0.7, 1e6, 0.2, 1 / 3, 5.0]
        for i, weight in enumerate(weights):
            await graph.put_mentions([], [relation_mention(("A", "B"), f"c{i}", weight=weight)])
        for i, weight in enumerate(reversed(weights)):
            await graph.put_mentions([], [relation_mention(("A", "C"), f"c{i}", weight=weight)])
        found = await graph.relation_evidence([("A", "B"), ("A", "C")], 1)
        assert found["A", "B"].weight == found["A", "C"].weight
        await graph.delete_mentions(["c2", "c3"])
        assert (await graph.relation_evidence([("A", "B")], 1))["A", "B"].weight == pytest.approx(6.133333)
        assert (await graph.relation_evidence([("A", "B")], 0))["A", "B"].mentions == ()

    async def test_deleting_a_chunk_takes_its_mentions_and_says_whose(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_mentions(
            [entity_mention("A", "c1"), entity_mention("B", "c1"), entity_mention("A", "c2")],
            [relation_mention(("A", "B"), "c1")],
        )
        expected = Touched(frozenset({"A", "B"}), frozenset({("A", "B")}))
        assert await graph.mentioned_by(["c1", "none"]) == expected
        assert await graph.delete_mentions(["c1", "none"]) == expected
        assert await graph.delete_mentions(["c1"]) == Touched(frozenset(), frozenset())
        assert (await graph.entity_evidence(["A", "B"], 9)).keys() == {"A"}
        assert await graph.relation_evidence([("A", "B")], 9) == {}

    async def test_evidence_can_be_restricted_to_documents(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_mentions(
            [entity_mention("A", f"c{i}", f"d{i % 3}") for i in range(9)],
            [relation_mention(("A", "B"), f"c{i}", f"d{i % 3}", 0.5) for i in range(9)],
        )
        of_name = (await graph.entity_evidence(["A"], 2, doc_ids={"d1", "none"}))["A"]
        assert of_name.total == 3
        assert {mention.source.doc_id for mention in of_name.mentions} == {"d1"}
        assert len(of_name.mentions) == 2
        of_pair = (await graph.relation_evidence([("A", "B")], 9, doc_ids=["d0", "d2"]))["A", "B"]
        assert (of_pair.total, of_pair.weight) == (6, 3.0)
        assert await graph.entity_evidence(["A"], 2, doc_ids=[]) == {}

    async def test_scans_of_mentions_page_in_order(self, storage: Storage) -> None:
        graph, pairs = storage.graph, [("A", "B"), ("A", "C"), ("B", "A2"), ("Ä", "ß")]
        await graph.put_mentions(
            [entity_mention(name, "c") for name in ("b", "A", "中")], [relation_mention(pair, "c") for pair in pairs]
        )
        assert await graph.scan_mention_keys(limit=2) == ["A", "b"]
        assert await graph.scan_mention_keys(after="b") == ["中"]
        assert await graph.scan_mention_pairs(limit=2) == pairs[:2]
        assert await graph.scan_mention_pairs(after=("A", "B")) == pairs[1:]

    async def test_a_weight_that_is_no_number_is_refused(self, storage: Storage) -> None:
        with pytest.raises(InvalidInput):
            await storage.graph.put_mentions([], [relation_mention(("A", "B"), "c", weight=float("nan"))])
        assert await storage.graph.scan_mention_pairs() == []


class GraphContract:
    """Nodes, edges, and what is read of them."""

    async def test_nodes_and_edges_survive_whole(self, storage: Storage) -> None:
        graph, nodes, edges = storage.graph, [node("A"), node("中 \"B'")], [edge("A", "中 \"B'", 0.1 + 0.2)]
        await graph.put_entities(nodes)
        await graph.put_relations(edges)
        assert await graph.get_entities(["A", "中 \"B'", "none"]) == {entity.name: entity for entity in nodes}
        assert await graph.get_relations([edges[0].pair, ("A", "none")]) == {edges[0].pair: edges[0]}
        assert await graph.scan_entities() == nodes
        assert await graph.scan_relations() == edges
        assert await graph.counts() == (2, 1)

    async def test_degrees_follow_edges(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_entities([node(name) for name in "ABCD"])
        for _ in range(2):
            await graph.put_relations([edge("A", "B"), edge("A", "C"), edge("B", "C", 2.0)])
        assert await graph.degrees(["A", "B", "C", "D", "none"]) == {"A": 2, "B": 2, "C": 2, "D": 0}
        await graph.delete_relations([("A", "C"), ("A", "C"), ("C", "D")])
        await graph.put_entities([node("A", "new")])
        assert await graph.degrees(["A", "B", "C"]) == {"A": 1, "B": 2, "C": 1}
        await graph.delete_entities(["B"])
        assert await graph.degrees(["A", "B", "C"]) == {"A": 0, "C": 0}
        assert await graph.counts() == (3, 0)

    async def test_a_node_that_returns_has_no_edges(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_mentions([entity_mention("A", "c")], [relation_mention(("A", "B"), "c")])
        await graph.put_entities([node("A"), node("B")])
        await graph.put_relations([edge("A", "B")])
        await graph.delete_entities(["A"])
        await graph.put_entities([node("A")])
        assert await graph.degrees(["A", "B"]) == {"A": 0, "B": 0}
        assert await graph.get_relations([("A", "B")]) == {}
        assert (await graph.relation_evidence([("A", "B")], 1))["A", "B"].total == 1

    async def test_an_edge_needs_both_its_ends(self, storage: Storage) -> None:
        await storage.graph.put_entities([node("A")])
        await storage.graph.put_mentions([entity_mention("B", "c")], [])
        with pytest.raises(StorageError):
            await storage.graph.put_relations([edge("A", "B")])
        assert await storage.graph.counts() == (1, 0)

    async def test_neighbours_come_heaviest_first_then_by_name(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_entities([node(name) for name in "ABCDEM"])
        await graph.put_relations(
            [edge("D", "M"), edge("A", "M"), edge("C", "M"), edge("B", "M", 3.0), edge("E", "M", 0.5)]
        )
        found = await graph.relations_of(["M", "A", "none"], 3)
        assert found == {"M": [("B", 3.0), ("A", 1.0), ("C", 1.0)], "A": [("M", 1.0)]}
        await graph.put_relations([edge("E", "M", 9.0)])
        assert (await graph.relations_of(["M"], 1))["M"] == [("E", 9.0)]
        assert len((await graph.relations_of(["M"], 99))["M"]) == 5

    async def test_scans_page_in_order(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_entities([node(name) for name in ("b", "A", "中", "C")])
        await graph.put_relations([edge("A", "b"), edge("A", "C"), edge("C", "b")])
        assert [entity.name for entity in await graph.scan_entities(after="A", limit=2)] == ["C", "b"]
        assert [relation.pair for relation in await graph.scan_relations(limit=2)] == [("A", "C"), ("A", "b")]
        assert [relation.pair for relation in await graph.scan_relations(after=("A", "C"))] == [("A", "b"), ("C", "b")]

    async def test_labels_by_degree_and_by_part_of_the_name(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_entities([node(name) for name in ("Zoë Ärger", "ANNA", "Straße", "知识图谱", "100%_x")])
        await graph.put_mentions([entity_mention("Anna only mentioned", "c")], [])
        await graph.put_relations([edge("ANNA", "Zoë Ärger"), edge("ANNA", "Straße")])
        assert await graph.popular_labels(3) == ["ANNA", "Straße", "Zoë Ärger"]
        for text, expected in (
            ("anna", {"ANNA"}),
            ("ÄR", {"Zoë Ärger"}),
            ("STRASSE", {"Straße"}),
            ("识", {"知识图谱"}),
            ("n", {"ANNA"}),
            ("%_", {"100%_x"}),
            ("missing", set()),
        ):
            assert set(await graph.labels_containing(text, 9)) == expected
        assert len(await graph.labels_containing("", 2)) == 2

    async def test_dropping_leaves_no_graph(self, storage: Storage) -> None:
        graph = storage.graph
        await graph.put_mentions([entity_mention("A", "c")], [relation_mention(("A", "B"), "c")])
        await graph.put_entities([node("A"), node("B")])
        await graph.put_relations([edge("A", "B")])
        seq = (await graph.changes(0)).seq
        await storage.drop()
        assert await graph.counts() == (0, 0)
        assert await graph.scan_mention_keys() == []
        after = await graph.changes(seq)
        assert after.complete
        assert not after.entities
