"""Builds a workspace's engine from the settings: which models, which stores, which parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from lightrag.document_assembly import Reading, chunking_rules
from lightrag.documents.formats import SUPPORTED_SUFFIXES
from lightrag.embedded.extractive_answerer import ExtractiveAnswerer
from lightrag.engine import Engine
from lightrag.engine_models import EMBEDDED, Bundled, Models, slot_use
from lightrag.engine_parts import EngineInfo, EngineParts
from lightrag.extraction_assembly import asking, extractor_of, folder_of, forgetter, summarizer
from lightrag.indexing.chunkers import Chunkers
from lightrag.indexing.chunking_custom import ChunkingFunction
from lightrag.indexing.contributions import Folder
from lightrag.indexing.estimate import FileReading
from lightrag.indexing.extraction import Extractor
from lightrag.indexing.fold import fold_entity, fold_relation
from lightrag.indexing.graph_editor import GraphEditor
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.job_tools import ExtractionGate, JobTools
from lightrag.indexing.manifest import Manifest, manifest_of_data, read_manifest
from lightrag.indexing.owner import owner_name
from lightrag.indexing.payers import Pauses
from lightrag.indexing.pipeline import Pipeline, PipelineOptions
from lightrag.indexing.progress import Progress
from lightrag.indexing.re_embedding import ReEmbedding
from lightrag.indexing.scan import FolderScan, ScanRules
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.indexing.verify import Verifier
from lightrag.llm.contracts import ChatModel, ModelFacts, Role
from lightrag.model_assembly import open_models
from lightrag.retrieval.retriever import Retriever, RetrieverOptions
from lightrag.settings import Settings
from lightrag.storage.contracts import Storage
from lightrag.storage.registry import StorageNames, open_storage
from lightrag.text.sentences import sentences
from lightrag.text.tokens import Tokenizer, load_tokenizer

ModelsOpener = Callable[[Settings, Storage, Manifest | None], Awaitable[Models]]
"""Opens the models of a workspace; is given what the workspace was made with, if anything."""


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
    storage = open_storage(StorageNames.of(settings.storage), settings.paths.working_dir, name)
    await storage.open()
    try:
        opened = await models(settings, storage, await read_manifest(storage))
        return await _assembled(settings, name, storage, opened, tokenizer or load_tokenizer(), chunking_function)
    except BaseException:
        await storage.close()
        raise


async def open_empty_engine(settings: Settings, bundled: Bundled) -> Engine:
    """Return an engine over an empty memory, opened and not started: what a workspace looks like that is not there."""
    from lightrag.storage.memory import MemoryStorage

    storage = MemoryStorage("")
    await storage.open()
    models = await open_models(settings, storage, None, bundled=bundled)
    engine = await _assembled(settings, "", storage, models, bundled.tokenizer, None)
    await engine.open()
    return engine


async def _assembled(
    settings: Settings,
    workspace: str,
    storage: Storage,
    models: Models,
    tokenizer: Tokenizer,
    chunking_function: ChunkingFunction | None,
) -> Engine:
    """Return an engine, which closes the models; where none can be made of them, they are closed here."""
    try:
        return _engine(settings, workspace, storage, models, tokenizer, chunking_function)
    except BaseException:
        await models.aclose()
        raise


def _engine(
    settings: Settings,
    workspace: str,
    storage: Storage,
    models: Models,
    tokenizer: Tokenizer,
    chunking_function: ChunkingFunction | None,
) -> Engine:
    input_dir = settings.paths.input_dir / workspace if workspace else settings.paths.input_dir
    reading = Reading(settings, models, input_dir)
    cutting = chunking_rules(settings, "custom" if chunking_function else settings.indexing.chunking)
    chunkers = Chunkers(tokenizer, sentences, models.embedding, cutting, chunking_function)
    extractor = extractor_of(settings, models)
    fold = folder_of(settings, models)
    progress = Progress()
    scan = FolderScan(storage, input_dir, _scan_rules(settings, workspace, reading), progress)
    tools = _tools(settings, storage, models, reading, chunkers, extractor, fold, scan, progress)
    changing = models.changing

    async def release() -> None:
        await reading.close()
        await models.aclose()

    parts = EngineParts(
        info=_info(settings, workspace, input_dir, storage, models, extractor),
        manifest=lambda: Manifest(models.embedding.facts.label, storage.family),
        storage=storage,
        pipeline=_pipeline(settings, models, tools),
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
        wanted_embedding=changing.wanted_embedding if changing else lambda: models.embedding.facts.label,
        asks_a_model=lambda: asking(extractor),
        formats=reading.formats,
        files=FileReading(reading.parse, reading.illustrator),
        re_embedding=_re_embedding(storage, models),
    )
    return Engine(parts)


def _info(
    settings: Settings, workspace: str, input_dir: Path, storage: Storage, models: Models, extractor: Extractor
) -> EngineInfo:
    return EngineInfo(
        workspace=workspace,
        working_dir=settings.paths.working_dir,
        input_dir=input_dir,
        chat=_Facts(models.chat),
        embedding=models.embedding.facts,
        extractor=extractor.fingerprint,
        storage_family=storage.family,
    )


def _scan_rules(settings: Settings, workspace: str, reading: Reading) -> ScanRules:
    return ScanRules(
        SUPPORTED_SUFFIXES,
        is_recursive=settings.indexing.scan_recursive,
        move_to=settings.indexing.scan_move_to,
        # The files of other workspaces lie in folders of the default workspace's folder.
        others=tuple if workspace else _Folders(settings.paths.working_dir),
        more_suffixes=reading.picture_suffixes,
    )


def _tools(
    settings: Settings,
    storage: Storage,
    models: Models,
    reading: Reading,
    chunkers: Chunkers,
    extractor: Extractor,
    fold: Folder,
    scan: FolderScan,
    progress: Progress,
) -> JobTools:
    commits = GroupCommit(storage)
    pauses = Pauses(models.changing.limits_of) if models.changing else Pauses()
    is_local = models.embedding.facts.binding == EMBEDDED
    vectorizer = Vectorizer(
        storage,
        commits,
        models.embedding,
        batch=64 if is_local else 4 * settings.embedding.batch_num,
        parallel=1 if is_local else 2,
        is_current=_is_current if models.changing else None,
        sparse=models.sparse,
        pauses=pauses,
    )
    return JobTools(
        storage=storage,
        commits=commits,
        chunkers=chunkers,
        extractor=extractor,
        vectorizer=vectorizer,
        fold=fold,
        parse=reading.parse,
        remove_file=scan.remove,
        settle_file=scan.settle,
        forget_answers=forgetter(extractor, models),
        progress=progress,
        gate=ExtractionGate(2 * models.extraction_slots()),
        illustrator=reading.illustrator,
        sees=reading.sees,
        pauses=pauses,
    )


def _pipeline(settings: Settings, models: Models, tools: JobTools) -> Pipeline:
    options = PipelineOptions(
        owner=owner_name(), slots=models.extraction_slots(), lease_seconds=settings.indexing.lease_seconds
    )
    return Pipeline(
        tools,
        options,
        summarizer=summarizer(settings, tools.storage, models, tools.fold, tools.pauses),
        slot_use=models.changing.slot_use if models.changing else lambda: slot_use(models.extraction),
    )


async def _is_current(storage: Storage, model: ModelFacts) -> bool:
    recorded = await manifest_of_data(storage)
    return recorded is None or recorded.embedding in ("", model.label)


def _re_embedding(storage: Storage, models: Models) -> ReEmbedding | None:
    changing = models.changing
    if changing is None:
        return None
    return ReEmbedding(
        storage, owner_name(), changing.embedding_by_name, changing.switch_embedding, changing.tell_switched
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Folders:
    """Names the folders of a folder: in the working directory those of the workspaces that have a name."""

    parent: Path

    def __call__(self) -> list[str]:
        if not self.parent.is_dir():
            return []
        return [entry.name for entry in self.parent.iterdir() if entry.is_dir()]


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
