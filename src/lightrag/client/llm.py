"""The models of a workspace: providers, keys, models, defaults. Methods return the `data` of the answers' envelope."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from lightrag.client.decoding import plain
from lightrag.client.errors import LLMError, ServerError
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint
from lightrag.client.requests import Wish, given

T = TypeVar("T")

UsagePart = Literal["day", "provider", "model", "type", "token"]
ModelKind = Literal["chat", "embedding", "rerank", "image2text", "speech2text", "tts"]
Key = str | Mapping[str, Any]
"""A key, or the several fields that some providers want for one."""


def unwrapped(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a reader of envelopes that reads their `data`; it raises `LLMError` for a code other than 0."""

    def read_data(body: Any) -> T:
        envelope = plain(body)
        code = envelope.get("code", envelope.get("retcode"))
        if not isinstance(code, int):
            raise ServerError("The server's answer has no code", body=body)
        if code:
            message = str(envelope.get("message") or envelope.get("retmsg") or "The server gave no reason")
            raise LLMError(code, message, status=200, body=body)
        return read(envelope.get("data"))

    return read_data


def _rows(data: Any) -> list[dict[str, Any]]:
    return [plain(row) for row in data or []]


def _as_is(data: Any) -> Any:
    return data


class LlmCalls(Part):
    """Calls on the models of a workspace."""

    @endpoint("GET", "/llm/factories", unwrapped(_rows))
    def factories(self) -> Wish:
        """Return the providers: `name`, `model_types`, `fields` that their keys consist of, and more."""
        return Wish()

    @endpoint("POST", "/llm/add_llm", unwrapped(_as_is))
    def add_llm(
        self,
        /,
        llm_factory: str,
        llm_name: str,
        model_type: ModelKind,
        api_key: Key | None = None,
        api_base: str | None = None,
        max_tokens: int | None = None,
        **provider_fields: Any,
    ) -> Wish:
        """Add a model, or change one, after it has answered; returns True.

        `max_tokens`: its context window. `provider_fields`: `credential`, `dimension`, `order`, `weight`, `price_in`,
        `unverified`, and what the provider wants, such as `api_version`. Raises `LLMError` where it does not answer.
        """
        key = given(api_key=api_key, api_base=api_base, max_tokens=max_tokens)
        return Wish(json=_model(llm_factory, llm_name, model_type) | key | provider_fields)

    @endpoint("POST", "/llm/set_api_key", unwrapped(_as_is))
    def set_api_key(
        self, /, llm_factory: str, api_key: Key, base_url: str | None = None, **provider_fields: Any
    ) -> Wish:
        """Set a provider's key for all its models that the catalogue knows, after one of them has answered."""
        return Wish(json={"llm_factory": llm_factory, "api_key": api_key} | given(base_url=base_url) | provider_fields)

    @endpoint("POST", "/llm/verify", unwrapped(plain))
    def verify(
        self,
        /,
        llm_factory: str,
        llm_name: str | None = None,
        model_type: ModelKind | None = None,
        api_key: Key | None = None,
        api_base: str | None = None,
        **provider_fields: Any,
    ) -> Wish:
        """Try a key, or a model, and store nothing: `success`, `message`, and the `outcomes` of the calls."""
        tried = given(llm_name=llm_name, model_type=model_type, api_key=api_key, api_base=api_base)
        return Wish(json={"llm_factory": llm_factory} | tried | provider_fields)

    @endpoint("POST", "/llm/delete_llm", unwrapped(bool))
    def delete_llm(
        self,
        llm_factory: str,
        llm_name: str,
        *,
        model_type: ModelKind | None = None,
        credential: str | None = None,
        force: bool | None = None,
    ) -> Wish:
        """Remove a model. Raises `Conflict` where defaults name it; `force` takes it out of them."""
        return Wish(json=_model(llm_factory, llm_name, model_type) | given(credential=credential, force=force))

    @endpoint("POST", "/llm/enable_llm", unwrapped(bool))
    def enable_llm(
        self,
        llm_factory: str,
        llm_name: str,
        status: str | int | bool = "1",
        *,
        model_type: ModelKind | None = None,
    ) -> Wish:
        """Switch a model on (`"1"`) or off (`"0"`)."""
        switch = str(int(status)) if isinstance(status, bool | int) else status
        return Wish(json=_model(llm_factory, llm_name, model_type) | {"status": switch})

    @endpoint("POST", "/llm/delete_factory", unwrapped(bool))
    def delete_factory(self, llm_factory: str, *, force: bool | None = None) -> Wish:
        """Remove a provider with all its keys and models."""
        return Wish(json={"llm_factory": llm_factory} | given(force=force))

    @endpoint("GET", "/llm/list", unwrapped(plain))
    def list(self, model_type: ModelKind | None = None) -> Wish:
        """Return the models by provider; `available`: switched on, with a key that can be read."""
        return Wish(params=given(model_type=model_type))

    @endpoint("GET", "/llm/my_llms", unwrapped(plain))
    def my_llms(self, include_details: bool = False) -> Wish:
        """Return the models by provider with the tokens they have used; in detail also addresses and keys' states."""
        return Wish(params={"include_details": "true"} if include_details else {})

    @endpoint("GET", "/llm/defaults", unwrapped(plain))
    def defaults(self) -> Wish:
        """Return the models by slot (a type of model, or a role of chat), as `name@provider`, first choice first."""
        return Wish()

    @endpoint("PUT", "/llm/defaults", unwrapped(bool), is_repeatable=True)
    def set_defaults(self, /, **slots: str | Sequence[str] | None) -> Wish:
        """Set the models of slots: `set_defaults(chat="gpt-4@OpenAI", answer=None)`; the others stay as they are."""
        return Wish(json={name: value if isinstance(value, str | None) else [*value] for name, value in slots.items()})

    @endpoint("GET", "/llm/effective", unwrapped(plain))
    def effective(self) -> Wish:
        """Return the models that serve each role at this moment, and where the choice came from."""
        return Wish()

    @endpoint("GET", "/llm/credentials", unwrapped(_rows))
    def credentials(self) -> Wish:
        """Return the workspace's keys: where they are used, their ends and fingerprints, never themselves."""
        return Wish()

    @endpoint("PUT", "/llm/credentials", unwrapped(_as_is))
    def put_credential(
        self,
        /,
        llm_factory: str,
        credential: str,
        api_key: Key | None = None,
        api_base: str | None = None,
        **provider_fields: Any,
    ) -> Wish:
        """Add or change a key of a provider under a label of its own, after a model has answered to it."""
        named = {"llm_factory": llm_factory, "credential": credential}
        return Wish(json=named | given(api_key=api_key, api_base=api_base) | provider_fields)

    @endpoint("DELETE", "/llm/credentials", unwrapped(bool))
    def delete_credential(self, llm_factory: str, credential: str, *, force: bool | None = None) -> Wish:
        """Remove a key with the models that it serves."""
        forced = {"force": "true"} if force else {}
        return Wish(params={"llm_factory": llm_factory, "credential": credential} | forced)

    @endpoint("GET", "/llm/usage", unwrapped(plain))
    def usage(
        self,
        by: Sequence[UsagePart] = ("day", "model"),
        *,
        since: datetime.date | str | None = None,
        until: datetime.date | str | None = None,
    ) -> Wish:
        """Return what the workspace has used: rows under `usage`, their sum under `total`; days are of UTC."""
        days = {name: str(day) for name, day in given(since=since, until=until).items()}
        return Wish(params={"by": ",".join(by), **days})

    @endpoint("GET", "/llm/usage/entries", unwrapped(_rows))
    def usage_entries(self, limit: int | None = None, *, before: int | None = None) -> Wish:
        """Return calls one by one, the newest first; `before`: microseconds since 1970, as `at` of the entries."""
        return Wish(params=given(limit=limit, before=before))

    @endpoint("GET", "/llm/limits", unwrapped(plain))
    def limits(self) -> Wish:
        """Return the limits of the workspace with what is used of them, by kind."""
        return Wish()

    @endpoint("PUT", "/llm/limits", unwrapped(plain), is_repeatable=True)
    def set_limits(self, /, *, force: bool | None = None, **limits: float | None) -> Wish:
        """Set limits of the workspace: `set_limits(tokens_per_day=500_000)`; None for no limit.

        Raises `Conflict` for one below what is used already; `force` insists. Returns all limits.
        """
        return Wish(json=limits | given(force=force))

    @endpoint("GET", "/llm/health", unwrapped(plain))
    def health(self) -> Wish:
        """Return how the models of the workspace are, as the calls that were made show it."""
        return Wish()

    @endpoint("POST", "/llm/re_embed", unwrapped(plain))
    def re_embed(self, model: str | None = None) -> Wish:
        """Change the embedding model of a workspace that holds documents, in the background; returns how far that is.

        `model`: `name@provider`; None takes the workspace's default. The present vectors serve until all are made.
        """
        return Wish(json=given(model=model))

    @endpoint("GET", "/llm/re_embed", unwrapped(plain))
    def re_embedding(self) -> Wish:
        """Return how far the change of the embedding model is: `state`, `progress` (0 to 1), `error`."""
        return Wish()

    @endpoint("DELETE", "/llm/re_embed", unwrapped(plain))
    def cancel_re_embedding(self) -> Wish:
        """Give the change of the embedding model up; the present vectors stay."""
        return Wish()


class Llm(LlmCalls, SyncPart):
    """The models of a workspace."""


class AsyncLlm(LlmCalls, AsyncPart):
    """The models of a workspace."""


def _model(llm_factory: str, llm_name: str, model_type: str | None) -> dict[str, Any]:
    return {"llm_factory": llm_factory, "llm_name": llm_name} | given(model_type=model_type)
