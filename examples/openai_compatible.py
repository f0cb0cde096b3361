"""Index a text and ask about it, with any server that speaks OpenAI's dialect.

    LLM_BINDING_HOST=http://localhost:8000/v1 LLM_MODEL=medium EMBEDDING_MODEL=embedding EMBEDDING_DIM=1024 \
        python examples/openai_compatible.py [file]

The key is read from LLM_BINDING_API_KEY. Data lie in the folder WORKING_DIR (`./rag_storage`).
"""

import asyncio
import os
import sys
from pathlib import Path

from lightrag import LightRAG, QueryParam
from lightrag.llm.openai import openai_complete_if_cache, openai_embed
from lightrag.utils import EmbeddingFunc

TEXT = """Ada Lovelace worked with Charles Babbage in London. Charles Babbage designed the Analytical Engine.
Ada Lovelace wrote the first program for the Analytical Engine."""
HOST = os.environ["LLM_BINDING_HOST"]
KEY = os.getenv("LLM_BINDING_API_KEY", "")


async def llm(prompt, system_prompt=None, history_messages=None, **kwargs):
    return await openai_complete_if_cache(
        os.getenv("LLM_MODEL", "gpt-4o-mini"),
        prompt,
        system_prompt=system_prompt,
        history_messages=history_messages,
        base_url=HOST,
        api_key=KEY,
        **kwargs,
    )


async def embed(texts):
    model = os.getenv("EMBEDDING_MODEL", "text-embedding-3-small")
    return await openai_embed(texts, model=model, base_url=HOST, api_key=KEY)


async def main(text):
    rag = LightRAG(
        working_dir=os.getenv("WORKING_DIR", "./rag_storage"),
        llm_model_func=llm,
        embedding_func=EmbeddingFunc(embedding_dim=int(os.getenv("EMBEDDING_DIM", "1536")), func=embed),
    )
    await rag.initialize_storages()
    try:
        await rag.ainsert(text)
        for mode in ("naive", "local", "global", "hybrid", "mix"):
            answer = await rag.aquery("Who wrote the first program?", param=QueryParam(mode=mode))
            print(f"{mode}: {answer}")
        print("streamed: ", end="")
        answer = await rag.aquery("What did Charles Babbage design?", param=QueryParam(stream=True))
        if isinstance(answer, str):
            print(answer)
        else:
            async for piece in answer:
                print(piece, end="", flush=True)
            print()
    finally:
        await rag.finalize_storages()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else TEXT))
