"""Models that write down recordings, and models that speak.

Formats: https://platform.openai.com/docs/api-reference/audio, https://docs.fish.audio/api-reference,
https://help.aliyun.com/en/model-studio/qwen-asr-api-reference, https://help.aliyun.com/en/model-studio/qwen-tts-api
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from lightrag.llm.contracts import ModelFacts
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.http_client import HttpClient

_DASHSCOPE = "/services/aigc/multimodal-generation/generation"
OPENAI_VOICE, DASHSCOPE_VOICE = "alloy", "Cherry"


class SpeechToText(Protocol):
    """A model that writes down recordings."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def transcribe(self, recording: bytes, media_type: str = "audio/wav", *, language: str = "") -> str:
        """Return what is said in a recording; the empty string where nothing is. Raises `ModelError`."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class TextToSpeech(Protocol):
    """A model that speaks."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        ...

    async def speak(self, text: str, *, voice: str = "") -> bytes:
        """Return a recording of a text, in the server's usual format. Raises `ModelError`."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class _Client:
    def __init__(self, facts: ModelFacts, client: HttpClient, endpoint: Endpoint, query: str = "") -> None:
        self._facts = facts
        self._client = client
        self._endpoint = endpoint
        self._query = query

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    def _sound(self, raw: bytes) -> bytes:
        if len(raw) < 16 or raw[:1] == b"{":
            raise self._endpoint.unusable("the answer holds no recording")
        return raw


class OpenAITranscription(_Client):
    """Recordings at `/audio/transcriptions`."""

    async def transcribe(self, recording: bytes, media_type: str = "audio/wav", *, language: str = "") -> str:
        """Return what is said in a recording; the empty string where nothing is. Raises `ModelError`."""
        fields = {"model": self._facts.name, "response_format": "json"} | ({"language": language} if language else {})
        content, content_type = _form(fields, recording, media_type)
        raw = await self._client.send(f"/audio/transcriptions{self._query}", content, content_type)
        try:
            return str(orjson.loads(raw)["text"])
        except (ValueError, LookupError, TypeError) as error:
            raise self._endpoint.unusable("the answer holds no transcript") from error


class DashScopeTranscription(_Client):
    """Recordings at Alibaba Cloud's DashScope (`qwen3-asr-flash`)."""

    async def transcribe(self, recording: bytes, media_type: str = "audio/wav", *, language: str = "") -> str:
        """Return what is said in a recording; the empty string where nothing is. Raises `ModelError`."""
        sound = f"data:{media_type};base64,{base64.b64encode(recording).decode()}"
        body: dict[str, Any] = {
            "model": self._facts.name,
            "input": {"messages": [{"role": "user", "content": [{"audio": sound}]}]},
        }
        if language:
            body["parameters"] = {"asr_options": {"language": language}}
        raw = await self._client.post(_DASHSCOPE, body)
        try:
            content = orjson.loads(raw)["output"]["choices"][0]["message"]["content"]
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._endpoint.unusable("the answer holds no transcript") from error


class OpenAISpeech(_Client):
    """Speech at `/audio/speech`, as MP3."""

    async def speak(self, text: str, *, voice: str = "") -> bytes:
        """Return a recording of a text. Raises `ModelError`."""
        body = {"model": self._facts.name, "input": text, "voice": voice or OPENAI_VOICE, "response_format": "mp3"}
        return self._sound(await self._client.post(f"/audio/speech{self._query}", body))


class FishSpeech(_Client):
    """Speech of Fish Audio, as MP3; the base URL is the address of the interface, and voices are references."""

    async def speak(self, text: str, *, voice: str = "") -> bytes:
        """Return a recording of a text. Raises `ModelError`."""
        body = {"text": text, "format": "mp3"} | ({"reference_id": voice} if voice else {})
        return self._sound(await self._client.post("", body))


class DashScopeSpeech(_Client):
    """Speech at Alibaba Cloud's DashScope (`qwen-tts`), as WAV: what comes back is a recording, or where it lies.

    `files` makes a client for the latter: the vendor's stores are hosts of their own, and get no key.
    """

    def __init__(
        self, facts: ModelFacts, client: HttpClient, endpoint: Endpoint, files: Callable[[], HttpClient]
    ) -> None:
        super().__init__(facts, client, endpoint)
        self._files = files

    async def speak(self, text: str, *, voice: str = "") -> bytes:
        """Return a recording of a text. Raises `ModelError`."""
        body = {"model": self._facts.name, "input": {"text": text, "voice": voice or DASHSCOPE_VOICE}}
        raw = await self._client.post(_DASHSCOPE, body)
        try:
            audio: Mapping[str, Any] = orjson.loads(raw)["output"]["audio"]
            if audio.get("data"):
                return self._sound(base64.b64decode(str(audio["data"])))
            url = str(audio["url"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._endpoint.unusable("the answer holds no recording") from error
        files = self._files()
        try:
            return self._sound(await files.get(url))
        finally:
            await files.aclose()


def _form(fields: Mapping[str, str], recording: bytes, media_type: str) -> tuple[bytes, str]:
    """Return a form with a file as its body and content type (RFC 7578)."""
    boundary = secrets.token_hex(16)
    kind = media_type.split("/")[-1].removeprefix("x-").split(";")[0]
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="recording.{kind}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n".encode()
        + recording
        + b"\r\n"
    )
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
