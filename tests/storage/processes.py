"""What the tests run in processes of their own: `python processes.py ROLE FOLDER NAME`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

from lightrag.storage.contracts import Namespace, VectorKind, VectorRow
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.testing.storage_graph_contract import entity_mention, node, relation_mention
from lightrag.types import DocStatus

DIMENSION = 16
ROWS = 5


def tell(what: object) -> None:
    """Write a line to the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def write_forever(folder: Path, name: str) -> None:
    """Write one row alone and one transaction over all stores, again and again; print each that is durable."""
    storage = SQLiteStorage(folder, "w")
    await storage.open()
    await storage.set_dimension(DIMENSION)
    kv = storage.kv(Namespace.META)
    done = (await kv.get([name])).get(name, {"n": 0})["n"]
    tell("ready")
    while True:
        done += 1
        await asyncio.gather(*(kv.put({f"{name}:{done}:{i}": {}}) for i in range(3)))
        async with storage.transaction() as work:
            chunk = f"{name}-{done}"
            await work.kv(Namespace.META).put({name: {"n": done}})
            await work.vectors(VectorKind.CHUNKS).put(
                [VectorRow(f"{chunk}-{i}", "h", np.ones(DIMENSION, np.float32)) for i in range(ROWS)]
            )
            await work.graph.put_mentions(
                [entity_mention("hub", chunk), entity_mention(chunk, chunk)],
                [relation_mention(("hub", "node"), chunk, weight=0.1)],
            )
            await work.graph.put_entities([node(chunk)])
            assert work.lexical is not None
            await work.lexical.put({chunk: ["term", name]})
        tell(done)


async def claim_all(folder: Path, name: str) -> None:
    """Claim documents one by one until there are none; print their ids."""
    storage = SQLiteStorage(folder, "w")
    await storage.open()
    while claimed := await storage.documents.claim(name, limit=1, lease_seconds=60, statuses=(DocStatus.PENDING,)):
        tell(claimed[0].id)
    await storage.close()


async def put_vector(folder: Path, name: str) -> None:
    """Put one vector, delete another."""
    storage = SQLiteStorage(folder, "w")
    await storage.open()
    await storage.vectors(VectorKind.CHUNKS).put([VectorRow(name, "h", np.ones(DIMENSION, np.float32))])
    await storage.vectors(VectorKind.CHUNKS).delete(["old"])
    await storage.graph.put_mentions([entity_mention(name, "c")], [])
    await storage.close()


ROLES = {"write": write_forever, "claim": claim_all, "put": put_vector}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]))
