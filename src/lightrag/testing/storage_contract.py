"""What every storage family must do, as test classes to inherit.

A backend's test file has one class per contract (or one that inherits `StorageContract`, which is all of them) and a
fixture `storage` that yields an open, empty storage:

    class TestMyStorage(StorageContract):
        @pytest.fixture
        async def storage(self, tmp_path):
            storage = MyStorage(tmp_path, "w")
            await storage.open()
            yield storage
            await storage.close()

`lightrag.testing.storage_congruence` compares random operations with the storage in memory.
"""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from lightrag.errors import InvalidInput, StorageError, StorageMismatch
from lightrag.storage.contracts import FloatArray, Hit, LexicalIndex, Namespace, Storage, VectorKind, VectorRow
from lightrag.testing.storage_graph_contract import GraphContract, MentionContract
from lightrag.types import DocStatus, DocumentFilter, DocumentRecord

DIMENSION = 8


def keys(hits: list[Hit]) -> list[str]:
    """Return the keys of hits, in order."""
    return [hit.key for hit in hits]


class KVContract:
    """Key-value stores."""

    async def test_what_was_put_is_returned_and_absent_keys_are_left_out(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.TEXT_CHUNKS)
        await kv.put({"a": {"n": 1, "text": 'q"\\ 中文 \x00'}, "b": {"list": [1.5, None, {"x": True}]}})
        assert await kv.get(["b", "missing", "a"]) == {
            "a": {"n": 1, "text": 'q"\\ 中文 \x00'},
            "b": {"list": [1.5, None, {"x": True}]},
        }
        assert await kv.get([]) == {}

    async def test_putting_again_replaces(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.META)
        await kv.put({"a": {"n": 1}})
        await kv.put({"a": {"m": 2}})
        assert await kv.get(["a"]) == {"a": {"m": 2}}
        assert await kv.count() == 1

    async def test_a_caller_that_changes_what_it_got_changes_nothing_stored(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.META)
        await kv.put({"a": {"list": [1]}})
        (await kv.get(["a"]))["a"]["list"].append(2)
        assert await kv.get(["a"]) == {"a": {"list": [1]}}

    async def test_namespaces_do_not_meet(self, storage: Storage) -> None:
        await storage.kv(Namespace.META).put({"a": {}})
        assert await storage.kv(Namespace.STALE).get(["a"]) == {}

    async def test_deleting_removes_and_may_be_repeated(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.META)
        await kv.put({"a": {}, "b": {}})
        await kv.delete(["a", "never there"])
        await kv.delete(["a"])
        assert await kv.scan() == [("b", {})]

    async def test_a_scan_pages_through_a_prefix_in_order_of_keys(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.STALE)
        rows = {key: {"key": key} for key in ("x:b", "x:a", "x:\U0010ffff", "x;", "w", "x:c", "X:a")}
        await kv.put(rows)
        first = await kv.scan(prefix="x:", limit=2)
        assert [key for key, _ in first] == ["x:a", "x:b"]
        rest = await kv.scan(prefix="x:", after="x:b", limit=10)
        assert rest == [("x:c", {"key": "x:c"}), ("x:\U0010ffff", {"key": "x:\U0010ffff"})]

    async def test_many_keys_at_once(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.LLM_CACHE)
        rows = {f"key-{i}": {"i": i} for i in range(2500)}
        await kv.put(rows)
        assert await kv.get(list(rows)) == rows
        assert await kv.count() == 2500
        await kv.delete(list(rows)[:2000])
        assert await kv.count() == 500

    async def test_clearing_removes_all(self, storage: Storage) -> None:
        kv = storage.kv(Namespace.LLM_CACHE)
        await kv.put({"a": {}, "b": {}})
        await kv.clear()
        assert await kv.count() == 0


