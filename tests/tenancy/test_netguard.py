"""Where base URLs may lead, and that clients connect to nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Sequence

import pytest

from lightrag.errors import ConfigurationError, ModelError
from lightrag.llm.contracts import ChatRequest, Message, Role
from lightrag.llm.network import MOST_BYTES, AddressRefused, AnswerTooLong, behind
from lightrag.llm.ollama_binding import OllamaChat
from lightrag.llm.openai_binding import OpenAIChat
from lightrag.llm.rerank_binding import HttpRerank
from lightrag.tenancy.netguard import NetGuard
from lightrag.testing.model_server import ModelServer

LOCAL = ("localhost", "127.0.0.1", "::1")
NEVER = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "224.0.0.1",
    "255.255.255.255",
    "metadata.google.internal",
    "METADATA.google.internal.",
]
PRIVATE = [
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "127.0.0.2",
    "100.64.0.1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
]


def leading_to(*addresses: str) -> NetGuard:
    """Return a guard for which every name leads to these addresses."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return NetGuard(LOCAL, resolve)


@pytest.mark.parametrize("host", NEVER)
@pytest.mark.parametrize("allowed", [(), ("*",), ("0.0.0.0/0", "::/0", "169.254.169.254", "metadata.google.internal")])
async def test_some_addresses_are_refused_whatever_the_operator_allows(host: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(AddressRefused):
        await NetGuard(allowed).addresses(host, 80)


@pytest.mark.parametrize("host", PRIVATE)
async def test_private_addresses_need_the_operators_leave(host: str) -> None:
    with pytest.raises(AddressRefused, match="LIGHTRAG_LLM_ALLOWED_HOSTS"):
        await NetGuard(LOCAL).addresses(host, 80)
    assert await NetGuard(("*",)).addresses(host, 80)


async def test_the_operator_allows_hosts_addresses_and_networks() -> None:
    assert await NetGuard(("10.0.0.0/8",)).addresses("10.1.2.3", 80) == ["10.1.2.3"]
    assert await NetGuard(LOCAL).addresses("localhost", 80)
    assert await NetGuard(("gpu.lan",), leading_to("10.0.0.5")._resolve).addresses("GPU.lan.", 80) == ["10.0.0.5"]
    assert await NetGuard(()).addresses("8.8.8.8", 443) == ["8.8.8.8"]
    with pytest.raises(ConfigurationError):
        NetGuard(("10.0.0.0/99",))


@pytest.mark.parametrize("spelt", ["2130706434", "0x7f000002", "127.2", "0177.0.0.2"])
async def test_other_spellings_of_an_address_are_that_address(spelt: str) -> None:
    with pytest.raises((AddressRefused, OSError)):
        await NetGuard(LOCAL).addresses(spelt, 80)


async def test_one_forbidden_address_of_a_name_refuses_the_name() -> None:
    with pytest.raises(AddressRefused):
        await leading_to("93.184.216.34", "169.254.169.254").check_url("https://rebind.example/v1")
    await leading_to("93.184.216.34").check_url("https://fine.example/v1")


async def ask(model: OpenAIChat | OllamaChat) -> str:
    """Ask a model."""
    try:
        return (await model.complete(ChatRequest((Message("user", "hi"),), Role.ANSWER))).text
    finally:
        await model.aclose()


async def test_clients_connect_to_the_address_that_was_judged() -> None:
    async with ModelServer() as server:
        port = server.url.rpartition(":")[2]
        with behind(NetGuard(("made-up.example",), leading_to("127.0.0.1")._resolve)):
            chat, ollama = (
                OpenAIChat("m", f"http://made-up.example:{port}/v1"),
                OllamaChat("m", f"http://made-up.example:{port}"),
            )
        assert await ask(chat)
        assert await ask(ollama)
        assert {one.headers["host"] for one in server.requests} == {f"made-up.example:{port}"}


async def test_a_name_that_changes_after_it_was_judged_is_judged_again() -> None:
    answers = [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    async with ModelServer() as server:
        guard = NetGuard((), resolve)
        url = f"http://rebind.example:{server.url.rpartition(':')[2]}/v1"
        await guard.check_url(url)
        with behind(guard):
            model = OpenAIChat("m", url)
        with pytest.raises(AddressRefused):
            await ask(model)
        assert server.requests == []


async def test_redirects_to_other_hosts_are_not_followed() -> None:
    async with ModelServer() as target:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 307 Temporary\r\nLocation: {target.url}/v1/chat/completions\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with behind(NetGuard(LOCAL)):
                models = [OpenAIChat("m", f"http://127.0.0.1:{port}/v1"), OllamaChat("m", f"http://127.0.0.1:{port}")]
            for model in models:
                with pytest.raises(ModelError):
                    await ask(model)
        assert target.requests == []


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_is_read_up_to_a_bound_however_it_is_packed(packed: bool) -> None:
    body = b'{"x": "' + b"A" * (MOST_BYTES + 1) + b'"}'
    sent = gzip.compress(body, 1) if packed else body
    encoding = b"Content-Encoding: gzip\r\n" if packed else b""

    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + encoding)
        writer.write(b"Content-Length: %d\r\n\r\n" % len(sent) + sent)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        with behind(NetGuard(LOCAL)):
            models: list[OpenAIChat | OllamaChat] = [OpenAIChat("m", f"{url}/v1"), OllamaChat("m", url)]
            reranker = HttpRerank("m", f"{url}/rerank", None, 30.0, dialect="generic")
        for model in models:
            with pytest.raises(AnswerTooLong):
                await ask(model)
        with pytest.raises(AnswerTooLong):
            await reranker.rerank("question", ["passage"], 1)
        await reranker.aclose()


async def test_packed_answers_are_unpacked() -> None:
    body = gzip.compress(b'{"choices": [{"message": {"content": "packed"}}]}')

    async def packer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"accept-encoding: gzip\r\n" in head.lower()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(packer, "127.0.0.1", 0) as listening:
        with behind(NetGuard(LOCAL)):
            model = OpenAIChat("m", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
        assert await ask(model) == "packed"
