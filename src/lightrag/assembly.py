"""Builds a workspace's engine from the settings: which models, which stores, which parts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightrag.documents.formats import FORMATS, PICTURE_FORMATS, SUPPORTED_SUFFIXES, Format
from lightrag.documents.limits import ParseLimits
from lightrag.documents.names import resolve_inside
from lightrag.documents.pictures import PictureRules
from lightrag.documents.service import DocumentParser
from lightrag.embedded.extractive_answerer import ExtractiveAnswerer
from lightrag.embedded.nlp_extractor import NLPExtractor
from lightrag.engine import Engine, EngineInfo, EngineParts
from lightrag.engine_models import EMBEDDED, Bundled, Models, embedding_name
from lightrag.errors import AccessRefused, ConfigurationError
from lightrag.indexing.chunkers import Chunkers, ChunkingRules, standard_choices
from lightrag.indexing.chunking_custom import ChunkingFunction
from lightrag.indexing.chunking_recursive import SEPARATORS
from lightrag.indexing.contributions import Folder
from lightrag.indexing.document_job import ExtractionGate, JobTools
from lightrag.indexing.estimate import FileReading
from lightrag.indexing.extraction import Extractor
from lightrag.indexing.fold import FoldRules, fold_entity, fold_relation
from lightrag.indexing.graph_editor import GraphEditor
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.llm_extractor import LLMExtractor
from lightrag.indexing.manifest import Manifest, manifest_of_data, read_manifest
from lightrag.indexing.owner import owner_name
from lightrag.indexing.payers import Pauses
from lightrag.indexing.pictures import Illustrator
from lightrag.indexing.pipeline import Pipeline, PipelineOptions, SlotUse
from lightrag.indexing.progress import Progress
from lightrag.indexing.re_embedding import ReEmbedding
from lightrag.indexing.scan import FolderScan, ScanRules
from lightrag.indexing.summarizer import Summarizer
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.indexing.verify import Verifier
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import ChatModel, ModelFacts, Role
from lightrag.llm.limiter import Limiter
from lightrag.model_assembly import open_models
from lightrag.retrieval.retriever import Retriever, RetrieverOptions
from lightrag.settings import Settings
from lightrag.storage.contracts import Storage
from lightrag.storage.registry import StorageNames, open_storage
from lightrag.text.sentences import sentences
from lightrag.text.tokens import Tokenizer, load_tokenizer
from lightrag.types import (
    Chunk,
    ChunkingStrategy,
    DocumentRecord,
    Extraction,
    ParsedDocument,
)

WORDS_PER_TOKEN = 0.75
ModelsOpener = Callable[[Settings, Storage, Manifest | None], Awaitable[Models]]


async def open_engine(
    settings: Settings,
    workspace: str | None = None,
    *,
    chunking_function: ChunkingFunction | None = None,
    tokenizer: Tokenizer | None = None,
    models: ModelsOpener = open_models,
) -> Engine:
    """Return the engine of a workspace (None: the configured default), not started.

    `chunking_function` cuts the documents of which nobody says anything else. `tokenizer` counts in place of the
    packaged one. `models` opens the models, by default those that the settings name.
    Raises `ConfigurationError` where the settings contradict each other, `StorageError` where the stores fail.
    """
    name = settings.paths.workspace if workspace is None else workspace
    storage = open_storage(
        StorageNames(
            kv=settings.storage.kv,
            vector=settings.storage.vector,
            graph=settings.storage.graph,
            doc_status=settings.storage.doc_status,
        ),
        settings.paths.working_dir,
        name,
    )
    await storage.open()
    try:
        recorded = await read_manifest(storage)
        opened = await models(settings, storage, recorded)
        return _engine(settings, name, storage, opened, tokenizer or load_tokenizer(), chunking_function)
    except BaseException:
        await storage.close()
        raise


async def open_empty_engine(settings: Settings, bundled: Bundled) -> Engine:
    """Return an engine over an empty memory, opened and not started: what a workspace looks like that is not there."""
    from lightrag.storage.memory import MemoryStorage

    storage = MemoryStorage("")
    await storage.open()
    engine = _engine(
        settings, "", storage, await open_models(settings, storage, None, bundled=bundled), bundled.tokenizer
    )
    await engine.open()
    return engine


def _engine(
    settings: Settings,
    workspace: str,
    storage: Storage,
    models: Models,
    tokenizer: Tokenizer,
    chunking_function: ChunkingFunction | None = None,
) -> Engine:
    rules = _chunking_rules(settings, "custom" if chunking_function else settings.indexing.chunking)
    chunkers = Chunkers(tokenizer, sentences, models.embedding, rules, chunking_function)
    extractor = _extractor(settings, models)
    fold = Folder(_fold_rules(settings), summarises=lambda: Role.SUMMARY in models.chat)
    input_dir = settings.paths.input_dir / workspace if workspace else settings.paths.input_dir
    parser = _parser(settings)
    progress = Progress()
    sight = _Sight(models, _picture_rules(settings))
    # The files of other workspaces lie in folders of the default workspace's folder.
    scan_rules = ScanRules(
        SUPPORTED_SUFFIXES,
        is_recursive=settings.indexing.scan_recursive,
        move_to=settings.indexing.scan_move_to,
        others=tuple if workspace else _Folders(settings.paths.working_dir),
        more_suffixes=sight.suffixes,
    )
    scan = FolderScan(storage, input_dir, scan_rules, progress)
    embedding = settings.embedding
    is_local = models.embedding.facts.binding == EMBEDDED
    commits = GroupCommit(storage)
    changing = models.changing
    pauses = Pauses(changing.limits_of) if changing else Pauses()
    vectorizer = Vectorizer(
        storage,
        commits,
        models.embedding,
        batch=64 if is_local else 4 * embedding.batch_num,
        parallel=1 if is_local else 2,
        is_current=_is_current if models.changing else None,
        sparse=models.sparse,
        pauses=pauses,
    )
    slots = changing.slots if changing else sum(limiter.slots for limiter in models.extraction) or 2
    tools = JobTools(
        storage=storage,
        commits=commits,
        chunkers=chunkers,
        extractor=extractor,
        vectorizer=vectorizer,
        fold=fold,
        parse=_FileParser(parser, input_dir, sight).parse,
        remove_file=scan.remove,
        settle_file=scan.settle,
        forget_answers=_forgetter(extractor, models),
        progress=progress,
        gate=ExtractionGate(2 * slots),
        illustrator=_illustrator(settings, models),
        sees=sight.sees,
        pauses=pauses,
    )

    async def release() -> None:
        await parser.close()
        await models.aclose()

    return Engine(
        EngineParts(
            info=EngineInfo(
                workspace=workspace,
                working_dir=settings.paths.working_dir,
                input_dir=input_dir,
                chat=_Facts(models.chat),
                embedding=models.embedding.facts,
                extractor=extractor.fingerprint,
                storage_family=storage.family,
            ),
            manifest=lambda: Manifest(embedding_name(models.embedding), storage.family),
            storage=storage,
            pipeline=Pipeline(
                tools,
                PipelineOptions(owner=owner_name(), slots=slots, lease_seconds=settings.indexing.lease_seconds),
                summarizer=_summarizer(settings, storage, models, fold, pauses),
                slot_use=changing.slot_use if changing else lambda: slot_use(models.extraction),
            ),
            asker=_retriever(settings, storage, models, tokenizer, fold),
            verifier=Verifier(storage, fold),
            editor=GraphEditor(storage, fold),
            scan=scan,
            chunkers=chunkers,
            meter=models.meter,
            embed=lambda texts: models.embedding.embed(texts, purpose="document"),
            backends=models.backends,
            release=release,
            refresh_models=models.refresh,
            embedding_facts=lambda: models.embedding.facts,
            wanted_embedding=changing.wanted_embedding if changing else lambda: embedding_name(models.embedding),
            asks_a_model=lambda: _asking(extractor),
            formats=sight.formats,
            files=FileReading(tools.parse, tools.illustrator),
            re_embedding=_re_embedding(storage, models),
        )
    )


async def _is_current(storage: Storage, model: ModelFacts) -> bool:
    recorded = await manifest_of_data(storage)
    return recorded is None or recorded.embedding in ("", f"{model.binding}/{model.name}")


def _re_embedding(storage: Storage, models: Models) -> ReEmbedding | None:
    changing = models.changing
    if changing is None:
        return None
    return ReEmbedding(
        storage, owner_name(), changing.embedding_by_name, changing.switch_embedding, changing.tell_switched
    )


def _chunking_rules(settings: Settings, strategy: ChunkingStrategy) -> ChunkingRules:
    said = settings.indexing
    size, overlap = said.chunk_size, said.chunk_overlap
    choices = standard_choices(size, overlap)

    def change(name: ChunkingStrategy, own_size: int | None, own_overlap: int | None, **changes: Any) -> None:
        changes["chunk_token_size"] = size if own_size is None else own_size
        if name != "semantic_vector":
            changes["chunk_overlap_token_size"] = overlap if own_overlap is None else own_overlap
        choices[name] = dataclasses.replace(choices[name], **changes)

    change(
        "fixed_token",
        said.f_size,
        said.f_overlap,
        split_by_character=said.f_split_by_character,
        split_by_character_only=said.f_split_by_character_only,
    )
    change("recursive_character", said.r_size, said.r_overlap, separators=said.r_separators or SEPARATORS)
    change(
        "semantic_vector",
        said.v_size,
        None,
        breakpoint_threshold_type=said.v_threshold_type,
        breakpoint_threshold_amount=said.v_threshold_amount,
        buffer_size=said.v_buffer_size,
    )
    change("paragraph_semantic", said.p_size, said.p_overlap, drop_references=said.p_drop_references)
    return ChunkingRules(strategy, choices, said.v_sentence_pattern)


@dataclasses.dataclass(frozen=True, slots=True)
class _Folders:
    """Names the folders of a folder: in the working directory those of the workspaces that have a name."""

    parent: Path

    def __call__(self) -> list[str]:
        if not self.parent.is_dir():
            return []
        return [entry.name for entry in self.parent.iterdir() if entry.is_dir()]


@dataclasses.dataclass(frozen=True, slots=True)
class _Sight:
    """Knows whether pictures are described at the moment."""

    models: Models
    wanted: PictureRules

    async def current_rules(self) -> PictureRules | None:
        """Return which pictures are; None for none."""
        await self.models.refresh()
        return self.wanted if self.wanted.max_count and Role.IMAGE2TEXT in self.models.chat else None

    async def sees(self) -> bool:
        """Tell whether pictures are described."""
        return await self.current_rules() is not None

    async def formats(self) -> Mapping[str, Format]:
        """Return the formats of files that can be read."""
        return FORMATS if await self.current_rules() is None else {**FORMATS, **PICTURE_FORMATS}

    async def suffixes(self) -> Collection[str]:
        """Return those of pictures, where these are read."""
        return () if await self.current_rules() is None else tuple(PICTURE_FORMATS)


def _picture_rules(settings: Settings) -> PictureRules:
    parsing = settings.parsing
    rules = PictureRules(parsing.max_pictures, parsing.picture_min_pixels, parsing.picture_max_bytes)
    return dataclasses.replace(rules, max_total_bytes=max(rules.max_total_bytes, rules.max_bytes))


def _illustrator(settings: Settings, models: Models) -> Illustrator | None:
    chat = models.lasting(Role.IMAGE2TEXT)
    if chat is None:
        return None
    return Illustrator(chat, language=settings.indexing.language, parallel=settings.llm.extract.max_async)


@dataclasses.dataclass(frozen=True, slots=True)
class _FileParser:
    parser: DocumentParser
    input_dir: Path
    sight: _Sight

    async def parse(self, record: DocumentRecord) -> ParsedDocument:
        """Read the file of a document."""
        path = resolve_inside(self.input_dir, record.source_file)
        return await self.parser.parse(path, record.source_file, await self.sight.current_rules())


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


def _extractor(settings: Settings, models: Models) -> Extractor:
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


def _asking(extractor: Extractor) -> LLMExtractor | None:
    if isinstance(extractor, _ChangingExtractor):
        extractor = extractor.current
    return extractor if isinstance(extractor, LLMExtractor) else None


class _Forget:
    """Drops the kept answers on chunks."""

    def __init__(self, extractor: LLMExtractor, cache: KeptChat) -> None:
        self._extractor = extractor
        self._cache = cache

    async def __call__(self, chunks: Sequence[Chunk]) -> None:
        try:
            keys = [self._cache.key_of(r) for chunk in chunks for r in self._extractor.requests(chunk)]
        except AccessRefused:
            # No model serves at this moment, so its answers have no keys.
            return
        await self._cache.forget(keys)


def _forgetter(extractor: Extractor, models: Models) -> _Forget | None:
    chat = models.lasting(Role.EXTRACT)
    if isinstance(extractor, _ChangingExtractor):
        extractor = extractor.by_model
    return _Forget(extractor, chat) if isinstance(extractor, LLMExtractor) and chat is not None else None


def _summarizer(
    settings: Settings, storage: Storage, models: Models, fold: Folder, pauses: Pauses
) -> Summarizer | None:
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


def _fold_rules(settings: Settings) -> FoldRules:
    return FoldRules(
        evidence_limit=settings.indexing.evidence_limit,
        max_fragments=settings.indexing.force_summary_on_merge,
        max_tokens=settings.indexing.summary_max_tokens,
    )


def _retriever(settings: Settings, storage: Storage, models: Models, tokenizer: Tokenizer, fold: Folder) -> Retriever:
    rules, edits = fold.rules, fold.overlays
    return Retriever(
        storage,
        models.embedding,
        RetrieverOptions(
            cosine_threshold=settings.query.cosine_threshold,
            evidence_limit=rules.evidence_limit,
            language=settings.indexing.language,
            min_rerank_score=settings.rerank.min_score,
        ),
        tokenizer.count,
        models=models.for_question,
        quote=ExtractiveAnswerer(models.embedding).quote,
        fold_entity=lambda name, found: fold_entity(name, found, rules, record=edits.latest.entities.get(name)),
        fold_relation=lambda pair, found: fold_relation(pair, found, rules, record=edits.latest.relations.get(pair)),
        sparse=models.sparse,
    )


class _Facts(Mapping[Role, ModelFacts]):
    """What is known of the chat models that there are at the moment of looking."""

    def __init__(self, chat: Mapping[Role, ChatModel]) -> None:
        self._chat = chat

    def __getitem__(self, role: Role) -> ModelFacts:
        """Return what is known of the model of a role."""
        return self._chat[role].facts

    def __iter__(self) -> Iterator[Role]:
        """Iterate over the roles that have a model."""
        return iter(self._chat)

    def __len__(self) -> int:
        """Return how many roles have a model."""
        return len(self._chat)


def _parser(settings: Settings) -> DocumentParser:
    parsing = settings.parsing
    password = parsing.pdf_password.get_secret_value() if parsing.pdf_password else None
    return DocumentParser(
        ParseLimits(
            max_file_bytes=settings.server.max_upload_bytes,
            max_text_chars=parsing.max_text_chars,
            max_pages=parsing.max_pages,
            max_decompressed_bytes=parsing.max_decompressed_bytes,
            timeout_seconds=parsing.timeout_seconds,
            max_memory_bytes=parsing.max_memory_bytes,
        ),
        password,
        # Each reader may take `max_memory_bytes`, so no more of them than there are cores to feed.
        workers=min(settings.indexing.max_parallel_insert, max(1, (os.cpu_count() or 2) // 2)),
    )


def slot_use(limiters: Sequence[Limiter]) -> SlotUse:
    """Return how the slots of limiters are used; calls pause as long as all of them do."""
    if not limiters:
        return SlotUse()
    pauses = [limiter.paused_until for limiter in limiters]
    waits = [until for until in pauses if until is not None]
    return SlotUse(
        sum(limiter.slots for limiter in limiters),
        sum(limiter.active for limiter in limiters),
        min(waits) if len(waits) == len(pauses) else None,
    )