class VectorContract:
    """Vector stores."""

    async def test_search_ranks_by_cosine_and_stores_unit_vectors(self, storage: Storage) -> None:
        store = storage.vectors(VectorKind.CHUNKS)
        await storage.set_dimension(2)
        await store.put([row("east", [5, 0]), row("north", [0, 3]), row("northeast", [2, 2])])
        hits = (await store.search(_array([[10, 1]]), 2))[0]
        assert keys(hits) == ["east", "northeast"]
        assert hits[0].score == pytest.approx(10 / np.sqrt(101), abs=1e-5)
        np.testing.assert_allclose((await store.get(["east", "none"]))["east"], [1, 0])

    async def test_search_finds_exactly_the_nearest_of_many(self, storage: Storage) -> None:
        store, vectors = storage.vectors(VectorKind.ENTITIES), _random(3000, 32)
        await storage.set_dimension(32)
        await store.put([row(str(i), vector) for i, vector in enumerate(vectors)])
        queries = _random(3, 32, seed=1)
        for query, hits in zip(queries, await store.search(queries, 20), strict=True):
            scores = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
            assert keys(hits) == [str(i) for i in np.argsort(-scores)[:20]]

    async def test_threshold_leaves_out_what_is_less_similar(self, storage: Storage) -> None:
        store = storage.vectors(VectorKind.CHUNKS)
        await storage.set_dimension(2)
        await store.put([row("same", [1, 0]), row("across", [0, 1]), row("against", [-1, 0])])
        assert keys((await store.search(_array([[1, 0]]), 9, threshold=-0.5))[0]) == ["same", "across"]
        assert len((await store.search(_array([[1, 0]]), 9))[0]) == 3

    @pytest.mark.parametrize("size", [3, 400])
    async def test_within_restricts_before_ranking(self, storage: Storage, size: int) -> None:
        store, vectors = storage.vectors(VectorKind.RELATIONS), _random(900, DIMENSION)
        await storage.set_dimension(DIMENSION)
        await store.put([row(str(i), vector) for i, vector in enumerate(vectors)])
        query = _random(1, DIMENSION, seed=2)
        everything = keys((await store.search(query, 900))[0])
        last = everything[-size:]
        assert keys((await store.search(query, 3, within={*last, "unknown"}))[0]) == last[:3]
        assert await store.search(query, 3, within=[]) == [[]]

    async def test_replacing_and_deleting_show_in_the_next_search(self, storage: Storage) -> None:
        store = storage.vectors(VectorKind.CHUNKS)
        await storage.set_dimension(2)
        await store.put([row("a", [1, 0]), row("b", [0, 1])])
        await store.search(_array([[1, 0]]), 1)
        await store.put([row("a", [0, 1], "other"), row("c", [1, 0.1])])
        assert keys((await store.search(_array([[1, 0]]), 1))[0]) == ["c"]
        await store.delete(["c", "none"])
        assert {hit.key for hit in (await store.search(_array([[1, 0]]), 5))[0]} == {"a", "b"}
        assert await store.scan() == [("a", "other"), ("b", "hash")]
        assert await store.scan(after="a", limit=1) == [("b", "hash")]
        assert await store.count() == 2

    async def test_a_vector_of_another_length_is_refused_and_changes_nothing(self, storage: Storage) -> None:
        store = storage.vectors(VectorKind.CHUNKS)
        with pytest.raises(StorageMismatch):
            await store.put([row("a", [1, 0])])
        await storage.set_dimension(2)
        with pytest.raises(StorageMismatch):
            await store.put([row("a", [1, 0]), row("b", [1, 0, 0])])
        with pytest.raises(InvalidInput):
            await store.put([row("a", [1, float("nan")])])
        assert await store.count() == 0

    async def test_the_dimension_is_fixed_until_the_vectors_are_dropped(self, storage: Storage) -> None:
        await storage.set_dimension(2)
        await storage.set_dimension(2)
        with pytest.raises(StorageMismatch):
            await storage.set_dimension(3)
        store = storage.vectors(VectorKind.CHUNKS)
        await store.put([row("a", [1, 0])])
        await store.search(_array([[1, 0]]), 1)
        await storage.drop_vectors()
        await storage.set_dimension(3)
        await store.put([row("b", [1, 0, 0])])
        assert keys((await store.search(_array([[1, 0, 0]]), 5))[0]) == ["b"]

    async def test_a_zero_vector_is_like_nothing(self, storage: Storage) -> None:
        store = storage.vectors(VectorKind.CHUNKS)
        await storage.set_dimension(2)
        await store.put([row("zero", [0, 0]), row("a", [1, 0])])
        hits = (await store.search(_array([[1, 0]]), 2))[0]
        assert [(hit.key, hit.score) for hit in hits] == [("a", 1.0), ("zero", 0.0)]


