"""End an answer before the first of some texts, also where one arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.types import QueryResult


class StopCutter:
    """Passes an answer on up to the first stop text, which is left out. What may be the start of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.ended = False
        """Whether a stop text was met; nothing is passed on from then."""

    def feed(self, piece: str) -> str:
        """Take a piece; return what of the answer is certain."""
        if not self._stops or self.ended:
            return "" if self.ended else piece
        text = self._held + piece
        places = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if places:
            self.ended, self._held = True, ""
            return text[: min(places)]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return held

    def cut(self, text: str) -> str:
        """Return a whole answer up to the first stop text."""
        return self.feed(text) + self.finish()

    def cut_result(self, result: QueryResult) -> str:
        """Return the text of an answer up to the first stop text; the answer has ended there, not at a limit."""
        text = self.cut(result.text or "")
        if self.ended:
            result.outcome.finish_reason = "stop"
        return text


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` may be the start of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
