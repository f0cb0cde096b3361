"""The events of a streamed answer, with whether the server marked their end.

Importing this imports OpenAI's SDK.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from openai import AsyncStream

if TYPE_CHECKING:
    from openai._streaming import ServerSentEvent

END_MARK = "[DONE]"


class Events(AsyncStream[object]):
    """Decoded events. The SDK's own stream ends alike at the end mark and where a connection was closed early."""

    is_complete = False
    """Whether the end mark has come."""

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            self.is_complete = self.is_complete or event.data.startswith(END_MARK)
            yield event
