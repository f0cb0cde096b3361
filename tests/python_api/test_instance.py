"""A script made for LightRAG: documents in, questions, streams, blocking and asynchronous calls mixed."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from lightrag import LightRAG, QueryParam
from lightrag.base import DocStatus
from lightrag.errors import InvalidInput, UnknownModel
from lightrag.facade.functions import BINDING
from lightrag.query_validation import EmptyQueryError, RAGQueryTooShortError
from lightrag.types import DocumentFilter

TEXT = "Alice leads Acme since 1990."


async def test_a_text_is_indexed_and_asked_about_in_every_mode(make_rag: Any) -> None:
    rag = make_rag()
    await rag.initialize_storages()
    track_id = await rag.ainsert(TEXT, file_paths="acme.txt")
    [status] = (await rag.aget_docs_by_track_id(track_id)).values()
    assert (status.status, status.file_path, status.chunks_count) == (DocStatus.PROCESSED, "acme.txt", 1)
    for mode in ("naive", "local", "global", "hybrid", "mix", "bypass"):
        assert await rag.aquery("Who leads Acme?", QueryParam(mode=mode)) == "Alice leads Acme."
    assert await rag.get_graph_labels() == ["Acme", "Alice"]
    await rag.finalize_storages()


async def test_a_streamed_answer_is_an_asynchronous_generator(make_rag: Any) -> None:
    rag = make_rag(enable_llm_cache=False)
    await rag.ainsert(TEXT)
    answer = await rag.aquery("Who leads Acme?", QueryParam(stream=True))
    assert inspect.isasyncgen(answer)
    assert [piece async for piece in answer] == ["Alice ", "leads ", "Acme."]
    await rag.finalize_storages()


def test_blocking_and_asynchronous_calls_mix_over_several_event_loops(make_rag: Any) -> None:
    rag = make_rag(enable_llm_cache=False)

    async def set_up() -> None:
        await rag.initialize_storages()

    async def read(stream: Any) -> str:
        return "".join([piece async for piece in stream])

    asyncio.run(set_up())
    rag.insert([TEXT, "Bob knows Alice."], ids=["one", "two"])
    assert rag.query("Who leads Acme?") == "Alice leads Acme."
    assert asyncio.run(rag.aquery("Who leads Acme?")) == "Alice leads Acme."
    assert asyncio.run(read(rag.query("Who leads Acme?", QueryParam(stream=True)))) == "Alice leads Acme."
    assert sorted(asyncio.run(rag.aget_docs_by_ids(["one", "two", "three"]))) == ["one", "two"]
    asyncio.run(rag.finalize_storages())


async def test_functions_run_on_the_event_loop_of_their_caller(make_rag: Any, script: Any) -> None:
    loops = set()

    async def llm(prompt: str, **kwargs: Any) -> Any:
        loops.add(asyncio.get_running_loop())
        return await script.llm(prompt, **kwargs)

    rag = make_rag(llm_model_func=llm)
    await rag.ainsert(TEXT)
    await rag.aquery("Who leads Acme?")
    assert loops == {asyncio.get_running_loop()}
    await rag.finalize_storages()


async def test_a_blocking_call_inside_a_running_loop_says_what_to_use(make_rag: Any) -> None:
    with pytest.raises(RuntimeError, match=r"insert\(\).*await ainsert\("):
        make_rag().insert(TEXT)


async def test_data_stay_and_an_instance_opens_again(make_rag: Any) -> None:
    rag = make_rag()
    await rag.ainsert(TEXT)
    await rag.finalize_storages()
    assert (await rag.get_processing_status())["processed"] == 1
    await rag.finalize_storages()
    again = make_rag()
    assert await again.get_graph_labels() == ["Acme", "Alice"]
    await again.finalize_storages()


async def test_new_data_lie_in_lightrags_files_and_scripts_may_delete_them(make_rag: Any, tmp_path: Path) -> None:
    rag = make_rag()
    await rag.ainsert(TEXT)
    await rag.finalize_storages()
    names = {path.name for path in (tmp_path / "rag").iterdir()}
    data = {name for name in names if name.startswith(("graph_", "vdb_"))} | {
        f"kv_store_{name}.json" for name in ("doc_status", "full_docs", "text_chunks")
    }
    assert len(data) == 7
    assert data < names
    for name in data:
        (tmp_path / "rag" / name).unlink()
    rag = make_rag()
    assert (await rag.get_processing_status())["processed"] == 0
    await rag.ainsert(TEXT)
    assert await rag.get_graph_labels() == ["Acme", "Alice"]
    await rag.finalize_storages()


async def test_named_storages_are_used_and_the_data_decide_afterwards(make_rag: Any, tmp_path: Path) -> None:
    rag = make_rag(kv_storage="SQLiteKVStorage")
    await rag.ainsert(TEXT)
    await rag.finalize_storages()
    assert (tmp_path / "rag" / "lightrag.sqlite3").exists()
    again = make_rag()
    assert await again.get_graph_labels() == ["Acme", "Alice"]
    await again.finalize_storages()


def test_storages_that_do_not_exist_are_refused_at_once(make_rag: Any) -> None:
    with pytest.raises(ValueError, match="JsonKVStorage"):
        make_rag(graph_storage="NoSuchStorage")


def test_an_unknown_argument_names_the_one_that_was_meant() -> None:
    with pytest.raises(TypeError, match="did you mean 'working_dir'"):
        LightRAG(workingdir="x")  # type: ignore[call-arg]


def test_arguments_of_old_versions_are_taken(make_rag: Any) -> None:
    rag = make_rag(namespace_prefix="", llm_model_max_token_size=32768, node2vec_params={}, log_level=20)
    assert rag.llm_model_max_token_size == 32768


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input": ["a text", "b text"], "ids": ["one"]}, "ids: 1 ids were given for 2 texts"),
        ({"input": ["a text", "b text"], "ids": ["one", "one"]}, "given twice"),
        ({"input": "a text", "file_paths": ["a", "b"]}, "file_paths: 2 paths were given for 1 texts"),
        ({"input": [1]}, "a text or a list of texts"),
    ],
)
async def test_arguments_that_do_not_fit_change_nothing(make_rag: Any, arguments: dict[str, Any], message: str) -> None:
    rag = make_rag()
    with pytest.raises(ValueError, match=message):
        await rag.ainsert(**arguments)
    assert sum((await rag.get_processing_status()).values()) == 0
    await rag.finalize_storages()


async def test_questions_that_say_nothing_are_refused(make_rag: Any) -> None:
    rag = make_rag()
    with pytest.raises(EmptyQueryError):
        await rag.aquery("  ", QueryParam(mode="bypass"))
    with pytest.raises(RAGQueryTooShortError):
        await rag.aquery_data("hi")


async def test_a_query_may_bring_its_own_model_and_instructions(make_rag: Any, script: Any) -> None:
    async def other(prompt: str, **kwargs: Any) -> str:
        return "other"

    rag = make_rag(enable_llm_cache=False)
    await rag.ainsert(TEXT)
    assert await rag.aquery("Who leads Acme?", QueryParam(mode="naive", model_func=other)) == "other"
    assert not script.answers
    prompt = "Reply as {response_type} from: {context_data} {kept}"
    await rag.aquery("Who leads Acme?", QueryParam(mode="naive", response_type="a poem"), system_prompt=prompt)
    said = script.answers[-1]["system_prompt"]
    assert said.startswith("Reply as a poem from:")
    assert TEXT in said
    assert said.endswith("{kept}")
    await rag.finalize_storages()


async def test_a_query_may_name_the_configured_model_and_no_other(make_rag: Any, script: Any) -> None:
    rag = make_rag(llm_model_name="house")
    await rag.ainsert("Alice leads Acme.")
    for name in ("house", f"house@{BINDING}"):
        assert await rag.aquery("Who leads Acme?", QueryParam(model=name)) == "Alice leads Acme."
    asked = len(script.calls)
    for wrong in ({"model": "other"}, {"rerank_model": "other"}):
        with pytest.raises(UnknownModel, match="'other'"):
            await rag.aquery("Who leads it?", QueryParam(**wrong))
        with pytest.raises(UnknownModel, match="'other'"):
            await rag.aquery("Who leads it?", QueryParam(**wrong), system_prompt="Answer. {context_data}")
    with pytest.raises(InvalidInput, match="model and model_func"):
        await rag.aquery("Who leads it?", QueryParam(model="house", model_func=script.llm))
    assert len(script.calls) == asked
    await rag.finalize_storages()


async def test_standing_instructions_go_before_a_users(make_rag: Any, script: Any) -> None:
    rag = make_rag(user_prompt_prefix="In French. ", enable_llm_cache=False)
    await rag.ainsert(TEXT)
    await rag.aquery("Who leads Acme?", QueryParam(user_prompt="Be brief."))
    await rag.aquery("Who leads Acme?", QueryParam(user_prompt="Be brief.", disable_user_prompt_prefix=True))
    with_prefix, without = (call["system_prompt"] for call in script.answers)
    assert "In French. Be brief." in with_prefix
    assert "In French." not in without
    await rag.finalize_storages()


async def test_what_was_found_comes_with_the_answer(make_rag: Any) -> None:
    rag = make_rag()
    await rag.ainsert([TEXT, "Carol paints."], file_paths=["a.txt", "b.txt"])
    result = await rag.aquery_llm("Who leads Acme?", QueryParam(filter=DocumentFilter(file_paths=("a.txt",))))
    assert result["status"] == "success"
    assert result["llm_response"]["content"] == "Alice leads Acme."
    assert {chunk["file_path"] for chunk in result["data"]["chunks"]} == {"a.txt"}
    assert result["data"]["references"] == [{"reference_id": "1", "file_path": "a.txt"}]
    await rag.finalize_storages()


async def test_functions_with_short_signatures_work(make_rag: Any, script: Any) -> None:
    async def llm(prompt: str) -> str:
        return str(await script.llm(prompt))

    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    rag = make_rag(llm_model_func=llm, embedding_func=embed)
    await rag.ainsert(TEXT)
    assert await rag.get_graph_labels() == ["Acme", "Alice"]
    assert await rag.aquery("Who leads Acme?", QueryParam(mode="naive")) == "Alice leads Acme."
    await rag.finalize_storages()


async def test_thinking_never_reaches_the_graph(make_rag: Any, script: Any) -> None:
    async def llm(prompt: str, **kwargs: Any) -> Any:
        answer = await script.llm(prompt, **kwargs)
        return f"<think>entity<|#|>Ghost<|#|>person<|#|>No.</think>{answer}" if isinstance(answer, str) else answer

    rag = make_rag(llm_model_func=llm)
    await rag.ainsert(TEXT)
    assert await rag.get_graph_labels() == ["Acme", "Alice"]
    await rag.finalize_storages()


async def test_a_failing_function_fails_the_document_and_is_named(make_rag: Any) -> None:
    async def llm(prompt: str, **kwargs: Any) -> str:
        raise AttributeError("no such thing")

    rag = make_rag(llm_model_func=llm)
    await rag.ainsert(TEXT)
    [failed] = (await rag.get_docs_by_status(DocStatus.FAILED)).values()
    assert "llm_model_func raised AttributeError: no such thing" in str(failed.error_msg)
    await rag.finalize_storages()


async def test_vectors_of_another_length_are_refused(make_rag: Any, script: Any) -> None:
    rag = make_rag()
    await rag.ainsert(TEXT)
    await rag.finalize_storages()

    async def longer(texts: list[str]) -> Any:
        return [[1.0] * 9 for _ in texts]

    rag = make_rag(embedding_func=longer)
    with pytest.raises(Exception, match="whose vectors have 8 numbers"):
        await rag.aquery("Who leads Acme?", QueryParam(mode="naive"))
    await rag.finalize_storages()


async def test_texts_are_cut_where_the_script_says(make_rag: Any) -> None:
    rag = make_rag()
    await rag.ainsert("Alice leads.\n##\nAcme is a firm.", split_by_character="##", ids="cut")
    assert (await rag.aget_docs_by_ids("cut"))["cut"].chunks_count == 2
    await rag.finalize_storages()


async def test_a_chunking_function_and_a_tokenizer_of_the_script_are_used(make_rag: Any) -> None:
    class Bytes:
        def encode(self, content: str) -> list[int]:
            return list(content.encode())

        def decode(self, tokens: list[int]) -> str:
            return bytes(tokens).decode("utf-8", "replace")

    async def cut(tokenizer: Any, content: str, *rest: Any) -> list[dict[str, Any]]:
        return [{"tokens": len(tokenizer.encode(part)), "content": part} for part in content.split("|")]

    rag = make_rag(chunking_func=cut, tokenizer=Bytes())
    await rag.ainsert("Alice leads Acmé.|Bob.|Carol.", ids=["cut"])
    status = (await rag.aget_docs_by_ids("cut"))["cut"]
    rows = await rag.text_chunks.get_by_ids(status.chunks_list)
    assert [(row["content"], row["tokens"]) for row in rows] == [
        ("Alice leads Acmé.", 18),
        ("Bob.", 4),
        ("Carol.", 6),
    ]
    await rag.finalize_storages()


async def test_a_document_is_deleted_with_what_it_said(make_rag: Any) -> None:
    rag = make_rag()
    await rag.ainsert(TEXT, ids="one")
    result = await rag.adelete_by_doc_id("one")
    assert (result.status, result.status_code) == ("success", 200)
    assert await rag.get_graph_labels() == []
    assert (await rag.adelete_by_doc_id("one")).status == "not_found"
    await rag.finalize_storages()


async def test_the_stores_are_there_under_their_names(make_rag: Any) -> None:
    rag = make_rag()
    await rag.ainsert(TEXT, ids="one")
    assert (await rag.full_docs.get_by_id("one"))["content"] == TEXT
    assert (await rag.doc_status.get_by_id("one"))["status"] == DocStatus.PROCESSED
    assert await rag.text_chunks.filter_keys({"none"}) == {"none"}
    [edge] = await rag.chunk_entity_relation_graph.get_all_edges()
    assert {edge["source"], edge["target"]} == {"Alice", "Acme"}
    assert await rag.chunk_entity_relation_graph.get_node_edges("Alice") == [("Alice", "Acme")]
    hits = await rag.entities_vdb.query("Acme\nAcme is a firm.", top_k=1)
    assert hits[0]["entity_name"] == "Acme"
    await rag.llm_response_cache.index_done_callback()
    assert (await rag.embedding_func(["x"])).shape == (1, 8)
    await rag.finalize_storages()


def test_query_parameters_keep_their_places() -> None:
    names = [field.name for field in dataclasses.fields(QueryParam)]
    assert names[:5] == ["mode", "only_need_context", "only_need_prompt", "response_type", "stream"]
    assert names[12:16] == ["conversation_history", "user_prompt", "enable_rerank", "include_references"]
