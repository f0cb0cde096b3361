"""Reorder passages before they are used: with a rerank server, or with a function of one's own.

    RERANK_BINDING_HOST=http://localhost:8000/v1/rerank RERANK_MODEL=reranker python examples/rerank.py

Without RERANK_BINDING_HOST a function counts common words. Needs no language model: answers are quoted.
"""

import asyncio
import os
from functools import partial

from lightrag import LightRAG, QueryParam
from lightrag.rerank import generic_rerank_api

TEXTS = [
    "The tower in Paris was built of iron by the company of Gustave Eiffel.",
    "The bridge in London is painted blue.",
    "Gustave Eiffel also built the frame of a statue in New York.",
]


async def count_words(query, documents, top_n=None):
    words = set(query.lower().split())
    scores = [len(words & set(document.lower().split())) / len(words) for document in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])
    return [{"index": index, "relevance_score": scores[index]} for index in order[:top_n]]


async def main():
    host = os.getenv("RERANK_BINDING_HOST")
    rerank = count_words
    if host:
        key = os.getenv("RERANK_BINDING_API_KEY")
        rerank = partial(generic_rerank_api, model=os.getenv("RERANK_MODEL", ""), base_url=host, api_key=key)
    rag = LightRAG(working_dir=os.getenv("WORKING_DIR", "./rerank"), rerank_model_func=rerank)
    await rag.initialize_storages()
    try:
        await rag.ainsert(TEXTS, file_paths=["tower.txt", "bridge.txt", "statue.txt"])
        found = await rag.aquery_data("Who built the tower in Paris", QueryParam(mode="mix", chunk_top_k=2))
        for chunk in found["data"]["chunks"]:
            print(chunk["file_path"], "-", chunk["content"])
    finally:
        await rag.finalize_storages()


if __name__ == "__main__":
    asyncio.run(main())
