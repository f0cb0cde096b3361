"""Tenants who ask, enter keys and try models all the time, while the keys that guard their keys are replaced."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import random
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from lightrag.testing.model_server import ModelServer

from .server import PATIENCE, environment, run_command, until

FACTORY = "OpenAI-API-Compatible"
_CHAT = {"llm_name": "chatty", "model_type": "chat", "credential": "chat"}
_COMMANDS = Path(sys.executable).parent


@dataclasses.dataclass
class Tally:
    """What came of the calls."""

    calls: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)


class Tenants:
    """Users of several workspaces of a server, each with keys of its own."""

    def __init__(self, url: str, models: ModelServer, count: int) -> None:
        self._url = url
        self._models = models
        self.names = [f"w{number}" for number in range(count)]
        self.keys = {name: f"sk-{name}-first-0123456789" for name in self.names}
        """The key that was entered last, by workspace."""
        self.tally = Tally()
        self._client = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def set_up(self) -> None:
        """Give every workspace a chat model, an embedding model and a document."""
        await asyncio.gather(*(self._set_up(name) for name in self.names))

    async def work(self, ends: asyncio.Event, askers: int) -> None:
        """Ask, write and try in every workspace until the event."""

        async def again(what: str, name: str, call: Any) -> None:
            while not ends.is_set():
                try:
                    await call(name)
                except Exception as error:
                    self.tally.failures.append(f"{what} {name}: {type(error).__name__}: {error}")
                self.tally.calls[what] += 1

        async with asyncio.TaskGroup() as group:
            for name in self.names:
                for _ in range(askers):
                    group.create_task(again("question", name, self.ask))
                group.create_task(again("key", name, self.enter_key))
                group.create_task(again("trial", name, self.try_key))

    async def ask(self, name: str) -> None:
        """Ask a question that no answer is kept of; the workspace's own models answer."""
        question = f"What did Ada write, number {random.getrandbits(64)}?"
        answer = await self._post(name, "/query", {"query": question, "mode": "naive"})
        assert answer["response"], answer

    async def enter_key(self, name: str) -> None:
        """Enter another key for the workspace's chat model, and a model more."""
        key = f"sk-{name}-{random.getrandbits(64):016x}"
        await self._llm(name, "add_llm", api_key=key, **_CHAT, **self._at)
        self.keys[name] = key
        await self._llm(name, "set_api_key", api_key=key, unverified=True, credential="second", **self._at)

    async def try_key(self, name: str) -> None:
        """Try the stored key, and look at what is listed."""
        tried = await self._llm(name, "verify", llm_name="vectors", model_type="embedding")
        assert tried["success"], tried
        await self.check_readable(name)

    async def check_readable(self, name: str) -> None:
        """Look whether all keys can be read."""
        listed = (await self._get(name, "/llm/credentials"))["data"]
        states = {item["key_state"] for item in listed}
        assert states == {"set"}, listed

    async def check_keys_arrive(self) -> None:
        """Look whether the provider is sent the keys that were entered last, as soon as all processes know them."""

        async def arrives(name: str) -> bool:
            self._models.requests.clear()
            await self.ask(name)
            sent = {request.headers.get("authorization") for request in self._models.requests}
            return f"Bearer {self.keys[name]}" in sent

        for name in self.names:
            await until(lambda name=name: arrives(name))

    @property
    def _at(self) -> dict[str, str]:
        return {"api_base": self._models.openai_url}

    async def _set_up(self, name: str) -> None:
        key = self.keys[name]
        await self._llm(name, "add_llm", llm_name="vectors", model_type="embedding", api_key=key, **self._at)
        # A key of its own: the one of the other model does not change.
        await self._llm(name, "add_llm", api_key=key, **_CHAT, **self._at)
        await self._post(name, "/documents/text", {"text": f"Ada of {name} wrote a program.", "file_source": "a.txt"})

        async def is_there() -> bool:
            counts = (await self._get(name, "/documents/status_counts"))["status_counts"]
            return bool(counts.get("processed"))

        await until(is_there)

    async def _llm(self, name: str, route: str, **fields: Any) -> Any:
        answer = await self._post(name, f"/llm/{route}", {"llm_factory": FACTORY, **fields})
        assert answer["retcode"] == 0, answer
        return answer["data"]

    async def _post(self, name: str, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self._client.post(path, json=body, headers={"LIGHTRAG-WORKSPACE": name})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _get(self, name: str, path: str) -> Any:
        answer = await self._client.get(path, headers={"LIGHTRAG-WORKSPACE": name})
        assert answer.status_code == 200, answer.text
        return answer.json()


class Operator:
    """Replaces keys from the command line, in a process beside the server's."""

    def __init__(self, folder: Path, keys: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._keys = keys
        self._environ = dict(environ)

    async def rotate(self, *options: str) -> str:
        """Run `lightrag keys rotate` to its end, and drop the keys that are not needed any more."""
        status, out, err = await run_command(
            "lightrag", "keys", "rotate", *options, folder=self._folder, environ=self._environ
        )
        assert status == 0, out + err
        self._keys.write_text(self._keys.read_text().split()[0] + "\n")
        return out

    async def rotate_and_be_killed(self, told: str, *options: str) -> bool:
        """Run it and kill it as soon as it has printed `told`; tell whether that was before its end."""
        process = await asyncio.create_subprocess_exec(
            _COMMANDS / "lightrag",
            *("keys", "rotate", *options),
            cwd=self._folder,
            env=environment(self._environ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        async for line in process.stdout:
            if told in line.decode():
                process.send_signal(signal.SIGKILL)
        return await process.wait() == -signal.SIGKILL
