"""Writing systems by Unicode range, as far as cutting text into words depends on them."""

from __future__ import annotations

import re

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
HIRAGANA = "\u3041-\u309f"
KATAKANA = "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
HANGUL = "\u1100-\u11ff\u3131-\u318e\uac00-\ud7af"
SOUTH_EAST = "\u0e01-\u0e3e\u0e40-\u0e7f\u0e80-\u0eff\u0f00-\u0f03\u0f20-\u0fff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Tibetan, Burmese, Khmer: written without spaces between words."""
INDIC = "\u0900-\u0963\u0966-\u096f\u0971-\u0dff"
"""Devanagari to Sinhala without the danda; vowel signs there are part of a word, though no letters to Python."""
CJK = HAN + HIRAGANA + KATAKANA + HANGUL

_SURROGATE = re.compile("[\ud800-\udfff]")
_CJK = re.compile(f"[{CJK}]")
_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(f"[{HIRAGANA}{KATAKANA}]")


def is_cjk(text: str) -> bool:
    """Whether a text holds any Chinese character, kana or Hangul."""
    return not text.isascii() and _CJK.search(text) is not None


def is_chinese(text: str) -> bool:
    """Whether a text holds Chinese characters and no kana, so that a Chinese dictionary applies."""
    return not text.isascii() and _HAN.search(text) is not None and _KANA.search(text) is None


def encodable(text: str) -> str:
    """Return a text of the same length whose lone surrogates, which no encoding can hold, are U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
