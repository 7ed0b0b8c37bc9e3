"""Typing mistakes, put into texts on purpose and always the same ones."""

from __future__ import annotations

import random

NEAR = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "rzy", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol", "a": "qsz", "s": "adw", "d": "sfe", "f": "dgr", "g": "fht", "h": "gju", "j": "hki", "k": "jlo",
    "l": "kop", "z": "xas", "x": "zcs", "c": "xvd", "v": "cbf", "b": "vng", "n": "bmh", "m": "nj",
}  # fmt: skip
"""Keys beside each other, of the letters that most keyboards have in common."""


def typing_mistakes(row: dict, share: float, rate: float, seed: int) -> dict | None:
    """The row's `text` with about `rate` of its letters mistyped; None for all but `share` of the rows.

    A letter is swapped with the next, left out, doubled, or replaced by one beside it; a space is lost.
    Numbers stay: a mistyped number is another fact. The same text gets the same mistakes.
    """
    dice = random.Random(f"{seed} {row['text']}")
    if dice.random() >= share:
        return None
    text, made, at = row["text"], [], 0
    while at < len(text):
        letter = text[at]
        if not (letter.isalpha() or letter == " ") or dice.random() >= rate:
            made.append(letter)
            at += 1
            continue
        kind = dice.randrange(4)
        if letter == " ":
            pass
        elif kind == 0 and at + 1 < len(text) and text[at + 1].isalpha():
            made += [text[at + 1], letter]
            at += 1
        elif kind == 1:
            made += [letter, letter]
        elif kind == 2 and letter.lower() in NEAR:
            other = dice.choice(NEAR[letter.lower()])
            made.append(other.upper() if letter.isupper() else other)
        at += 1
    return {"text": "".join(made)}
