"""The providers and models that are known by name, and which of them can be used here."""

from lightrag.tenancy.catalogue.loader import Catalogue, CatalogueModel, Provider, load_catalogue

__all__ = ["Catalogue", "CatalogueModel", "Provider", "load_catalogue"]
