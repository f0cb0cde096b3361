"""Separate what a reasoning model thinks from what it answers, where both arrive in one text.

Models write `<think>…</think>` (or `<thinking>`) before the answer, sometimes between its parts. A tag that opens the
answer starts thinking at once, closed or not. A tag further on is thinking only if it is closed, for an answer may
quote one; until then what follows it is held back.

Where a chat template writes the opening tag itself, the text begins with thoughts and holds the closing tag alone. Of a
whole text all before it is thinking. Of a stream that shows only when the tag comes; to hold back every answer until
then would take their streams from models that do not think. So what one answer showed is remembered for the next ones
(`ThinkingHabit`): the first such stream takes back what it passed on as text, later ones pass it on as thinking.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"))
_OPENING = tuple(opening for opening, _ in _TAGS)
_CLOSING = tuple(closing for _, closing in _TAGS)
_QUOTES = frozenset("`'\"“‘«(")
_BLANKS = frozenset(" \t")
_GOES_ON = frozenset(" \t,.;:)")
_MISSES = 3


class ThinkingHabit:
    """Remembers of one model whether it closes thinking that it never opened."""

    def __init__(self) -> None:
        self._misses = _MISSES

    @property
    def is_expected(self) -> bool:
        """Whether the next answer is taken to begin with thoughts: one of the last three did."""
        return self._misses < _MISSES

    def met(self) -> None:
        """Note an answer that began with thoughts."""
        self._misses = 0

    def missed(self) -> None:
        """Note an answer that did not."""
        self._misses = min(self._misses + 1, _MISSES)


class _Mode(Enum):
    TEXT = 0
    THINKING = 1
    HELD = 2
    EXPECTED = 3
    """Thoughts, if the habit holds."""


class ThinkingSplitter:
    """Splits a text that arrives in pieces; leading white space of the answer is dropped.

    `unlearns`: an answer without thoughts speaks against the habit; not so where a server was bound to write JSON.
    """

    def __init__(self, habit: ThinkingHabit | None = None, *, unlearns: bool = True) -> None:
        self._habit = habit or ThinkingHabit()
        self._unlearns = unlearns
        self._mode = _Mode.EXPECTED if self._habit.is_expected else _Mode.TEXT
        self._pending = ""
        self._searched = 0
        self._opening, self._closing = _TAGS[0]
        self._answered = False
        self._passed_on = False
        """Text was returned by an earlier call."""
        self._last = ""
        """The last character of the text so far."""
        self._told_apart = False
        """A block of thinking was met, or the server sends thinking by itself: a closing tag is no more than text."""
        self._met = False
        self._expected: list[str] = []
        """What was returned as thinking because it was expected to be."""
        self.takes_back = False
        """Whether, by the last call, all text that was returned before it is thinking."""
        self.was_mistaken = False
        """Whether, at the end, all that was returned as thinking is the answer, which was returned then."""

    def feed(self, piece: str) -> tuple[str, str]:
        """Take a piece; return the (answer, thinking) that is certain by now. See `takes_back`."""
        if self._mode is _Mode.TEXT and not self._pending and self._answered and "<" not in piece:
            self.takes_back = False
            self._last = piece[-1:] or self._last
            return piece, ""  # the common case, at next to no cost
        self._pending += piece
        return self._advance(final=False)

    def tell_apart(self) -> None:
        """Note that the server sends thinking by itself, so that what it sends as text is the answer."""
        self._told_apart = True
        if self._mode is _Mode.EXPECTED and not self._expected:
            self._mode = _Mode.TEXT

    def finish(self, *, cut: bool = False) -> tuple[str, str]:
        """Return what was held back, as (answer, thinking).

        `cut` tells that the answer was cut off: expected thoughts that were not closed are thoughts. Otherwise they are
        the answer after all, and returned as that once more.
        """
        text, thinking = self._advance(final=True)
        rest, self._pending = self._pending, ""
        if self._unlearns and not self._met and not cut:
            self._habit.missed()
        if self._mode is _Mode.EXPECTED and not cut:
            self.was_mistaken = True
            return self._trimmed("".join(self._expected)), ""
        if self._mode in (_Mode.THINKING, _Mode.EXPECTED):
            return text, thinking + rest
        if self._mode is _Mode.HELD:
            rest = self._opening + rest
        return text + self._trimmed(rest), thinking

    def _advance(self, *, final: bool) -> tuple[str, str]:
        text, thinking, self.takes_back = "", "", False
        changed = True
        while changed:
            if self._mode is _Mode.TEXT:
                part, thought, changed = self._take_text(final=final)
                if thought is not None:
                    thinking, text, self.takes_back = thinking + text + thought, "", self._passed_on
                text += part
            elif self._mode is _Mode.EXPECTED:
                part, changed = self._take_expected(final=final)
                thinking += part
            else:
                part, changed = self._take_thinking()
                thinking += part
        self._passed_on = bool(text) or (self._passed_on and not self.takes_back)
        return text, thinking

    def _take_text(self, *, final: bool) -> tuple[str, str | None, bool]:
        """Return text, thoughts that end here without having been opened, and whether there is more to take."""
        opens = min(((at, tags) for tags in _TAGS if (at := self._pending.find(tags[0])) >= 0), default=None)
        closes = min(_places(self._pending, _CLOSING), default=None)
        if closes is not None and (opens is None or closes[0] < opens[0]):
            return self._take_lone_tag(*closes, final=final)
        if opens is None:
            keep = 0 if final else max(_overlap(self._pending, tag) for tag in (*_OPENING, *_CLOSING))
            return self._cut_off(len(self._pending) - keep), None, False
        at, (self._opening, self._closing) = opens
        text = self._cut_off(at)
        self._pending, self._searched = self._pending[len(self._opening) :], 0
        self._mode = _Mode.HELD if self._answered else _Mode.THINKING
        return text, None, True

    def _take_lone_tag(self, at: int, tag: str, *, final: bool) -> tuple[str, str | None, bool]:
        if not self._answered and not self._pending[:at].strip():
            self._pending = self._pending[at + len(tag) :]  # left over by who took the thoughts away
            return "", None, True
        closes = False if self._told_apart else _closes(self._pending, at, tag, self._last, final=final)
        if closes is None:
            return self._cut_off(at), None, False
        if not closes:
            return self._cut_off(at + len(tag)), None, True
        thought, self._pending = self._pending[:at], self._pending[at + len(tag) :]
        self._note_met()
        return "", thought, True

    def _take_expected(self, *, final: bool) -> tuple[str, bool]:
        if not self._expected:
            begun = self._pending.lstrip()
            if any(begun.startswith(opening) for opening in _OPENING):
                self._mode = _Mode.TEXT
                return "", True
            if not final and any(opening.startswith(begun) for opening in _OPENING):
                return "", False
        before = self._expected[-1][-1] if self._expected else ""
        for at, tag in sorted(_places(self._pending, _CLOSING)):
            closes = _closes(self._pending, at, tag, before, final=final)
            if closes is None:
                return self._expect(at), False
            if closes:
                thought, self._pending = self._pending[:at], self._pending[at + len(tag) :]
                self._mode = _Mode.TEXT
                self._note_met()
                return thought, True
            return self._expect(at + len(tag)), True
        keep = 0 if final else max(_overlap(self._pending, tag) for tag in _CLOSING)
        return self._expect(len(self._pending) - keep), False

    def _take_thinking(self) -> tuple[str, bool]:
        at = self._pending.find(self._closing, self._searched)
        if at >= 0:
            thinking, self._pending = self._pending[:at], self._pending[at + len(self._closing) :]
            self._mode, self._told_apart = _Mode.TEXT, True
            return thinking, True
        if self._mode is _Mode.HELD:
            self._searched = max(0, len(self._pending) - len(self._closing))
            return "", False
        end = len(self._pending) - _overlap(self._pending, self._closing)
        thinking, self._pending = self._pending[:end], self._pending[end:]
        return thinking, False

    def _note_met(self) -> None:
        self._met = self._told_apart = True
        self._answered, self._last = False, ""
        self._habit.met()

    def _expect(self, end: int) -> str:
        part, self._pending = self._pending[:end], self._pending[end:]
        if part:
            self._expected.append(part)
        return part

    def _cut_off(self, end: int) -> str:
        text, self._pending = self._trimmed(self._pending[:end]), self._pending[end:]
        return text

    def _trimmed(self, text: str) -> str:
        if not self._answered:
            text = text.lstrip()
            self._answered = bool(text)
        self._last = text[-1:] or self._last
        return text


def split_thinking(
    text: str, habit: ThinkingHabit | None = None, *, apart: bool = False, cut: bool = False, unlearns: bool = True
) -> tuple[str, str]:
    """Return (answer, thinking) of a whole text.

    `apart`: the server has sent thinking by itself. `cut`: the text was cut off. `unlearns`: as of `ThinkingSplitter`.
    """
    splitter = ThinkingSplitter(habit, unlearns=unlearns)
    if apart:
        splitter.tell_apart()
    answer, thinking = splitter.feed(text)
    rest, more = splitter.finish(cut=cut)
    if splitter.takes_back:
        answer, thinking = "", thinking + answer
    elif splitter.was_mistaken:
        thinking = ""
    return answer + rest, (thinking + more).strip()


def _places(text: str, tags: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield the first place of each tag that is there."""
    return ((at, tag) for tag in tags if (at := text.find(tag)) >= 0)


def _closes(text: str, at: int, tag: str, before: str, *, final: bool) -> bool | None:
    """Tell whether a lone tag ends thoughts, or is quoted in a sentence; None as long as the next character is needed.

    `before`: the character before the text. `final`: no more of it comes.
    """
    previous = text[at - 1] if at else before
    if previous in _QUOTES:
        return False
    if previous not in _BLANKS:
        return True
    following = text[at + len(tag) : at + len(tag) + 1]
    if not following and not final:
        return None
    return following not in _GOES_ON


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` may be the start of `tag`."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
