#!/usr/bin/env python3
"""Measure the server against LightRAG's, both driven through the same REST calls in the same run.

Starts a stand-in model server, this repository's server and, where it is installed, LightRAG's; never two of
the products at the same time. Prints a table of figures, ratios and bars, and writes all figures to a JSON file.
benchmarks/README.md says how to install the peer.
"""

from __future__ import annotations

import argparse
import asyncio
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
from harness.servers import Product, model_server, our_server, peer_server, rag_server

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
    parser.add_argument("--servers", default="ours,peer", help="comma list of ours, peer")
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


async def measure(product: Product, plan: Plan, command: tuple[str, ...], *, large: bool) -> Result:
    """Take every chosen measure of one server."""
    chosen, corpus, result = plan.only.split(","), Corpus(), Result()
    count = 100 if plan.full else 60
    if "index" in chosen:
        async with model_server(command) as model_url, rag_server(product, model_url) as server:
            result["index"] = await measures.index(server, model_url, corpus, documents=40, slices=4)
            _say(product, "index", result["index"])
            result["queries"] = await measures.queries(server, corpus, count, "small")
            _say(product, "queries", result["queries"])
    if "slots" in chosen:
        mixes = measures.document_mixes(corpus, chunks=120)
        result["slots"] = {}
        for mix, documents in mixes.items():
            if plan.full or mix == "mixed":
                result["slots"][mix] = await measures.slots(product, command, documents)
                _say(product, f"slots, {mix}", result["slots"][mix])
    if "startup" in chosen:
        async with model_server(command) as model_url:
            result["startup"] = await measures.startup(product, model_url, 5 if plan.full else 3)
        if product.name == "ours":
            result["startup_bare"] = await measures.startup(product, None, 5 if plan.full else 3)
        _say(product, "startup", result["startup"])
    if "upload" in chosen:
        async with model_server(command) as model_url:
            result["upload"] = await measures.upload(product, model_url)
        _say(product, "upload", result["upload"])
    if large and "large" in chosen:
        async with model_server(command) as model_url, rag_server(product, model_url) as server:
            result["index_large"] = await measures.index(server, model_url, corpus, plan.large_documents, slices=4)
            _say(product, "index, large", result["index_large"])
            result["queries_large"] = await measures.queries(server, corpus, count, "large")
            _say(product, "queries, large", result["queries_large"])
    return result


def _say(product: Product, name: str, figures: Result) -> None:
    print(f"{product.name}: {name}: {json.dumps(_rounded(figures))}", file=sys.stderr, flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


async def run(plan: Plan) -> Result:
    """Measure the chosen servers one after the other."""
    command = tuple(shlex.split(plan.model_server))
    wanted = plan.servers.split(",")
    results: Result = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "full": plan.full,
    }
    if "ours" in wanted:
        product = our_server()
        results["ours"] = {"version": product.version}
        results["ours"] |= await measure(product, plan, command, large=plan.full)
    if plan.peer_from is not None:
        earlier = json.loads(plan.peer_from.read_text())
        results["peer"] = {**earlier["peer"], "taken_at": earlier["taken_at"], "machine": earlier["machine"]}
    elif "peer" in wanted and plan.peer_venv is not None:
        product = peer_server(plan.peer_venv, plan.tiktoken_cache)
        results["peer"] = {"version": product.version}
        results["peer"] |= await measure(product, plan, command, large=False)
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