class LexicalContract:
    """Full-text indexes, for families that have one."""

    @pytest.fixture
    def lexical(self, storage: Storage) -> LexicalIndex:
        assert storage.lexical is not None
        return storage.lexical

    async def test_rare_terms_and_short_rows_rank_first(self, lexical: LexicalIndex) -> None:
        await lexical.put(
            {
                "rare": ["apple", "common", "pear"],
                "often": ["common", "common", "fig"],
                "long": ["apple", *["filler"] * 30],
                "else": ["fig"],
                "more": ["common", "kiwi"],
                "none": ["plum"],
            }
        )
        hits = await lexical.search(["apple", "common"], 10)
        assert keys(hits)[0] == "rare"
        assert set(keys(hits)) == {"rare", "often", "long", "more"}
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert keys(await lexical.search(["apple"], 10)) == ["rare", "long"]
        assert len(await lexical.search(["apple", "common"], 2)) == 2

    @pytest.mark.parametrize(
        "term",
        ["C++", "a b", "知识图谱", "don't", 'say "x"', "AND", "Straße", "e-mail@x.y", "\t", "*", "\x00a", "👍", "^a"],
    )
    async def test_terms_are_matched_whole_and_as_they_are(self, lexical: LexicalIndex, term: str) -> None:
        await lexical.put({"with": [term, "x"], "without": ["知识", "c", "a", "b", "strasse", "and", "say", "e", "👎"]})
        assert keys(await lexical.search([term], 5)) == ["with"]
        assert await lexical.search([term + term], 5) == []

    async def test_case_tells_terms_apart(self, lexical: LexicalIndex) -> None:
        await lexical.put({"upper": ["US"], "lower": ["us"]})
        assert keys(await lexical.search(["US"], 5)) == ["upper"]

    async def test_keys_are_listed_in_order_page_by_page(self, lexical: LexicalIndex) -> None:
        await lexical.put({key: ["word"] for key in ("b", "c", "ä", "a")})
        assert await lexical.scan(limit=3) == ["a", "b", "c"]
        assert await lexical.scan(after="c") == ["ä"]

    async def test_within_restricts_texts_before_ranking(self, lexical: LexicalIndex) -> None:
        await lexical.put({f"k{i}": ["word"] * (i + 1) + ["other"] for i in range(30)})
        best = keys(await lexical.search(["word"], 30))
        assert keys(await lexical.search(["word"], 2, within={*best[-3:], "unknown"})) == best[-3:-1]
        assert await lexical.search(["word"], 2, within=set()) == []

    async def test_replaced_and_deleted_texts_leave_no_trace(self, lexical: LexicalIndex) -> None:
        await lexical.put({"a": ["old", "both"], "b": ["both"]})
        await lexical.put({"a": ["new", "both"]})
        assert await lexical.search(["old"], 5) == []
        assert keys(await lexical.search(["new"], 5)) == ["a"]
        await lexical.delete(["a", "none"])
        assert keys(await lexical.search(["both", "new"], 5)) == ["b"]
        assert await lexical.count() == 1

    async def test_nothing_asked_finds_nothing(self, lexical: LexicalIndex) -> None:
        await lexical.put({"a": ["x"], "empty": []})
        assert await lexical.search([], 5) == []
        assert await lexical.search(["", "y"], 5) == []
        assert await lexical.count() == 2


