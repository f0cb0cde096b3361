"""What the extractive answerer says in its own words, by language."""

from __future__ import annotations

import dataclasses
import re

from lightrag.text.scripts import HANGUL, HIRAGANA, KATAKANA, is_chinese
from lightrag.text.stopwords import likely_language
from lightrag.text.words import fold

_KANA = re.compile(f"[{HIRAGANA}{KATAKANA}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences around the quotations."""

    found: str
    nothing: str
    note: str


_HOW = "LLM_BINDING, LLM_BINDING_HOST, LLM_MODEL"
_PHRASES = {
    "en": Phrases(
        "The documents say:",
        "Nothing in the documents fits this question.",
        f"No language model is configured, so passages are only quoted. For written answers set {_HOW}.",
    ),
    "de": Phrases(
        "In den Dokumenten steht:",
        "In den Dokumenten passt nichts zu dieser Frage.",
        f"Es ist kein Sprachmodell eingerichtet; darum wird nur zitiert. Für ausformulierte Antworten {_HOW} setzen.",
    ),
    "fr": Phrases(
        "Les documents disent :",
        "Rien dans les documents ne répond à cette question.",
        f"Aucun modèle de langage n'est configuré : ce sont des citations. Pour des réponses rédigées, définir {_HOW}.",
    ),
    "es": Phrases(
        "Los documentos dicen:",
        "Nada en los documentos responde a esta pregunta.",
        f"No hay ningún modelo de lenguaje configurado; solo se cita. Para respuestas redactadas, definir {_HOW}.",
    ),
    "it": Phrases(
        "I documenti dicono:",
        "Nei documenti non c'è nulla che risponda a questa domanda.",
        f"Nessun modello linguistico è configurato: sono solo citazioni. Per risposte scritte impostare {_HOW}.",
    ),
    "pt": Phrases(
        "Os documentos dizem:",
        "Nada nos documentos responde a esta pergunta.",
        f"Nenhum modelo de linguagem está configurado; apenas se cita. Para respostas redigidas, definir {_HOW}.",
    ),
    "nl": Phrases(
        "In de documenten staat:",
        "Niets in de documenten past bij deze vraag.",
        f"Er is geen taalmodel ingesteld; er wordt alleen geciteerd. Stel {_HOW} in voor geschreven antwoorden.",
    ),
    "ru": Phrases(
        "В документах сказано:",
        "В документах нет ничего подходящего к этому вопросу.",
        f"Языковая модель не настроена, поэтому это только цитаты. Для связных ответов задайте {_HOW}.",
    ),
    "zh": Phrases(
        "文档中的相关内容：",
        "文档中没有与该问题相关的内容。",
        f"尚未配置语言模型，以上仅为原文摘录。如需生成回答，请设置 {_HOW}。",
    ),
    "ja": Phrases(
        "文書には次のように書かれています。",
        "この質問に合う内容は文書にありません。",
        f"言語モデルが設定されていないため、引用のみを示します。文章での回答には {_HOW} を設定してください。",
    ),
    "ko": Phrases(
        "문서의 관련 내용:",
        "문서에 이 질문에 맞는 내용이 없습니다.",
        f"언어 모델이 설정되지 않아 인용만 표시합니다. 작성된 답변을 원하면 {_HOW} 을(를) 설정하세요.",
    ),
}


def phrases_for(question: str) -> Phrases:
    """Return the phrases in the language of a question, English where it is none of the known ones."""
    if _KANA.search(question):
        return _PHRASES["ja"]
    if is_chinese(question):
        return _PHRASES["zh"]
    if _HANGUL.search(question):
        return _PHRASES["ko"]
    if _CYRILLIC.search(question):
        return _PHRASES["ru"]
    return _PHRASES[likely_language(_WORD.findall(fold(question)))]
