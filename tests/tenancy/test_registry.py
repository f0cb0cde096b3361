"""What the registry of models keeps, on each database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.engine import Engine as SyncEngine

from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.tenancy.audit import Actor, AuditLog
from lightrag.tenancy.catalogue import load_catalogue
from lightrag.tenancy.contracts import ModelRef, ModelType
from lightrag.tenancy.control_plane import ControlPlane
from lightrag.tenancy.database import ControlDatabase
from lightrag.tenancy.keyring import KeyRing, new_key_text, parse_keys
from lightrag.tenancy.limits import LimitKind, Subject
from lightrag.tenancy.limits_admin import LimitAdmin
from lightrag.tenancy.netguard import NetGuard
from lightrag.tenancy.registry import ModelRegistry
from lightrag.tenancy.registry_records import KEY_UNREADABLE, KeyWish, ModelInUse, ModelWish
from lightrag.tenancy.tables import AuditRow, CredentialRow

KEY, OTHER = "sk-canary-0123456789ab", "sk-second-0123456789cd"
BGE = ModelRef("VLLM", "BAAI/bge-m3___VLLM")


def registry_on(database: ControlDatabase, keyring: KeyRing) -> ModelRegistry:
    """Return a registry, as another process would have it."""
    return ModelRegistry(ControlPlane.made_of(database, keyring), load_catalogue(), NetGuard(("*",), _nowhere))


async def _nowhere(_host: str, _port: int) -> list[str]:
    raise OSError("there is no name server in a test")


@pytest.fixture
def registry(database: ControlDatabase, keyring: KeyRing) -> ModelRegistry:
    """The registry."""
    return registry_on(database, keyring)


class Shop:
    """A workspace that adds models."""

    def __init__(self, registry: ModelRegistry, workspace_id: str, actor: Actor) -> None:
        self.registry, self.id, self.actor = registry, workspace_id, actor

    async def add(self, provider: str, name: str, type: str = "chat", **more: Any) -> None:
        """Add a model without trying it."""
        base_url, label = more.pop("base_url", None), more.pop("label", None)
        numbers = {key: more.pop(key) for key in ("dimension", "order", "weight") if key in more}
        wish = ModelWish(provider, name, type, more, base_url, label, **numbers)
        await self.registry.save(self.actor, await self.registry.draft_model(self.id, wish))

    async def labels(self) -> list[str]:
        """Return the labels of all keys."""
        return sorted(info.label for info in await self.registry.credentials(self.id))


@pytest.fixture
async def shop(registry: ModelRegistry, database: ControlDatabase, keyring: KeyRing, actor: Actor) -> Shop:
    """A workspace."""
    plane = ControlPlane.made_of(database, keyring)
    return Shop(registry, (await plane.directory.ensure("one", actor)).id, actor)


async def test_a_candidate_holds_all_that_a_binding_needs(shop: Shop) -> None:
    await shop.add("VLLM", "BAAI/bge-m3", "embedding", base_url="http://gpu:8000", api_key=KEY, dimension=1024)
    [way] = await shop.registry.candidates(shop.id, ModelType.EMBEDDING, ModelRef("VLLM", "BAAI/bge-m3"))
    assert (way.ref, way.upstream_name, way.dialect) == (BGE, "BAAI/bge-m3", "openai")
    assert (way.base_url, way.secret, way.dimension) == ("http://gpu:8000/v1", KEY, 1024)
    assert KEY not in repr(way)
    assert await shop.registry.candidates(shop.id, ModelType.CHAT, BGE) == []
    assert await shop.registry.candidates("elsewhere", ModelType.EMBEDDING) == []


async def test_a_key_that_is_encrypted_anew_between_trial_and_save_is_no_conflict(
    shop: Shop, database: ControlDatabase, keyring: KeyRing
) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    before = await shop.registry.holdings(shop.id)
    drafts = [
        await shop.registry.draft_model(shop.id, ModelWish("OpenAI", "gpt-4", "chat", given))
        for given in ({}, {"api_key": OTHER})
    ]
    await ControlPlane.made_of(database, keyring).vault.renew(shop.id)
    # What would be used is the same, so that clients and their circuits stay.
    assert await shop.registry.holdings(shop.id) == before
    for draft in drafts:
        await shop.registry.save(shop.actor, draft)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await shop.registry.save(shop.actor, drafts[0])
    [way] = await shop.registry.candidates(shop.id, ModelType.CHAT)
    assert way.secret == OTHER


async def test_what_an_engine_keeps_is_read_at_one_moment_in_few_statements(
    shop: Shop, database: ControlDatabase, audit: AuditLog
) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    subject = Subject("workspace", shop.id)
    await LimitAdmin(database, audit).put(shop.actor, subject, {LimitKind.CONCURRENCY: 2, LimitKind.COST_PER_DAY: 5})
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    event.listen(SyncEngine, "before_cursor_execute", note)
    try:
        standing = await shop.registry.standing("one", -1)
        assert standing is not None
        again = await shop.registry.standing("one", standing.version)
        nothing = await shop.registry.standing("two", -1)
    finally:
        event.remove(SyncEngine, "before_cursor_execute", note)
    assert sum(statement.startswith("SELECT") for statement in said) == 3 + 1 + 1
    assert standing.holdings == await shop.registry.holdings(shop.id)
    assert [(limit.kind, limit.amount) for limit in standing.limits] == [("concurrency", 2), ("cost_per_day", 5)]
    assert again is not None
    assert (again.version, again.holdings, nothing) == (standing.version, None, None)


async def test_every_change_raises_the_version_and_is_audited_without_secrets(
    shop: Shop, database: ControlDatabase, keyring: KeyRing
) -> None:
    plane = ControlPlane.made_of(database, keyring)
    entry = await plane.directory.get("one")
    assert entry is not None
    version = entry.version
    registry, actor = shop.registry, shop.actor
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    await registry.set_enabled(actor, shop.id, "OpenAI", "gpt-4", is_enabled=False)
    await registry.set_defaults(actor, shop.id, {"chat": [ModelRef("OpenAI", "gpt-4")]})
    await registry.delete_model(actor, shop.id, "OpenAI", "gpt-4", force=True)
    entry = await plane.directory.get("one")
    assert entry is not None
    assert entry.version == version + 4
    async with database.read() as session:
        rows = (await session.scalars(select(AuditRow).where(AuditRow.action.like("llm.%")))).all()
    assert {row.action for row in rows} == {
        "llm.models.set",
        "llm.model.disable",
        "llm.defaults.set",
        "llm.model.delete",
    }
    assert KEY not in str([(row.before, row.after, row.object) for row in rows])
    assert any(row.after and row.after.get("fingerprint") for row in rows)


async def test_models_with_the_same_key_share_it_and_others_get_one_of_their_own(shop: Shop) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    await shop.add("OpenAI", "gpt-4o", api_key=KEY)
    await shop.add("OpenAI", "gpt-4o-mini")
    assert await shop.labels() == ["default"]
    await shop.add("OpenAI", "gpt-4", api_key=OTHER)
    assert await shop.labels() == ["default", "key-2"]
    ways = {way.ref.name: way.secret for way in await shop.registry.candidates(shop.id, ModelType.CHAT)}
    assert ways == {"gpt-4": OTHER, "gpt-4o": KEY, "gpt-4o-mini": KEY}
    await shop.registry.delete_model(shop.actor, shop.id, "OpenAI", "gpt-4")
    assert await shop.labels() == ["default"]


async def test_one_model_may_be_reached_by_several_keys(shop: Shop) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY, label="a", order=0, weight=2.0)
    await shop.add("OpenAI", "gpt-4", api_key=OTHER, label="b", order=1)
    ways = await shop.registry.candidates(shop.id, ModelType.CHAT, ModelRef("OpenAI", "gpt-4"))
    assert [(way.secret, way.order, way.weight) for way in ways] == [(KEY, 0, 2.0), (OTHER, 1, 1.0)]
    assert len({way.generation for way in ways}) == 2
    await shop.registry.delete_model(shop.actor, shop.id, "OpenAI", "gpt-4", label="a")
    assert len(await shop.registry.candidates(shop.id, ModelType.CHAT)) == 1


async def test_one_name_may_be_of_two_types(shop: Shop) -> None:
    await shop.add("Ollama", "llava", "chat", base_url="http://gpu:11434")
    await shop.add("Ollama", "llava", "image2text", base_url="http://gpu:11434")
    assert {model.type for model in await shop.registry.models(shop.id)} == {ModelType.CHAT, ModelType.IMAGE2TEXT}
    assert await shop.labels() == ["default"]


@pytest.mark.parametrize("label", [None, "default"])
async def test_a_changed_address_wants_the_key_again(shop: Shop, label: str | None) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    with pytest.raises(InvalidInput, match="enter the key again"):
        await shop.add("OpenAI", "gpt-4", base_url="https://thief.example/v1", label=label)
    with pytest.raises(InvalidInput, match="enter the key again"):
        await shop.add("OpenAI", "another", base_url="https://thief.example/v1")
    with pytest.raises(InvalidInput, match="enter the key again"):
        await shop.registry.draft_key(shop.id, KeyWish("OpenAI", {}, "https://thief.example/v1"))
    await shop.add("OpenAI", "gpt-4", base_url="https://api.openai.com/v1/")
    await shop.add("OpenAI", "gpt-4", api_key=OTHER, base_url="https://gateway.example/v1")
    [way] = await shop.registry.candidates(shop.id, ModelType.CHAT)
    assert (way.secret, way.base_url) == (OTHER, "https://gateway.example/v1")


async def test_a_key_that_cannot_be_read_is_a_state(shop: Shop, database: ControlDatabase) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    await shop.add("Ollama", "llama2", base_url="http://gpu:11434")
    stranger = registry_on(database, parse_keys(new_key_text(), "another"))
    states = {info.provider: info.key_state for info in await stranger.credentials(shop.id)}
    assert states == {"OpenAI": KEY_UNREADABLE, "Ollama": "none"}
    assert [way.ref.name for way in await stranger.candidates(shop.id, ModelType.CHAT)] == ["llama2"]
    assert [model.is_available for model in await stranger.models(shop.id)] == [True, False]
    lost = Shop(stranger, shop.id, shop.actor)
    with pytest.raises(InvalidInput, match="cannot be decrypted"):
        await lost.add("OpenAI", "gpt-4")
    await lost.add("OpenAI", "gpt-4", api_key=OTHER)
    assert {way.secret for way in await stranger.candidates(shop.id, ModelType.CHAT)} == {OTHER, ""}


async def test_a_sealed_key_opens_in_its_own_place_only(
    shop: Shop, database: ControlDatabase, keyring: KeyRing
) -> None:
    plane = ControlPlane.made_of(database, keyring)
    other = Shop(shop.registry, (await plane.directory.ensure("two", shop.actor)).id, shop.actor)
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    await other.add("OpenAI", "gpt-4", api_key=OTHER)
    async with database.begin() as session:
        stolen = await session.scalar(select(CredentialRow.secret).where(CredentialRow.workspace_id == shop.id))
        assert stolen is not None
        assert KEY not in stolen
        await session.execute(update(CredentialRow).where(CredentialRow.workspace_id == other.id).values(secret=stolen))
    [info] = await other.registry.credentials(other.id)
    assert info.key_state == KEY_UNREADABLE
    assert await other.registry.candidates(other.id, ModelType.CHAT) == []


async def test_two_who_change_one_key_at_once_do_not_mix(shop: Shop) -> None:
    await shop.add("OpenAI", "gpt-4", api_key=KEY)
    wish = ModelWish("OpenAI", "gpt-4", "chat", {"api_key": OTHER})
    early = await shop.registry.draft_model(shop.id, wish)
    await shop.add("OpenAI", "gpt-4", api_key="sk-third-0123456789ef")
    with pytest.raises(Conflict, match="changed meanwhile"):
        await shop.registry.save(shop.actor, early)


async def test_a_chain_has_no_doubles_and_embeddings_stay_the_same_model(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.add("OpenAI", name, api_key=KEY)
    await shop.add("VLLM", "BAAI/bge-m3", "embedding", base_url="http://gpu:8000", dimension=1024)
    await shop.add("Ollama", "bge-m3:latest", "embedding", base_url="http://gpu:11434")
    await shop.add("Ollama", "nomic-embed-text", "embedding", base_url="http://gpu:11434")
    set_defaults = shop.registry.set_defaults
    a, ollama = ModelRef("OpenAI", "a"), ModelRef("Ollama", "bge-m3:latest")
    await set_defaults(shop.actor, shop.id, {"chat": [a, ModelRef("OpenAI", "b")], "embedding": [BGE, ollama]})
    for slot, chain in (
        ("chat", [a, a]),
        ("embedding", [BGE, ModelRef("Ollama", "nomic-embed-text")]),
        ("chat", [BGE]),
        ("rerank", [a]),
    ):
        with pytest.raises(InvalidInput):
            await set_defaults(shop.actor, shop.id, {slot: chain})
    assert (await shop.registry.defaults(shop.id))["embedding"] == (BGE, ollama)


async def test_what_defaults_name_goes_only_by_force(shop: Shop) -> None:
    await shop.add("OpenAI", "a", api_key=KEY)
    await shop.add("OpenAI", "b", api_key=KEY)
    a, b = ModelRef("OpenAI", "a"), ModelRef("OpenAI", "b")
    await shop.registry.set_defaults(shop.actor, shop.id, {"chat": [a, b], "answer": [a]})
    with pytest.raises(ModelInUse) as raised:
        await shop.registry.delete_model(shop.actor, shop.id, "OpenAI", "a")
    assert raised.value.users == ["answer", "chat"]
    await shop.registry.delete_model(shop.actor, shop.id, "OpenAI", "a", force=True)
    assert await shop.registry.defaults(shop.id) == {"chat": (b,)}
    with pytest.raises(NotFound):
        await shop.registry.delete_model(shop.actor, shop.id, "OpenAI", "a")


async def test_operators_choose_the_providers(database: ControlDatabase, keyring: KeyRing) -> None:
    plane = ControlPlane.made_of(database, keyring)
    registry = ModelRegistry(plane, load_catalogue(), NetGuard(()), ["Ollama"])
    assert [one.name for one in registry.offered()] == ["Ollama"]
    with pytest.raises(InvalidInput, match="LLM factory OpenAI is not allowed"):
        await registry.draft_model("w", ModelWish("OpenAI", "gpt-4", "chat", {"api_key": KEY}))


async def test_a_key_for_a_provider_opens_all_its_models(shop: Shop) -> None:
    draft = await shop.registry.draft_key(shop.id, KeyWish("Cohere", {"api_key": KEY}))
    await shop.registry.save(shop.actor, draft, verified={ModelType.CHAT})
    models = await shop.registry.models(shop.id)
    provider = load_catalogue().get("Cohere")
    assert provider is not None
    assert len(models) == len(provider.models)
    assert {model.type for model in models if model.is_verified} == {ModelType.CHAT}
    await shop.registry.set_enabled(shop.actor, shop.id, "Cohere", models[0].ref.name, is_enabled=False)
    await shop.registry.save(shop.actor, await shop.registry.draft_key(shop.id, KeyWish("Cohere", {"api_key": OTHER})))
    after = await shop.registry.models(shop.id)
    assert len(after) == len(models)
    assert not after[0].is_enabled
