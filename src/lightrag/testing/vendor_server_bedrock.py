"""The interface of Amazon Bedrock for the stand-in vendor server: Converse, its event streams, InvokeModel.

Signatures are checked against the published algorithm, with nothing of the signer under test.

Formats: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from lightrag.llm.contracts import FloatArray
from lightrag.testing.model_dialects import Answer
from lightrag.testing.vendor_server import CHAT, EMBEDDING, Understood, VendorRequest, plain_error, require

_STRING = 7


class BedrockVendor:
    """Bedrock's runtime for one account; `secret` is that of every access key."""

    stream_type = b"application/vnd.amazon.eventstream"

    def __init__(self, secret: str = "", region: str = "us-east-1") -> None:
        self._secret = secret
        self._region = region

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for."""
        words, body = request.words, request.body
        require(len(words) == 3 and words[0] == "model", 404, "UnknownOperationException")
        require(isinstance(body, dict), 400, "Malformed input request")
        model, action = words[1:]
        if action == "invoke":
            return Understood(EMBEDDING, self._embedding(model, body))
        require(action in {"converse", "converse-stream"}, 404, "UnknownOperationException")
        require(all(isinstance(item["content"], list) for item in body["messages"]), 400, "Malformed input request")
        messages = [{"role": item["role"], "content": _joined(item["content"])} for item in body["messages"]]
        if "system" in body:
            messages.insert(0, {"role": "system", "content": _joined(body["system"])})
        return Understood(CHAT, {"model": model, "messages": messages, "stream": action == "converse-stream"})

    def key(self, request: VendorRequest) -> str:
        """Return the API key, or the access key where the signature is right."""
        sent = request.headers.get("authorization", "")
        if not sent.startswith("AWS4-HMAC-SHA256 "):
            return sent.removeprefix("Bearer ")
        access_key = sent.partition("Credential=")[2].partition("/")[0]
        right = signature(request, self._secret, self._region)
        return access_key if hmac.compare_digest(sent.rpartition("Signature=")[2], right) else ""

    def wants_stream(self, body: dict[str, Any]) -> bool:
        """Tell whether the answer is to be sent in pieces."""
        return bool(body.get("stream"))

    def chat(self, model: str, answer: Answer) -> bytes:
        """Return a whole answer."""
        blocks: list[dict[str, Any]] = []
        if answer.thinking:
            blocks.append({"reasoningContent": {"reasoningText": {"text": answer.thinking}}})
        blocks.append({"text": answer.text})
        reply: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": _reason(answer),
            "metrics": {"latencyMs": 1},
        }
        if answer.usage is not None:
            reply["usage"] = _usage(answer)
        return orjson.dumps(reply)

    def events(self, body: dict[str, Any], answer: Answer, pieces: Sequence[str]) -> Iterator[bytes]:
        """Yield one frame per piece, the opening one before the first, and the closing ones together."""
        before = frame("messageStart", {"role": "assistant"})
        if answer.thinking:
            delta: dict[str, Any] = {"reasoningContent": {"text": answer.thinking}}
            before += frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta})
        for piece in pieces:
            yield before + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
            before = b""
        usage = {} if answer.usage is None else {"usage": _usage(answer)}
        yield (
            before
            + frame("contentBlockStop", {"contentBlockIndex": 0})
            + frame("messageStop", {"stopReason": _reason(answer)})
            + frame("metadata", {**usage, "metrics": {"latencyMs": 1}})
        )

    def headers(self, tokens: int) -> list[tuple[bytes, bytes]]:
        """Return the headers of vectors."""
        return [(b"x-amzn-bedrock-input-token-count", str(tokens).encode())]

    def embeddings(self, body: dict[str, Any], vectors: FloatArray, tokens: int) -> bytes:
        """Return vectors as the model that was asked for writes them."""
        if body["cohere"]:
            return orjson.dumps({"embeddings": {"float": vectors.tolist()}, "response_type": "embeddings_by_type"})
        return orjson.dumps({"embedding": vectors[0].tolist(), "inputTextTokenCount": tokens})

    def error(self, message: str, code: str | None) -> bytes:
        """Return what `failure` is told."""
        return plain_error(message, code)

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return an error object; its kind stands in a header, which no client needs."""
        return orjson.dumps({"message": message})

    @staticmethod
    def _embedding(model: str, body: dict[str, Any]) -> dict[str, Any]:
        if model.startswith("cohere."):
            require(body.get("input_type") in {"search_document", "search_query"}, 400, "input_type is required")
            return {"cohere": True, "input": body["texts"], "dimensions": body.get("output_dimension")}
        require(isinstance(body.get("inputText"), str), 400, "required key [inputText] not found")
        return {"cohere": False, "input": body["inputText"], "dimensions": body.get("dimensions")}


def signature(request: VendorRequest, secret: str, region: str) -> str:
    """Return the signature (version 4) that a request to Bedrock should carry."""
    fields = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signed = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in fields)
    canonical = "\n".join(
        (
            request.method,
            quote(request.path, safe="/-_.~"),  # escaped twice, as for all services but S3
            "",
            signed,
            ";".join(fields),
            hashlib.sha256(request.raw).hexdigest(),
        )
    )
    moment = request.headers["x-amz-date"]
    scope = f"{moment[:8]}/{region}/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def frame(kind: str, payload: dict[str, Any], *, message_type: str = "event") -> bytes:
    """Return a message of an event stream: lengths, headers, payload, each part with its checksum."""
    headers = _header(f":{message_type}-type", kind) + _header(":message-type", message_type)
    headers += _header(":content-type", "application/json")
    body = orjson.dumps(payload)
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    whole = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return whole + struct.pack("!I", binascii.crc32(whole))


def _header(name: str, value: str) -> bytes:
    return struct.pack(f"!B{len(name)}sBH", len(name), name.encode(), _STRING, len(value)) + value.encode()


def _joined(blocks: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in blocks)


def _reason(answer: Answer) -> str:
    return {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish_reason, answer.finish_reason)


def _usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.usage or (0, 0)
    return {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}
