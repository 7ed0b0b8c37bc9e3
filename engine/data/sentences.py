"""Where sentences begin in running text: offsets, found in one pass.

Rules and a list of abbreviations, no model and no data to fetch: a text of 250,000 characters
on one line takes some 30 ms. Nothing is cut here; a caller decides what to do with the places.
"""

from __future__ import annotations

import re

BULLETS = "•●▪◦‣\ue000-\uf8ff"  # documents made from PDF carry bullets of private fonts
# The end of a sentence: its mark, what closes with it, and the blanks behind.
END = re.compile(
    r"(?:"
    r"(?P<mark>[.!?…]+)(?P<closers>(?:[\"'”’»)\]*_]|\[\d{1,3}(?:[,–-] ?\d{1,3})*\])*)\s+"
    r"|[。！？｡]+[”’」』）]*\s*"
    rf"|(?<=\s)(?=[{BULLETS}])"
    r")"
)
BEFORE = re.compile(r"[^\s(\[“\"‘']+$")
LABEL = re.compile(r"(?:[A-Za-z]?\d+(?:[-.–]\d+)*|[A-Za-z]|[ivxlcIVXLC]+)")
WORD = re.compile(r"[^\W\d_]+")
OPENER = re.compile(rf"[\w\"'“‘«(\[*¿¡—{BULLETS}]")

# Never the end of a sentence: something always follows.
LEADING = frozenset(
    """mr mrs ms mx dr prof rev hon sr st fr gen col maj capt lt cpt sgt cmdr adm gov sen rep pres supt
    e.g i.e cf vs viz approx ca resp incl esp eds trans mt ave z.b bzw d.h u.a""".split()
)
# Abbreviations before a number, in lower case also words of their own.
NUMBERED = frozenset(
    "no nos p pp fig figs eq eqs vol vols para paras par sec secs sect ch chap art arts app ed".split()
)
# The end of a sentence only where the next word looks like the beginning of one.
TRAILING = frozenset(
    """etc al inc ltd co corp bros jr esq dept univ assn dist jan feb mar apr jun jul aug sep sept oct
    nov dec mon tue tues wed thu thur thurs fri sat sun a.m p.m am pm u.s u.k u.n u.s.a e.u d.c ph.d
    m.d b.a m.a m.sc b.sc b.c a.d est min max avg dept div op ibid usw""".split()
)
STARTERS = frozenset(
    """a an the this that these those it its in on at by for from to of with without when where while
    if as although because since but and or so yet however therefore thus then there here he she they
    we you i his her their our my your what which who whose how why each every all some many most no
    not one two three after before during once until under over both such other another see note""".split()
)


def beginnings(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """Offsets in `text[start:end]` at which a sentence begins, the first one (`start`) left out."""
    end = len(text) if end is None else end
    found: list[int] = []
    last = start
    for match in END.finditer(text, start, end):
        place = match.end()
        if place >= end or place <= last:
            continue
        if match["mark"] is None or _ends(text, last, match, place):
            found.append(place)
            last = place
    return found


def _ends(text: str, last: int, match: re.Match[str], place: int) -> bool:
    """Whether a mark really ends the sentence that begins at `last`."""
    follower = text[place]
    lower = follower.islower()
    mark = match["mark"]
    if len(mark) > 3 and mark.count(".") == len(mark):
        return False  # leader dots of a table of contents
    if lower or not OPENER.match(follower):
        return False
    if mark != "." or match["closers"].strip("\"'”’*_"):
        return True
    return _full_stop(text, last, match.start(), place, follower)


def _full_stop(text: str, last: int, stop: int, place: int, follower: str) -> bool:
    """Whether one dot is a full stop, and not part of an abbreviation, initial or number."""
    found = BEFORE.search(text, max(last, stop - 40), stop)
    if found is None:
        return True
    word = found[0]
    if found.start() <= last + 1 and LABEL.fullmatch(word):
        return False  # the number of a paragraph or of an item: "3-12. The commander …"
    key = word.lower().strip("*_")
    if key in LEADING:
        return False
    if key in NUMBERED:
        return not follower.isdigit() and (word.islower() or key == "no")
    if key in TRAILING or (len(word) == 1 and word.isupper()):
        return _next_word(text, place) in STARTERS
    return True


def _next_word(text: str, place: int) -> str:
    found = WORD.search(text, place, place + 20)
    return found[0].lower() if found and found.start() - place <= 1 else ""
