"""The catalogue as the operator's settings change it."""

from __future__ import annotations

from lightrag.errors import ConfigurationError
from lightrag.settings import Settings
from lightrag.tenancy.catalogue.loader import Catalogue, load_catalogue


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the catalogue, with the addresses at which the operator wants providers to be reached."""
    return load_catalogue().at(addresses_of(settings))


def addresses_of(settings: Settings) -> dict[str, str]:
    """Return the operator's addresses by provider. Raises `ConfigurationError`."""
    found: dict[str, str] = {}
    for entry in settings.tenancy.provider_urls:
        name, _, url = entry.partition("=")
        if load_catalogue().get(name.strip()) is None or not url.strip().startswith(("http://", "https://")):
            raise ConfigurationError(
                f"LIGHTRAG_LLM_PROVIDER_URLS: '{name[:100]}' must be a provider of the catalogue, followed by = and "
                "its address, as OpenAI=https://gateway.example/v1"
            )
        found[name.strip()] = url.strip()
    return found
