"""Words that carry grammar, not meaning, by language. They are kept out of questions, never out of the index."""

from __future__ import annotations

from collections.abc import Sequence

_ENGLISH = """
a about am an and are as at be been being but by can could did do does doing for from had has have having he her hers
him his how i if in into is it its itself many me more most much my no nor not of on only or other our ours please she
should so some such tell than that the their theirs them themselves then there these they this those through to too
up was we were what when where which while who whom whose why will with would you your yours
"""
_GERMAN = """
aber als am an auch auf aus bei bin bis bist da das dass dem den der des die dies diese dieser dieses doch du
durch ein eine einem einen einer eines er es fur hat hatte hatten haben ich ihr ihre im in ist ja kann mit
nach nicht noch nur oder sein seine sich sie sind so um und uns unter vom von vor wann war waren warum was
wegen welche welcher welches wem wen wer werden wessen wie wird wir wo wurde wurden zu zum zur
"""
_FRENCH = """
a au aux avec ce ces cette comme comment d dans de des du elle elles en est et ete etait il ils j je l la le les leur
leurs lui m mais n ne nous on ont ou par pas plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa
se ses si son sont sur t un une vous
"""
_SPANISH = """
a al como con cual cuales cuando cuanto de del desde donde el ella ellas ellos en era es esta este esto estos fue
fueron ha han hay la las lo los mas me mi no nos o para pero por porque que quien quienes se ser si sin sobre son su
sus un una unas unos y ya
"""
_ITALIAN = """
a ai al alla alle che chi ci come con cosa da dal dalla degli dei del della delle di dove e ed era fu gli ha hanno i il
in io la le lo loro ma mi ne nei nel nella non o per perche piu quale quali quando quanto questa questo se si sono su
sua suo un una uno
"""
_PORTUGUESE = """
a ao aos as com como da das de do dos e ela ele eles em era essa esse esta este eu foi foram ha isso mais mas me na nao
nas no nos o onde os ou para pela pelo por porque qual quais quando quanto que quem se seu sua suas sao um uma
"""
_DUTCH = """
aan als bij dan dat de der deze die dit door een en er had heeft hebben het hij hoe ik in is je kan maar met naar niet
nog of om onder ook op over te tot uit van voor waar waarom wanneer was wat we welke werd wie wij worden zal ze zich
zij zijn zou
"""
_LANGUAGES = {
    language: frozenset(words.split())
    for language, words in (
        ("en", _ENGLISH),
        ("de", _GERMAN),
        ("fr", _FRENCH),
        ("es", _SPANISH),
        ("it", _ITALIAN),
        ("pt", _PORTUGUESE),
        ("nl", _DUTCH),
    )
}
_CHINESE = """
的 了 是 吗 呢 吧 啊 呀 我们 你们 他们 她们 它们 这个 那个 这些 那些 什么 怎么 怎样 怎么样 为什么 为何 如何 哪里
哪儿 哪些 哪个 哪一 哪 谁 多少 几个 请问 告诉我 有没有 是不是 以及 或者 并且 而且 但是 因为 所以
"""
CHINESE_STOPS = tuple(_CHINESE.split())
"""Only such as hardly ever are part of a longer word."""


def likely_language(words: Sequence[str]) -> str:
    """Return the language (ISO 639-1) whose stop words these folded words hold most of; English on a tie."""
    return max(_LANGUAGES, key=lambda language: sum(word in _LANGUAGES[language] for word in words))


def stop_words_of(words: Sequence[str]) -> frozenset[str]:
    """Return the stop words of the language in which these folded words most likely are."""
    return _LANGUAGES[likely_language(words)]
