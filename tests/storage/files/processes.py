"""What the tests run in a process of its own: `python processes.py FOLDER`; it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

from lightrag.storage.contracts import Namespace, VectorKind, VectorRow
from lightrag.storage.files import FileStorage
from lightrag.testing.storage_graph_contract import entity_mention, node, relation_mention

DIMENSION = 8


def tell(what: object) -> None:
    """Write a line to the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def write_forever(folder: Path) -> None:
    """Write single rows and a transaction over all stores again and again; print each that is durable.

    The files are written all the time, so that a kill hits every stage of that too.
    """
    storage = FileStorage(folder, "w", quiet_seconds=0.0)
    await storage.open()
    await storage.set_dimension(DIMENSION)
    kv = storage.kv(Namespace.META)
    done = (await kv.get(["done"])).get("done", {"n": 0})["n"]
    tell("ready")
    writing = asyncio.create_task(_write_files_forever(storage))
    while not writing.done():
        done += 1
        await asyncio.gather(*(kv.put({f"{done}:{i}": {}}) for i in range(3)))
        chunk = f"c{done}"
        async with storage.transaction() as work:
            await work.kv(Namespace.META).put({"done": {"n": done}})
            await work.kv(Namespace.TEXT_CHUNKS).put({chunk: {"content": chunk, "full_doc_id": "d"}})
            await work.vectors(VectorKind.CHUNKS).put([VectorRow(chunk, "h", np.ones(DIMENSION, np.float32))])
            await work.graph.put_mentions(
                [entity_mention("hub", chunk), entity_mention(chunk, chunk)],
                [relation_mention(("hub", "node"), chunk, weight=0.1)],
            )
            await work.graph.put_entities([node(chunk)])
            assert work.lexical is not None
            await work.lexical.put({chunk: ["term"]})
        tell(done)


async def _write_files_forever(storage: FileStorage) -> None:
    while True:
        await storage.write_files()


if __name__ == "__main__":
    asyncio.run(write_forever(Path(sys.argv[1])))
