"""What the server's own models cost, which no workspace has entered."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from lightrag.tenancy.catalogue.loader import Catalogue
from lightrag.tenancy.contracts import ModelRef, Price
from lightrag.tenancy.ledger_models import PaidModel

_PROVIDERS: Mapping[str, tuple[str, str]] = {
    "openai": ("OpenAI", "api.openai.com"),
    "azure_openai": ("OpenAI", ""),
    "anthropic": ("Anthropic", "api.anthropic.com"),
    "gemini": ("Gemini", ""),
    "cohere": ("Cohere", "api.cohere.com"),
    "jina": ("Jina", "api.jina.ai"),
    "voyageai": ("Voyage AI", "api.voyageai.com"),
    "bedrock": ("Bedrock", ""),
}
"""By binding: the provider of the catalogue, and the host for which its prices hold; empty for any."""


def server_price(catalogue: Catalogue, model: PaidModel) -> Price:
    """Return the price of a model: its own, else the catalogue's where the model is called at its vendor's."""
    if model.price != Price():
        return model.price
    provider, host = _PROVIDERS.get(model.provider, ("", ""))
    if not provider or (host and urlsplit(model.host).hostname != host):
        return model.price
    return catalogue.price(ModelRef(provider, model.name), model.type)
