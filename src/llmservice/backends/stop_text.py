"""Ends a text at the first stop sequence, though it may come in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Passes text on, holding back what may turn out to be the beginning of a stop sequence."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Return what of the text so far may be passed on, and whether a stop sequence has come."""
        if not self._stops:
            return text, False
        text = self._held + text
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max(self._overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def rest(self) -> str:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """Return the length of the longest end of the text that a stop sequence begins with."""
        most = min(len(text), len(stop) - 1)
        return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
