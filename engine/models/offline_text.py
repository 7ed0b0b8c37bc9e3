"""What the offline stand-in sees in a passage: sentences, their words, whether it is worth asking about.

Rules and word lists only, the same on every machine. Nothing is written here; see
`offline_questions` and `offline_fill`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache

from engine.frozen import dataclass
from engine.models.offline_words import BE, MODALS, STOP, VERBS, words


def _third(base: str) -> str:
    if base.endswith(("s", "x", "z", "ch", "sh", "o")):
        return base + "es"
    return base[:-1] + "ies" if base.endswith("y") and base[-2] not in "aeiou" else base + "s"


SINGULAR = {_third(base): base for base in VERBS} | {"has": "have"}  # provides -> provide
PLURAL = VERBS | {"have"}
_FINITE = BE | MODALS | frozenset(SINGULAR) | PLURAL | words("be been do does did had made took gave")

_WORD = re.compile(r"[^\W\d_][\w'’]*(?:-\w+)*")
_SPACE = re.compile(r"\s+")
_BLOCKS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+•]|\d+[.)])\s)|(?<=[.!?:;])\n|[\uf000-\uf8ff•■●▪]")
# A sentence ends at a stop before a capital; numbered paragraphs ("3-14. Company ...") begin one anyhow.
_ENDS = re.compile(
    r"(?<=[.!?])[\"”’)\]]*\s+(?=[\"“‘(\[]?[A-Z0-9])|\s+(?=[A-Z]?\d{0,2}-\d{1,3}\.\s+[A-Z])|\s+(?=\d{1,3}\.\s+[A-Z])"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|Fig|Gen|Col|Maj|Capt|Lt|Sgt|Jr|Sr|Inc|Ltd|Vol|pp?|e\.g|i\.e|cf|approx|U\.S|Ch)"
    r"|\b[A-Z])\.$"
)
_DIVIDED = re.compile(r"(?<=[a-z])-\s*\n\s*(?=[a-z])")
_BROKEN = re.compile(r"(?<=[^\W\d_,;])[^\S\n]*\n[^\S\n]*(?=[a-z])")
_BLANKS = re.compile(r"(?<=\S)[^\S\n]{2,}(?=\S)")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"})
_HEADING = re.compile(r"(?m)^#{1,6} .*$")
_NUMBERED = re.compile(r"[A-Z]?\d{0,2}-?\d{1,3}\.")  # a paragraph number belongs to what follows
_LEAD = re.compile(r"^(?:[A-Z]?\d{0,2}-\d{1,3}\.|\d{1,3}[.)]|[-*+#•–—]+)\s+")
_LEADERS = re.compile(r"\.{4,}|(?:\. ){4,}|_{5,}|(?:…\s*){2,}")
_NUMBERISH = re.compile(r"^\W*(?:[A-Z]?-?\d[\d.,:–—-]*|[A-Z]-\d+(?:[–—-]+[A-Z]?-?\d+)*|[ivxlc]+)\W*$")
_LICENCE = (
    "all rights reserved", "copyright", "licence", "license", "warranty", "permission is hereby granted",
    "redistribut", "public domain", "project gutenberg", "trademark",
)  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """One sentence, cleaned of its number or bullet."""

    text: str
    tokens: tuple[str, ...]
    has_verb: bool

    @cached_property
    def words(self) -> frozenset[str]:
        """Its content words."""
        return _content(self.tokens)


@dataclass(frozen=True)
class Passage:
    """A passage as it was read once; equal texts share one."""

    text: str

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        return tuple(_sentence(text) for text in split_sentences(self.text))

    @cached_property
    def statements(self) -> tuple[Sentence, ...]:
        """The sentences that say something: those with a verb."""
        return tuple(sentence for sentence in self.sentences if sentence.has_verb)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The content words of the whole passage."""
        return content_words(self.text)

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """The longer content words, the most frequent first."""
        counts = Counter(
            token.lower()
            for sentence in self.sentences
            for token in sentence.tokens
            if len(token) > 4 and token.lower() not in STOP
        )
        ranked = sorted(counts.items(), key=lambda item: (-item[1], -len(item[0]), item[0]))
        return tuple(term for term, _ in ranked[:12])

    @cached_property
    def judged(self) -> tuple[bool, str]:
        """Whether it is worth asking about, and which rule says so."""
        return _judge(self)


@lru_cache(maxsize=512)
def read_passage(text: str) -> Passage:
    """The passage with this text; what is found in it is kept for the calls to come."""
    return Passage(text)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, cleaned of bullets and paragraph numbers, headings as pieces of their own."""
    sentences: list[str] = []
    for block in _BLOCKS.split(_HEADING.sub(r"\n\n\g<0>\n\n", text) if "#" in text else text):
        if not block or block.isspace():
            continue
        held = ""
        for piece in _ENDS.split(_SPACE.sub(" ", block).strip()):
            held = f"{held} {piece}" if held else piece
            if not (_ABBREVIATED.search(held) or _NUMBERED.fullmatch(held)):
                sentences.append(held)
                held = ""
        if held:
            sentences.append(held)
    cleaned = (_LEAD.sub("", sentence.strip()).strip() for sentence in sentences)
    return [sentence for sentence in cleaned if sentence]


def repaired(text: str) -> str:
    """The text with words that a line's end divides in one piece, and sentences in one line."""
    whole = _DIVIDED.sub("", text.translate(_LIGATURES))
    return _BROKEN.sub(" ", _BLANKS.sub(" ", whole)).strip()


def tokens(text: str) -> list[str]:
    """The words of a text as they are written, numbers left out."""
    return _WORD.findall(text)


def content_words(text: str) -> frozenset[str]:
    """The words that carry content, lower-cased and without a plural or third-person ending."""
    return _content(tokens(text))


def _content(written: Iterable[str]) -> frozenset[str]:
    return frozenset({_stem(word) for word in {token.lower() for token in written} - STOP if len(word) > 1})


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("’s").rstrip("'’")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _sentence(text: str) -> Sentence:
    written = tokens(text)
    lowered = [token.lower() for token in written[1:]]
    verb = not _FINITE.isdisjoint(lowered) or any(word[-2:] == "ed" and len(word) > 4 for word in lowered)
    return Sentence(text, tuple(written), verb and len(written) >= 4)


def _judge(passage: Passage) -> tuple[bool, str]:
    pieces = passage.text.split()
    if len(pieces) < 5:
        return False, "It is too short to state a fact."
    if len(_LEADERS.findall(passage.text)) >= max(2, len(pieces) / 60):
        return False, "It looks like a table of contents: rows of dots lead to page numbers."
    numbers = sum(1 for piece in pieces if len(piece) < 16 and _NUMBERISH.match(piece))
    if numbers > 0.18 * len(pieces):
        return False, f"It looks like an index or a table: {numbers} of its {len(pieces)} words are numbers."
    lowered = passage.text.lower()
    marks = [mark for mark in _LICENCE if mark in lowered]
    if len(marks) >= 2 and sum(lowered.count(mark) for mark in marks) > len(pieces) / 80:
        return False, f"It looks like a licence or an imprint: it speaks of {marks[0]} and {marks[1]}."
    stated = sum(len(sentence.tokens) for sentence in passage.statements if len(sentence.tokens) <= 60)
    whole = sum(len(sentence.tokens) for sentence in passage.sentences)
    if stated < 0.4 * whole:
        return False, f"It is mostly headings and lists: {stated} of {whole} words stand in sentences."
    count = len(passage.statements)
    return True, f"It states facts: {count} {'sentence' if count == 1 else 'sentences'} with a verb."
