"""Separate what a reasoning model thinks from what it answers, where both arrive in one text.

Models write `<think>…</think>` (or `<thinking>`) before the answer, sometimes between its parts. A tag that opens the
answer starts thinking at once, closed or not. A tag further on is thinking only if it is closed, for an answer may
quote one; until then what follows it is held back.
"""

from __future__ import annotations

from enum import Enum

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"))
_OPENING = tuple(opening for opening, _ in _TAGS)


class _Mode(Enum):
    TEXT = 0
    THINKING = 1
    HELD = 2


class ThinkingSplitter:
    """Splits a text that arrives in pieces; leading white space of the answer is dropped."""

    def __init__(self) -> None:
        self._mode = _Mode.TEXT
        self._pending = ""
        self._searched = 0
        self._opening, self._closing = _TAGS[0]
        self._answered = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Take a piece; return the (answer, thinking) that is certain by now."""
        if self._mode is _Mode.TEXT and not self._pending and self._answered and "<" not in piece:
            return piece, ""  # the common case, at no cost
        self._pending += piece
        text, thinking = "", ""
        while True:
            if self._mode is _Mode.TEXT:
                part, changed = self._take_text()
                text += part
            else:
                part, changed = self._take_thinking()
                thinking += part
            if not changed:
                return text, thinking

    def finish(self) -> tuple[str, str]:
        """Return what was held back, as (answer, thinking)."""
        rest, self._pending = self._pending, ""
        if self._mode is _Mode.THINKING:
            return "", rest
        if self._mode is _Mode.HELD:
            rest = self._opening + rest
        return self._trimmed(rest), ""

    def _take_text(self) -> tuple[str, bool]:
        found = [(at, tags) for tags in _TAGS if (at := self._pending.find(tags[0])) >= 0]
        if not found:
            keep = max(_overlap(self._pending, opening) for opening in _OPENING)
            end = len(self._pending) - keep
            text, self._pending = self._trimmed(self._pending[:end]), self._pending[end:]
            return text, False
        at, (self._opening, self._closing) = min(found)
        text = self._trimmed(self._pending[:at])
        self._pending, self._searched = self._pending[at + len(self._opening) :], 0
        self._mode = _Mode.HELD if self._answered else _Mode.THINKING
        return text, True

    def _take_thinking(self) -> tuple[str, bool]:
        at = self._pending.find(self._closing, self._searched)
        if at >= 0:
            thinking, self._pending = self._pending[:at], self._pending[at + len(self._closing) :]
            self._mode = _Mode.TEXT
            return thinking, True
        if self._mode is _Mode.HELD:
            self._searched = max(0, len(self._pending) - len(self._closing))
            return "", False
        end = len(self._pending) - _overlap(self._pending, self._closing)
        thinking, self._pending = self._pending[:end], self._pending[end:]
        return thinking, False

    def _trimmed(self, text: str) -> str:
        if not self._answered:
            text = text.lstrip()
            self._answered = bool(text)
        return text


def split_thinking(text: str) -> tuple[str, str]:
    """Return (answer, thinking) of a whole text.

    Chat templates that write the opening tag themselves leave only the closing one in the answer; all before it is
    thinking then.
    """
    for opening, closing in _TAGS:
        before, found, after = text.partition(closing)
        if found and opening not in before:
            return after.lstrip(), before.strip()
    splitter = ThinkingSplitter()
    answer, thinking = splitter.feed(text)
    rest, more = splitter.finish()
    return answer + rest, (thinking + more).strip()


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` may be the start of `tag`."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
