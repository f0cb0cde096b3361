"""Draw the graph of a workspace as one HTML page that needs nothing else.

python examples/graph_to_html.py ./rag_storage graph.html
"""

import asyncio
import html
import math
import sys
from pathlib import Path

from lightrag import LightRAG

PAGE = """<!doctype html><meta charset="utf-8"><title>Graph</title>
<style>text{{font:12px sans-serif}} line{{stroke:#bbb}} circle{{fill:#48c}}</style>
<svg viewBox="-550 -550 1100 1100" width="100%" height="95vh">{edges}{nodes}</svg>"""


def draw(graph):
    count = max(len(graph.nodes), 1)
    places = {
        node.id: (round(450 * math.cos(2 * math.pi * i / count)), round(450 * math.sin(2 * math.pi * i / count)))
        for i, node in enumerate(graph.nodes)
    }
    edges = "".join(
        '<line x1="{}" y1="{}" x2="{}" y2="{}"><title>{}</title></line>'.format(
            *places[edge.source], *places[edge.target], html.escape(edge.properties["description"])
        )
        for edge in graph.edges
    )
    nodes = "".join(
        f'<circle cx="{x}" cy="{y}" r="6"><title>{html.escape(node.properties["description"])}</title></circle>'
        f'<text x="{x + 9}" y="{y + 4}">{html.escape(node.id)}</text>'
        for node in graph.nodes
        for x, y in [places[node.id]]
    )
    return PAGE.format(edges=edges, nodes=nodes)


async def main(working_dir, target):
    rag = LightRAG(working_dir=working_dir)
    await rag.initialize_storages()
    try:
        graph = await rag.get_knowledge_graph("*", max_nodes=200)
    finally:
        await rag.finalize_storages()
    await asyncio.to_thread(Path(target).write_text, draw(graph), encoding="utf-8")
    print(f"{len(graph.nodes)} entities, {len(graph.edges)} relations: {target}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
