"""What finds and tells the contents of chunks, put together from the settings: extractor, fold rules, summaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lightrag.embedded.nlp_extractor import NLPExtractor
from lightrag.engine_models import Models
from lightrag.errors import AccessRefused, ConfigurationError
from lightrag.indexing.contributions import Folder
from lightrag.indexing.extraction import Extractor
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.llm_extractor import LLMExtractor
from lightrag.indexing.payers import Pauses
from lightrag.indexing.summarizer import Summarizer
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import Role
from lightrag.settings import Settings
from lightrag.storage.contracts import Storage
from lightrag.types import Chunk, Extraction

WORDS_PER_TOKEN = 0.75
"""Of English, for prompts that say how long a summary may be."""


@dataclasses.dataclass(frozen=True, slots=True)
class _ChangingExtractor:
    """Reads chunks with a language model while there is one, else with the bundled parts."""

    by_model: LLMExtractor
    bundled: NLPExtractor
    models: Models

    @property
    def fingerprint(self) -> str:
        """Names the extractor that is used at this moment."""
        return self.current.fingerprint

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return what is in the chunk."""
        await self.models.refresh()
        return await self.current.extract(chunk)

    @property
    def current(self) -> Extractor:
        """What reads chunks at this moment."""
        return self.by_model if Role.EXTRACT in self.models.chat else self.bundled


def extractor_of(settings: Settings, models: Models) -> Extractor:
    """Return what reads chunks. Raises `ConfigurationError` where that is to be a model and there is none."""
    choice = settings.indexing.extractor
    chat = models.lasting(Role.EXTRACT)
    if choice == "llm" and Role.EXTRACT not in models.chat:
        raise ConfigurationError(
            "LIGHTRAG_EXTRACTOR is 'llm', but no language model is configured; set LLM_BINDING, LLM_BINDING_HOST "
            "and LLM_MODEL, or LIGHTRAG_EXTRACTOR=nlp"
        )
    if chat is None or choice == "nlp":
        return NLPExtractor()
    by_model = LLMExtractor(
        chat,
        language=settings.indexing.language,
        entity_types=settings.indexing.entity_types,
        rounds=settings.indexing.max_gleaning,
    )
    # With `llm`, nothing else reads the documents of a workspace that loses its model.
    if models.changing is None or choice == "llm":
        return by_model
    return _ChangingExtractor(by_model, NLPExtractor(), models)


def asking(extractor: Extractor) -> LLMExtractor | None:
    """Return what asks a language model about chunks at this moment; None where the bundled parts read them."""
    if isinstance(extractor, _ChangingExtractor):
        extractor = extractor.current
    return extractor if isinstance(extractor, LLMExtractor) else None


class Forget:
    """Drops the kept answers on chunks."""

    def __init__(self, extractor: LLMExtractor, cache: KeptChat) -> None:
        self._extractor = extractor
        self._cache = cache

    async def __call__(self, chunks: Sequence[Chunk]) -> None:
        """Have the model asked again about these chunks."""
        try:
            keys = [self._cache.key_of(r) for chunk in chunks for r in self._extractor.requests(chunk)]
        except AccessRefused:
            # No model serves at this moment, so its answers have no keys.
            return
        await self._cache.forget(keys)


def forgetter(extractor: Extractor, models: Models) -> Forget | None:
    """Return what drops the kept answers on chunks; None where no model will ever be asked about them."""
    chat = models.lasting(Role.EXTRACT)
    if isinstance(extractor, _ChangingExtractor):
        extractor = extractor.by_model
    return Forget(extractor, chat) if isinstance(extractor, LLMExtractor) and chat is not None else None


def summarizer(settings: Settings, storage: Storage, models: Models, fold: Folder, pauses: Pauses) -> Summarizer | None:
    """Return what writes descriptions that grow too long anew; None where no model will ever do so."""
    chat = models.lasting(Role.SUMMARY)
    if chat is None:
        return None
    return Summarizer(
        storage,
        chat,
        fold,
        language=settings.indexing.language,
        context_tokens=settings.indexing.summary_context_size,
        words=int(settings.indexing.summary_length_recommended * WORDS_PER_TOKEN),
        parallel=2 * settings.llm.extract.max_async,
        can_write=lambda: Role.SUMMARY in models.chat,
        pauses=pauses,
    )


def folder_of(settings: Settings, models: Models) -> Folder:
    """Return what makes entities and relations of what chunks say of them."""
    rules = FoldRules(
        evidence_limit=settings.indexing.evidence_limit,
        max_fragments=settings.indexing.force_summary_on_merge,
        max_tokens=settings.indexing.summary_max_tokens,
    )
    return Folder(rules, summarises=lambda: Role.SUMMARY in models.chat)
