"""Word lists and patterns by which names are recognised and sorted without a model."""

from __future__ import annotations

import dataclasses
import re

_ENGLISH_OPENERS = """
a about above according accordingly actually additionally after afterwards again all almost along already
also although among an and another any anyone are around as aside at based because before being below
besides between both but by can carefully currently despite did do does due during each earlier early
either eventually even ever every everyone everything except few finally first following for former
formerly from further furthermore given had has have having he hence her here his how however i if in
indeed initially inside instead into is it its itself just last lastly lately later latter least less let
like likewise many may maybe meanwhile merely more moreover most mostly much my near nearly neither never
nevertheless next no none nonetheless nor not note nothing notably now occasionally of often on once one
only onto or originally other others otherwise our out outside over overall part perhaps please possibly
previously prior rather recently regarding regardless second see seen several shall she should similarly
simply since so some someone something sometimes soon still subsequently such than that the their them
then there thereafter therefore these they third this those though three through throughout thus to today
together too toward towards two ultimately under unfortunately unless unlike until up upon us use used
using usually various very via was we well were what whatever when whenever where whereas wherever
whether which while who whoever whom whose why will with within without would yes yesterday yet you your
"""
_OTHER_OPENERS = """
el la los las un una lo en de del por para con sin sobre este esta estos estas su sus y o pero como
cuando donde desde segun le les l une des du au aux ce cette ces son sa ses dans avec pour par sur et ou
mais comme quand depuis selon il elle ils der die das den dem ein eine einer eines einem einen er sie es
wir ihr ich und oder aber im am in an auf bei mit nach von vom zu zum zur seit fur uber unter durch gegen
ohne um als wie wenn weil dass doch auch nur sein seine ihre dieser diese dieses gli i uno nel nella al
alla che di da os as uma no na nos nas dos het een van voor met
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Grammar:
    """Folded words that stand with a capital before a name, or at the start of a sentence, and belong to no name."""

    openers: frozenset[str]
    articles: frozenset[str]


ENGLISH = Grammar(frozenset(_ENGLISH_OPENERS.split()), frozenset({"the", "a", "an"}))
OTHER = Grammar(
    ENGLISH.openers | frozenset(_OTHER_OPENERS.split()),
    frozenset(["the", "le", "la", "les", "el", "los", "las", "der", "die", "das", "il", "lo", "gli", "het", "l"]),
)
"""For all languages but English, where Los Angeles keeps its Los."""


def grammar_of(text: str) -> Grammar:
    """Return the grammar of a text by the commonest English words among its first ones."""
    words = text[:_JUDGED_CHARS].lower().split()
    marks = sum(word in _ENGLISH_MARKS for word in words)
    return OTHER if len(words) > _FEW_WORDS and marks * _WORDS_PER_MARK < len(words) else ENGLISH


_JUDGED_CHARS = 1000
_FEW_WORDS = 20
"""Of which nothing can be told."""
_WORDS_PER_MARK = 20
"""In English text, at least one of so many words is a mark."""
_ENGLISH_MARKS = frozenset({"the", "of", "and", "to", "is", "was", "with", "by", "for", "that", "as", "from"})

_CALENDAR = """
monday tuesday wednesday thursday friday saturday sunday january february march april may june july
august september october november december jan feb mar apr jun jul aug sep sept oct nov dec montag
dienstag mittwoch donnerstag freitag samstag sonntag januar februar märz mai juni juli oktober dezember
"""
CALENDAR = frozenset(_CALENDAR.split())

_GENERIC = """
university college school company president king queen prince government church state city county river
street chapter section table figure part volume page team club band album song film movie series season
episode book novel mr mrs ms dr sir lord lady professor general minister party court act north south east
west northern southern eastern western central bc ad ce bce am pm ok isbn http https www pdf html
"""
GENERIC = frozenset(_GENERIC.split())
"""Words that name nothing when they stand alone."""

_MODIFIERS = """
north south east west northern southern eastern western central new old great upper lower greater saint san
santa st
"""
MODIFIERS = frozenset(_MODIFIERS.split())
"""First words that make another name of the one that follows."""

_TYPE_WORDS = {
    "organization": """
        university institute institution association society company corporation corp inc ltd llc plc
        gmbh ag group party club fc band orchestra council committee commission ministry department
        agency army navy force corps bank school college academy press records studios studio productions
        entertainment pictures network channel airlines airways union league federation foundation trust
        organization organisation church congress senate parliament court police hospital team authority
        bureau service services systems technologies industries holdings partners brothers universität
        verein partei universidad université ministère università
    """,
    "location": """
        river lake mount mountain mountains city county island islands sea ocean street road avenue park
        province state kingdom republic district bay valley peninsula desert forest region territory town
        village township municipality station airport bridge square castle palace cathedral building
        tower hall house museum stadium arena theatre theater library beach canyon creek falls hill hills
        plateau strait gulf coast republik stadt fluss see ciudad río ville rivière
    """,
    "event": """
        war battle revolution olympics festival championship championships cup conference treaty election
        elections siege rebellion uprising massacre crisis tour awards award prize games tournament
        summit campaign crusade krieg schlacht guerra guerre bataille batalla
    """,
    "content": """
        journal magazine newspaper times gazette album song film novel book series show chronicle review
        dictionary encyclopedia bible opera symphony act law code report
    """,
}
TYPE_OF_WORD = {word: kind for kind, words in _TYPE_WORDS.items() for word in words.split()}

_PERSON_TITLES = """
mr mrs ms dr sir lord lady king queen prince princess emperor empress pope saint president senator
governor general captain colonel professor judge justice chancellor minister secretary bishop cardinal
duke count baron rabbi imam sheikh herr frau señor monsieur madame don
"""
PERSON_TITLES = frozenset(_PERSON_TITLES.split())

PERSON_AFTER = re.compile(
    r"\s*\((?:born|b\.|[^)]{0,40}\d{4}\s?[-–—])|,?\s+(?:who|whose|was born|died|said|says|wrote|sang|married|directed"
    r"|played|served|resigned|argued|believed|grew up|starred|stated|studied|worked)\b"
)
_ROLES = """
by actor actress singer author writer director president minister professor artist player poet composer
king queen wife husband son daughter brother sister father mother editor founder rapper producer coach
philosopher physicist scientist née musician lawyer politician general senator songwriter
"""
PERSON_BEFORE = frozenset(_ROLES.split())
PLACE_BEFORE = frozenset(
    ["in", "near", "at", "to", "from", "around", "across", "outside", "throughout", "en", "à", "aus", "nach"]
)