class DocumentContract:
    """Status rows and leases."""

    async def test_every_field_survives(self, storage: Storage) -> None:
        record = DocumentRecord(
            id="d",
            status=DocStatus.FAILED,
            file_path="a/ü.pdf",
            content_summary="…",
            content_length=7,
            content_hash="c",
            track_id="t",
            created_at="2024-01-01T00:00:00+00:00",
            updated_at="2024-01-02T00:00:00+00:00",
            chunks_list=("x", "y"),
            failed_chunks=("y",),
            error_msg="no",
            tags={"lang": "de", "n": 2, "ok": True, "all": ["a", "b"]},
            metadata={"pages": [1, {"k": None}]},
            source_file="in/a.pdf",
            source_hash="s",
            delete_requested=True,
        )
        await storage.documents.put([record])
        assert await storage.documents.get(["d", "none"]) == {"d": record}

    async def test_rows_are_found_by_what_names_them(self, storage: Storage) -> None:
        documents = storage.documents
        first = document("1", file_path="p", track_id="t", content_hash="c", created_at="1")
        second = document("2", file_path="q", track_id="t", source_hash="c", created_at="0")
        await documents.put([first, second, document("3")])
        assert await documents.by_track_id("t") == [second, first]
        assert await documents.by_file_path("p") == first
        assert await documents.by_file_path("none") is None
        assert await documents.by_content_hash("c") == second
        assert await documents.by_content_hash("") is None

    async def test_pages_are_sorted_filtered_and_counted(self, storage: Storage) -> None:
        done, waiting = DocStatus.PROCESSED, DocStatus.PENDING
        rows = [document(str(i), done if i % 2 else waiting, updated_at=str(9 - i)) for i in range(7)]
        await storage.documents.put(rows)
        page, total = await storage.documents.page(limit=3)
        assert ([record.id for record in page], total) == (["0", "1", "2"], 7)
        page, total = await storage.documents.page(statuses=[done], offset=1, limit=5, sort="id", descending=False)
        assert ([record.id for record in page], total) == (["3", "5"], 3)
        assert await storage.documents.counts() == {waiting: 4, done: 3}

    async def test_what_is_due_is_what_waits_and_what_is_to_be_deleted(self, storage: Storage) -> None:
        done, waiting = DocStatus.PROCESSED, DocStatus.PENDING
        documents = storage.documents
        assert await documents.count_due([waiting]) == 0
        leaving = [document("d", done, delete_requested=True), document("e", waiting, delete_requested=True)]
        await documents.put([document("a", waiting), document("b", done), *leaving])
        await documents.claim("me", limit=1, lease_seconds=30, statuses=[waiting])
        assert await documents.count_due([waiting]) == 3
        assert await documents.count_due([]) == 2

    @pytest.mark.parametrize(
        ("filter", "expected"),
        [
            (DocumentFilter(doc_ids=("1", "9")), {"1"}),
            (DocumentFilter(file_paths=("a/*.txt",)), {"1", "2"}),
            (DocumentFilter(file_paths=("a/[1].txt", "b.md")), {"1", "3"}),
            (DocumentFilter(tags={"lang": "en"}), {"1", "3"}),
            (DocumentFilter(tags={"lang": ["en", "de"], "year": 2024}), {"1", "2"}),
            (DocumentFilter(tags={"topic": "x"}), {"3"}),
            (DocumentFilter(tags={"year": True}), set()),
            (DocumentFilter(doc_ids=("1", "2"), tags={"lang": "de"}), {"2"}),
        ],
    )
    async def test_filters(self, storage: Storage, filter: DocumentFilter, expected: set[str]) -> None:
        await storage.documents.put(
            [
                document("1", file_path="a/1.txt", tags={"lang": "en", "year": 2024}),
                document("2", file_path="a/2.txt", tags={"lang": "de", "year": 2024}),
                document("3", file_path="b.md", tags={"lang": "en", "topic": ["x", "y"], "year": 1}),
            ]
        )
        assert await storage.documents.matching(filter) == expected

    async def test_a_claimed_document_is_nobody_elses_until_its_lease_ends(self, storage: Storage) -> None:
        documents, pending = storage.documents, (DocStatus.PENDING,)
        await documents.put([document(str(i), created_at=str(9 - i)) for i in range(3)])
        assert _ids(await documents.claim("a", limit=2, lease_seconds=60, statuses=pending)) == ["2", "1"]
        assert _ids(await documents.claim("b", limit=9, lease_seconds=0, statuses=pending)) == ["0"]
        assert _ids(await documents.claim("c", limit=9, lease_seconds=60, statuses=pending)) == ["0"]
        await documents.release("b")
        assert _ids(await documents.claim("b", limit=9, lease_seconds=60, statuses=pending)) == []
        await documents.release("a", ["1"])
        assert _ids(await documents.claim("b", limit=9, lease_seconds=60, statuses=pending)) == ["1"]

    async def test_documents_of_some_are_left_alone_but_for_deletion(self, storage: Storage) -> None:
        documents, pending = storage.documents, (DocStatus.PENDING,)
        await documents.put(
            [
                document("1", metadata={"brought_by": "ann"}),
                document("2", metadata={"brought_by": "ben"}),
                document("3"),
                document("4", metadata={"brought_by": "ann"}, delete_requested=True),
            ]
        )
        claimed = await documents.claim("a", limit=9, lease_seconds=60, statuses=pending, not_of={"ann", "zoe"})
        assert sorted(_ids(claimed)) == ["2", "3", "4"]
        assert _ids(await documents.claim("a", limit=9, lease_seconds=60, statuses=pending)) == ["1"]

    async def test_the_owners_of_leases_are_known(self, storage: Storage) -> None:
        documents = storage.documents
        await documents.put([document("1"), document("2")])
        assert await documents.owners() == []
        await documents.claim("a", limit=1, lease_seconds=0, statuses=(DocStatus.PENDING,))
        await documents.claim("b", limit=2, lease_seconds=60, statuses=(DocStatus.PENDING,))
        assert await documents.owners() == ["b"]
        await documents.release("b")
        assert await documents.owners() == []

    async def test_a_heartbeat_extends_all_leases_of_an_owner(self, storage: Storage) -> None:
        documents, pending = storage.documents, (DocStatus.PENDING,)
        await documents.put([document("1"), document("2")])
        await documents.claim("a", limit=1, lease_seconds=0, statuses=pending)
        await documents.heartbeat("a", 60)
        assert _ids(await documents.claim("b", limit=9, lease_seconds=60, statuses=pending)) == ["2"]

    async def test_leases_outlive_a_change_of_the_row_and_end_with_it(self, storage: Storage) -> None:
        documents, pending = storage.documents, (DocStatus.PENDING,)
        await documents.put([document("1")])
        await documents.claim("a", limit=1, lease_seconds=60, statuses=pending)
        await documents.put([document("1", file_path="new")])
        assert await documents.claim("b", limit=1, lease_seconds=60, statuses=pending) == []
        await documents.delete(["1"])
        await documents.put([document("1")])
        assert _ids(await documents.claim("b", limit=1, lease_seconds=60, statuses=pending)) == ["1"]

    async def test_what_is_to_be_deleted_is_claimed_whatever_its_status(self, storage: Storage) -> None:
        await storage.documents.put(
            [document("1", DocStatus.PROCESSED, delete_requested=True), document("2", DocStatus.PROCESSED)]
        )
        claimed = await storage.documents.claim("a", limit=9, lease_seconds=60, statuses=(DocStatus.PENDING,))
        assert _ids(claimed) == ["1"]

    async def test_claims_at_the_same_time_share_nothing(self, storage: Storage) -> None:
        await storage.documents.put([document(str(i)) for i in range(20)])
        claims = await asyncio.gather(
            *(
                storage.documents.claim(f"o{i}", limit=3, lease_seconds=60, statuses=(DocStatus.PENDING,))
                for i in range(8)
            )
        )
        claimed = [record.id for claim in claims for record in claim]
        assert len(claimed) == len(set(claimed)) == 20


