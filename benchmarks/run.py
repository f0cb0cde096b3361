#!/usr/bin/env python3
"""Measure the server against LightRAG's, both driven through the same REST calls in the same run.

Starts a stand-in model server, this repository's server and, where it is installed, LightRAG's; never two of them
work at the same time. Prints a table of figures, ratios and bars, and writes all figures to a JSON file.
benchmarks/README.md says how to install the peer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from harness import measures, report
from harness.corpus import Corpus
from harness.servers import OURS, PEER, Product, Running, model_server, our_server, peer_server, rag_server

MEASURES = ("index", "slots", "startup", "upload", "large")
Result = dict[str, Any]


class Plan(argparse.Namespace):
    """What to run."""

    full: bool
    only: str
    servers: str
    peer_venv: Path | None
    peer_from: Path | None
    tiktoken_cache: Path | None
    model_server: str
    large_documents: int
    out: Path


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_false", dest="full", help="some minutes (the default)")
    size.add_argument("--full", action="store_true", help="more repeats, every document mix, 2,000 documents")
    parser.add_argument("--only", default=",".join(MEASURES), help=f"comma list of {', '.join(MEASURES)}")
    parser.add_argument("--servers", default=f"{OURS},{PEER}", help=f"comma list of {OURS}, {PEER}")
    venv = os.environ.get("LIGHTRAG_PEER_VENV")
    cache = os.environ.get("LIGHTRAG_PEER_TIKTOKEN_CACHE")
    parser.add_argument(
        "--peer-venv",
        type=Path,
        default=Path(venv) if venv else None,
        help="virtual environment that holds LightRAG (env LIGHTRAG_PEER_VENV)",
    )
    parser.add_argument(
        "--tiktoken-cache",
        type=Path,
        default=Path(cache) if cache else None,
        help="folder with the tokenizer's data for LightRAG (env LIGHTRAG_PEER_TIKTOKEN_CACHE)",
    )
    parser.add_argument("--peer-from", type=Path, help="take LightRAG's figures from this earlier JSON file")
    parser.add_argument(
        "--model-server",
        default=f"{sys.executable} -m lightrag.testing.model_server",
        help="command of the stand-in model server",
    )
    parser.add_argument("--large-documents", type=int, default=2000, help="size of the large corpus (full runs)")
    parser.add_argument("--out", type=Path, default=Path("bench-results.json"), help="where the figures go")
    parser.set_defaults(full=False)
    plan = parser.parse_args(arguments, namespace=Plan())
    if unknown := set(plan.only.split(",")) - set(MEASURES):
        parser.error(f"--only: unknown measures {', '.join(sorted(unknown))}; choose from {', '.join(MEASURES)}")
    return plan


class Bench:
    """Takes the chosen measures of the chosen servers."""

    def __init__(self, plan: Plan, products: list[Product]) -> None:
        self._plan = plan
        self._products = products
        self._command = tuple(shlex.split(plan.model_server))
        self._corpus = Corpus()
        self._questions = 100 if plan.full else 60
        self._repeats = 5 if plan.full else 3
        self.results: dict[str, Result] = {product.name: {"version": product.version} for product in products}

    async def run(self) -> None:
        """Measure by measure, one server after the other."""
        chosen = self._plan.only.split(",")
        if "index" in chosen:
            await self._index(self._products, 40, "")
        for product in self._products:
            if "slots" in chosen:
                await self._slots(product)
            if "startup" in chosen:
                await self._startup(product)
            if "upload" in chosen:
                async with model_server(self._command) as model_url:
                    self._note(product, "upload", await measures.upload(product, model_url))
        if self._plan.full and "large" in chosen:
            ours = [product for product in self._products if product.name == OURS]
            await self._index(ours, self._plan.large_documents, "_large")

    async def _index(self, products: list[Product], documents: int, suffix: str) -> None:
        """Index on one server after the other, then ask all of them in turns."""
        async with contextlib.AsyncExitStack() as stack:
            servers: dict[str, Running] = {}
            for product in products:
                model_url = await stack.enter_async_context(model_server(self._command))
                server = await stack.enter_async_context(rag_server(product, model_url))
                figures = await measures.index(server, model_url, self._corpus, documents, slices=4)
                self._note(product, f"index{suffix}", figures)
                servers[product.name] = server
            asked = await measures.queries(servers, self._corpus, self._questions, f"asked{suffix}")
            for product in products:
                self._note(product, f"queries{suffix}", asked[product.name])

    async def _slots(self, product: Product) -> None:
        figures: Result = {}
        for mix, documents in measures.document_mixes(self._corpus, chunks=120).items():
            if self._plan.full or mix == "mixed":
                figures[mix] = await measures.slots(product, self._command, documents)
        self._note(product, "slots", figures)

    async def _startup(self, product: Product) -> None:
        async with model_server(self._command) as model_url:
            self._note(product, "startup", await measures.startup(product, model_url, self._repeats))
        if product.name == OURS:
            self._note(product, "startup_bare", await measures.startup(product, None, self._repeats))

    def _note(self, product: Product, name: str, figures: Result) -> None:
        self.results[product.name][name] = figures
        print(f"{product.name}: {name}: {json.dumps(_rounded(figures))}", file=sys.stderr, flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


async def run(plan: Plan) -> Result:
    """Measure the chosen servers."""
    wanted = plan.servers.split(",")
    products = [our_server()] if OURS in wanted else []
    if PEER in wanted and plan.peer_venv is not None and plan.peer_from is None:
        products.append(peer_server(plan.peer_venv, plan.tiktoken_cache))
    bench = Bench(plan, products)
    await bench.run()
    results: Result = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "full": plan.full,
        **bench.results,
    }
    if plan.peer_from is not None:
        earlier = json.loads(plan.peer_from.read_text())
        results[PEER] = {**earlier[PEER], "taken_at": earlier["taken_at"], "machine": earlier["machine"]}
    return results


def title(results: Result) -> str:
    """Say what was measured, where."""
    machine = results["machine"]
    parts = [f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}"]
    if "ours" in results:
        parts.append(f"ours {results['ours']['version']}")
    if "peer" in results:
        peer = results["peer"]
        when = f" (measured {peer['taken_at']} on {peer['machine']['cores']} cores)" if "taken_at" in peer else ""
        parts.append(f"LightRAG {peer['version']}{when}")
    else:
        parts.append("LightRAG not installed: no ratios (see benchmarks/README.md)")
    return "; ".join(parts)


def main() -> int:
    """Run, print, write; the exit status tells whether every bar that could be judged was met."""
    plan = parse()
    results = asyncio.run(run(plan))
    plan.out.write_text(json.dumps(_rounded(results), indent=2) + "\n")
    table = list(report.rows(results))
    report.show(title(results), table)
    missed = [row.name for row in table if row.holds is False]
    print(f"figures: {plan.out}; bars missed: {', '.join(missed) if missed else 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
