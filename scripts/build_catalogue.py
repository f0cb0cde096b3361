"""Make the catalogue of model providers from collected facts.

    python scripts/build_catalogue.py PROVIDERS PRICES --as-of 2026-01-31

PROVIDERS: a JSON list of providers with their models, types, addresses and ways of authentication. PRICES: a JSON
object with `rows` of prices and sizes by provider and model. What is written is package data of `lightrag.tenancy`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "src/lightrag/tenancy/catalogue/providers.json"
KEPT = ("name", "tags", "rank", "base_url", "dialect", "dialect_by_type", "suffix", "self_hosted", "hidden")
BASES = ("intl_base", "rerank_base", "native_intl_base", "openai_compatible_base", "vendor_base", "default_local")
TYPE_FIXES = {"reranker": "rerank"}
PRICES = {"usd_per_mtok_in": "in", "usd_per_mtok_cached_in": "cached", "usd_per_mtok_out": "out"}


def main() -> None:
    """Write the catalogue."""
    parser = argparse.ArgumentParser(description="Make the catalogue of model providers from collected facts.")
    parser.add_argument("providers", type=Path)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--as-of", required=True, help="date of the prices, YYYY-MM-DD")
    arguments = parser.parse_args()
    prices = json.loads(arguments.prices.read_text("utf-8"))
    known = {(row["factory"], row["model"]): row for row in prices["rows"]}
    providers = [_provider(raw, known) for raw in json.loads(arguments.providers.read_text("utf-8"))]
    head = {
        "schema": 1,
        "provenance": {
            "providers": "infiniflow/ragflow@237a66913b (Apache-2.0), facts only",
            "prices": f"{prices['provenance']}, facts only",
            "prices_as_of": arguments.as_of,
        },
    }
    lines = ",\n".join(json.dumps(provider, ensure_ascii=False, separators=(",", ":")) for provider in providers)
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "providers": [\n' + lines + "\n]}\n"
    TARGET.write_text(text, "utf-8")
    print(f"{len(providers)} providers, {sum(len(one['models']) for one in providers)} models, {len(text)} characters")


def _provider(raw: dict[str, Any], known: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    kept = {name: raw[name] for name in KEPT if raw.get(name)}
    kept["types"] = sorted(raw["model_types"])
    kept["auth"] = raw["auth"]["form"]
    bases = {name: raw[name] for name in BASES if raw.get(name)}
    if bases:
        kept["bases"] = bases
    kept["models"] = [_model(model, known.get((raw["name"], model["name"]), {})) for model in raw["models"]]
    return kept


def _model(raw: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = {"name": raw["name"], "type": TYPE_FIXES.get(raw["type"], raw["type"])}
    if raw["max_tokens"]:
        model["max_tokens"] = raw["max_tokens"]
    if raw["is_tools"] or facts.get("supports_function_calling"):
        model["tools"] = True
    for source, name in (("context_in", "context"), ("max_out", "output"), ("output_vector_size", "dimension")):
        if facts.get(source):
            model[name] = facts[source]
    price = {short: round(facts[name] * 1_000_000) for name, short in PRICES.items() if facts.get(name) is not None}
    if price:
        model["price"] = price
    if facts.get("deprecation_date"):
        model["ends"] = facts["deprecation_date"]
    return model


if __name__ == "__main__":
    main()
