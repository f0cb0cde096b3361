"""Sign requests to Amazon Bedrock and read its event streams, with botocore's signer and reader (extra `bedrock`).

botocore is what AWS keeps up to date: it knows every place where credentials may come from (environment, profiles,
single sign-on, roles of containers and machines) and how they are renewed. Its own transport is blocking, so that only
its signer is used, and requests go out through the asynchronous client that the other bindings have.

Format: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import orjson

from lightrag.llm.endpoint import Endpoint
from lightrag.llm.extras import imported
from lightrag.llm.http_client import HttpClient, bearer

SERVICE = "bedrock"
DEFAULT_REGION = "us-east-1"

_STATUSES = {
    "throttlingException": 429,
    "validationException": 400,
    "serviceUnavailableException": 503,
    "internalServerException": 500,
    "modelStreamErrorException": 500,
    "modelTimeoutException": 504,
}
"""Status of each kind of exception inside a stream."""


@dataclasses.dataclass(frozen=True, slots=True)
class AwsAccount:
    """Who asks, and where. Without keys botocore looks for credentials where AWS's own tools do."""

    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = dataclasses.field(default="", repr=False)
    session_token: str = dataclasses.field(default="", repr=False)
    profile: str = ""


def bedrock_host(account: AwsAccount) -> str:
    """Return the address of Bedrock in the account's region."""
    return f"https://bedrock-runtime.{account.region or DEFAULT_REGION}.amazonaws.com"


def bedrock_client(
    url: str, api_key: str | None, account: AwsAccount, timeout: float | None, endpoint: Endpoint
) -> HttpClient:
    """Return a client whose requests carry the Bedrock API key, or else are signed for the account."""
    if api_key:
        return HttpClient(url, timeout, endpoint, bearer(api_key))
    return HttpClient(url, timeout, endpoint, authorise=_Signer(account, endpoint).headers)


class _Signer:
    def __init__(self, account: AwsAccount, endpoint: Endpoint) -> None:
        self._account = account
        self._endpoint = endpoint
        self._credentials: Any = None

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Return the headers of a signed request; in a thread, for credentials may have to be fetched or renewed."""
        return await asyncio.to_thread(self._sign, method, url, body)

    def _sign(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        auth = imported("botocore.auth", "bedrock", "LLM_BINDING=bedrock")
        awsrequest = imported("botocore.awsrequest", "bedrock", "LLM_BINDING=bedrock")
        exceptions = imported("botocore.exceptions", "bedrock", "LLM_BINDING=bedrock")
        request = awsrequest.AWSRequest(method, url, data=body, headers={"content-type": "application/json"})
        try:
            if self._credentials is None:
                self._credentials = self._found()
            frozen = self._credentials.get_frozen_credentials()
            auth.SigV4Auth(frozen, SERVICE, self._account.region or DEFAULT_REGION).add_auth(request)
        except exceptions.BotoCoreError as error:
            raise self._endpoint.no_access(f"there are no AWS credentials ({error})", _ADVICE) from None
        return dict(request.headers.items())

    def _found(self) -> Any:
        account = self._account
        if account.access_key_id:
            credentials = imported("botocore.credentials", "bedrock", "LLM_BINDING=bedrock")
            return credentials.Credentials(
                account.access_key_id, account.secret_access_key, account.session_token or None
            )
        session = imported("botocore.session", "bedrock", "LLM_BINDING=bedrock").Session(
            profile=account.profile or None
        )
        found = session.get_credentials()
        if found is None:
            raise self._endpoint.no_access("there are no AWS credentials", _ADVICE)
        return found


_ADVICE = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a Bedrock API key as LLM_BINDING_API_KEY"


async def stream_events(pieces: AsyncIterator[bytes], endpoint: Endpoint) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """Yield (kind, payload) of each event of a stream; raises the error that an exception in it stands for."""
    eventstream = imported("botocore.eventstream", "bedrock", "LLM_BINDING=bedrock")
    buffer = eventstream.EventStreamBuffer()
    async for piece in pieces:
        buffer.add_data(piece)
        try:
            for message in buffer:
                yield _event(message, endpoint)
        except (eventstream.ParserError, ValueError, LookupError) as error:
            raise endpoint.unusable("the server sent what is not an event stream") from error


def _event(message: Any, endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    headers = message.headers
    payload = orjson.loads(message.payload or b"{}")
    if headers.get(":message-type") == "event":
        return str(headers[":event-type"]), payload
    kind = str(headers.get(":exception-type") or headers.get(":error-code"))
    detail = payload.get("message") or headers.get(":error-message") or ""
    raise endpoint.from_status(_STATUSES.get(kind, 500), orjson.dumps({"message": f"{kind}: {detail}"}).decode())
