"""Put a graph of one's own into a workspace, change it, and export it. Needs no model server.

    python examples/custom_kg.py

Data lie in the folder WORKING_DIR (`./custom_kg`).
"""

import asyncio
import os

from lightrag import LightRAG

GRAPH = {
    "chunks": [{"content": "Widget X is made by Acme. Alice leads Acme.", "source_id": "note-1"}],
    "entities": [
        {"entity_name": "Acme", "entity_type": "organization", "description": "A firm.", "source_id": "note-1"},
        {"entity_name": "Alice", "entity_type": "person", "description": "Leads Acme.", "source_id": "note-1"},
        {"entity_name": "Widget X", "entity_type": "artifact", "description": "A product.", "source_id": "note-1"},
    ],
    "relationships": [
        {"src_id": "Acme", "tgt_id": "Widget X", "description": "makes", "keywords": "product", "source_id": "note-1"},
        {"src_id": "Alice", "tgt_id": "Acme", "description": "leads", "keywords": "leadership", "source_id": "note-1"},
    ],
}


def main():
    working_dir = os.getenv("WORKING_DIR", "./custom_kg")
    rag = LightRAG(working_dir=working_dir)
    rag.insert_custom_kg(GRAPH)
    rag.edit_entity("Widget X", {"description": "A blue product."})
    print("entities:", ", ".join(asyncio.run(rag.get_graph_labels())))
    path = os.path.join(working_dir, "graph.csv")
    rag.export_data(path)
    print("exported to", path)
    asyncio.run(rag.finalize_storages())


if __name__ == "__main__":
    main()
