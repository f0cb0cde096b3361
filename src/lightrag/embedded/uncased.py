"""Finds names and key words in scripts without capital letters: Chinese by dictionary, others by form."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator

from lightrag.embedded.names import Found
from lightrag.text.scripts import HAN, HANGUL, HIRAGANA, KATAKANA, SOUTH_EAST, is_chinese

_TITLE = re.compile(r"《([^》\n]{1,40})》|『([^』\n]{1,40})』")
_KINDS = {"nr": "person", "nrt": "person", "nrfg": "person", "ns": "location", "nt": "organization", "nz": "concept"}
_NOUNS = frozenset({"n", "vn", "an", "nz", "ns", "nt", "l", "b", "ng"})
_ENDINGS = {
    "organization": "集团 公司 大学 学院 研究所 委员会 银行 协会 医院 组织 部门",
    "location": "省 市 县 区 州 国 岛 山 河 江 湖 海 路 街道 村 镇",
    "event": "战争 战役 革命 运动 奥运会 会议 事件 起义",
}
_SUFFIXES = {suffix: kind for kind, suffixes in _ENDINGS.items() for suffix in suffixes.split()}
_JAPANESE = re.compile(rf"[{KATAKANA}]{{3,}}|[{HAN}]{{2,}}(?:[{KATAKANA}]{{2,}})?")
_KOREAN = re.compile(f"[{HANGUL}]{{2,}}")
_KOREAN_PARTICLES = re.compile(
    "(?:에서는|으로는|에게서|에서|에게|으로|까지|부터|처럼|보다|이라는|라는|은|는|이|가|을|를|의|에|로|와|과|도|만)$"
)
_KOREAN_VERB = re.compile("(?:다|했다|한다|된다|이다|있다|없다|하는|되는|하고|하여|해서|있는)$")
_CASED = "A-Za-z\u00c0-\u024f\u0370-\u058f\u1e00-\u1fff"
_OTHER_LETTER = rf"[^\W\d_{_CASED}{HAN}{HIRAGANA}{KATAKANA}{HANGUL}{SOUTH_EAST}]"
_SPACED = re.compile(rf"{_OTHER_LETTER}(?:[^\s.,;:!?()\[\]«»\"'،؛؟।॥۔]){{2,}}")
MIN_KEY_CHARS = 4

Tagger = Callable[[str], list[tuple[str, str]]]


def finder_for(text: str) -> Callable[[str], list[Found]] | None:
    """Return what finds names in a sentence of this text's script, or None where the script has capital letters."""
    if is_chinese(text):
        tag = chinese_tagger()
        return functools.partial(_chinese, tag, Counter(word for word, _ in tag(text)))
    if re.search(f"[{HIRAGANA}{KATAKANA}]", text):
        return _japanese
    if _KOREAN.search(text):
        return _korean
    if _SPACED.search(text):
        return functools.partial(_spaced, Counter(_SPACED.findall(text)))
    return None


def chinese_tagger() -> Tagger:
    """Return the part-of-speech tagger; its dictionary is loaded by the first sentence that is tagged."""
    # Imported on first use: a server that never meets Chinese does not pay for the dictionary.
    import rjieba

    tag: Tagger = rjieba.tag
    return tag


def _chinese(tag: Tagger, counts: Counter[str], sentence: str) -> list[Found]:
    found = list(_titles(sentence))
    position = 0
    run: list[tuple[int, str, str]] = []
    for word, flag in tag(sentence):
        start = sentence.index(word, position)
        position = start + len(word)
        if (flag in _NOUNS or flag in _KINDS) and not word.isascii():
            run.append((start, word, flag))
            continue
        found.extend(_chinese_run(run, counts))
        run = []
    found.extend(_chinese_run(run, counts))
    return _without_overlaps(found)


def _chinese_run(run: list[tuple[int, str, str]], counts: Counter[str]) -> Iterator[Found]:
    """Yield the names in a run of nouns: proper names alone, or as one with the kind of thing that follows them."""
    at = 0
    while at < len(run):
        start, word, flag = run[at]
        kind = _KINDS.get(flag)
        following = run[at + 1] if at + 1 < len(run) else None
        if kind and following and following[2][:2] == "nr" == flag[:2] and len(word) == 1:
            # The tagger parts surnames from given names that it does not know.
            yield Found(start, start + len(word + following[1]), word + following[1], "person")
            at += 2
        elif following and _SUFFIXES.get(following[1]) == "organization":
            yield Found(start, start + len(word + following[1]), word + following[1], "organization")
            at += 2
        elif kind and len(word) >= 2:
            yield Found(start, start + len(word), word, _kind_by_suffix(word) or kind)
            at += 1
        else:
            phrase = [piece for piece in run[at : at + 3] if piece[2] not in _KINDS]
            text = "".join(piece[1] for piece in phrase)
            if len(phrase) > 1 and len(text) >= MIN_KEY_CHARS:
                yield Found(start, start + len(text), text, _kind_by_suffix(text))
            elif len(word) >= 3 or (len(word) == 2 and counts[word] > 1):
                yield Found(start, start + len(word), word, _kind_by_suffix(word))
            at += max(1, len(phrase))


def _kind_by_suffix(word: str) -> str | None:
    return next((kind for suffix, kind in _SUFFIXES.items() if len(word) > len(suffix) and word.endswith(suffix)), None)


def _japanese(sentence: str) -> list[Found]:
    found = list(_titles(sentence))
    found.extend(Found(run.start(), run.end(), run[0], _kind_by_suffix(run[0])) for run in _JAPANESE.finditer(sentence))
    return _without_overlaps(found)


def _korean(sentence: str) -> list[Found]:
    found = list(_titles(sentence))
    for word in _KOREAN.finditer(sentence):
        stem = _KOREAN_PARTICLES.sub("", word[0])
        if len(stem) >= 2 and not _KOREAN_VERB.search(word[0]):
            found.append(Found(word.start(), word.start() + len(stem), stem))
    return _without_overlaps(found)


def _spaced(counts: Counter[str], sentence: str) -> list[Found]:
    """Find words of some length, longer ones where they occur once: short ones are mostly grammar."""
    return [
        Found(word.start(), word.end(), word[0])
        for word in _SPACED.finditer(sentence)
        if len(word[0]) >= (MIN_KEY_CHARS if counts[word[0]] > 1 else MIN_KEY_CHARS + 2)
    ]


def _titles(sentence: str) -> Iterator[Found]:
    for title in _TITLE.finditer(sentence):
        yield Found(title.start(), title.end(), title[1] or title[2], "content")


def _without_overlaps(found: list[Found]) -> list[Found]:
    """Keep of overlapping names the first found."""
    kept: list[Found] = []
    for item in found:
        if not any(item.start < other.end and other.start < item.end for other in kept):
            kept.append(item)
    return sorted(kept, key=lambda item: item.start)