class TransactionContract:
    """Units of work and the life of a storage."""

    async def test_a_transaction_sees_its_own_writes_and_others_see_them_after_it(self, storage: Storage) -> None:
        await storage.set_dimension(2)
        async with storage.transaction() as work:
            await work.kv(Namespace.META).put({"a": {}})
            await work.vectors(VectorKind.CHUNKS).put([row("v", [1, 0])])
            assert await work.kv(Namespace.META).get(["a"]) == {"a": {}}
            assert keys((await work.vectors(VectorKind.CHUNKS).search(_array([[1, 0]]), 1))[0]) == ["v"]
            assert await storage.kv(Namespace.META).get(["a"]) == {}
        assert await storage.kv(Namespace.META).get(["a"]) == {"a": {}}
        assert keys((await storage.vectors(VectorKind.CHUNKS).search(_array([[1, 0]]), 1))[0]) == ["v"]

    async def test_a_block_that_raises_leaves_nothing(self, storage: Storage) -> None:
        await storage.set_dimension(2)

        async def block() -> None:
            async with storage.transaction() as work:
                await work.kv(Namespace.META).put({"a": {}})
                await work.vectors(VectorKind.CHUNKS).put([row("v", [1, 0])])
                await work.documents.put([document("1")])
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await block()
        assert await storage.kv(Namespace.META).count() == 0
        assert await storage.vectors(VectorKind.CHUNKS).search(_array([[1, 0]]), 1) == [[]]
        assert await storage.documents.get(["1"]) == {}

    async def test_a_block_that_is_cancelled_leaves_nothing_and_blocks_nobody(self, storage: Storage) -> None:
        inside = asyncio.Event()

        async def block() -> None:
            async with storage.transaction() as work:
                await work.kv(Namespace.META).put({"a": {}})
                inside.set()
                await asyncio.Event().wait()

        running = asyncio.create_task(block())
        await inside.wait()
        waiting = asyncio.create_task(block())
        await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        async with storage.transaction() as work:
            await work.kv(Namespace.META).put({"b": {}})
        assert await storage.kv(Namespace.META).scan() == [("b", {})]

    async def test_transactions_at_the_same_time_do_not_interleave(self, storage: Storage) -> None:
        async def increment() -> None:
            async with storage.transaction() as work:
                row = (await work.kv(Namespace.META).get(["n"])).get("n", {"n": 0})
                await asyncio.sleep(0)
                await work.kv(Namespace.META).put({"n": {"n": row["n"] + 1}})

        await asyncio.gather(*(increment() for _ in range(20)))
        assert await storage.kv(Namespace.META).get(["n"]) == {"n": {"n": 20}}

    async def test_a_transaction_within_a_transaction_joins_it(self, storage: Storage) -> None:
        async def block() -> None:
            async with storage.transaction() as outer:
                async with outer.transaction() as inner:
                    await inner.kv(Namespace.META).put({"a": {}})
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await block()
        assert await storage.kv(Namespace.META).count() == 0

    async def test_writes_at_the_same_time_all_arrive_and_a_bad_one_fails_alone(self, storage: Storage) -> None:
        await storage.set_dimension(2)
        store = storage.vectors(VectorKind.CHUNKS)
        writes = [store.put([row(str(i), [1, i] if i != 7 else [1, i, 0])]) for i in range(30)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [i for i, outcome in enumerate(outcomes) if isinstance(outcome, StorageMismatch)] == [7]
        assert await store.count() == 29

    async def test_dropping_empties_all_but_what_is_kept(self, storage: Storage) -> None:
        await storage.set_dimension(2)
        await storage.kv(Namespace.LLM_CACHE).put({"a": {}})
        await storage.kv(Namespace.META).put({"a": {}})
        await storage.vectors(VectorKind.CHUNKS).put([row("v", [1, 0])])
        await storage.vectors(VectorKind.CHUNKS).search(_array([[1, 0]]), 1)
        await storage.documents.put([document("1")])
        if storage.lexical is not None:
            await storage.lexical.put({"a": ["x"]})
        await storage.drop(keep=[Namespace.LLM_CACHE])
        assert await storage.kv(Namespace.LLM_CACHE).count() == 1
        assert await storage.kv(Namespace.META).count() == 0
        assert await storage.documents.counts() == {}
        if storage.lexical is not None:
            assert await storage.lexical.search(["x"], 1) == []
        await storage.set_dimension(3)
        assert await storage.vectors(VectorKind.CHUNKS).search(_array([[1, 0, 0]]), 1) == [[]]

    async def test_closing_may_be_repeated(self, storage: Storage) -> None:
        await storage.close()
        await storage.close()

    async def test_errors_are_ours(self, storage: Storage) -> None:
        with pytest.raises((StorageError, InvalidInput)):
            await storage.vectors(VectorKind.CHUNKS).put([row("a", [1.0])])


class StorageContract(
    KVContract,
    VectorContract,
    LexicalContract,
    MentionContract,
    GraphContract,
    DocumentContract,
    TransactionContract,
):
    """All contracts."""


def row(key: str, vector: list[float] | FloatArray, content_hash: str = "hash") -> VectorRow:
    """Return a vector row."""
    return VectorRow(key, content_hash, np.array(vector, np.float32))


def document(id: str, status: DocStatus = DocStatus.PENDING, **fields: object) -> DocumentRecord:
    """Return a status row."""
    return dataclasses.replace(DocumentRecord(id, status), **fields)  # type: ignore[arg-type]


def _array(rows: list[list[float]]) -> FloatArray:
    return np.array(rows, np.float32)


def _random(count: int, dimension: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((count, dimension), np.float32)


def _ids(records: list[DocumentRecord]) -> list[str]:
    return [record.id for record in records]
