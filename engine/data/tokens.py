"""How many tokens a text has: a deterministic estimate, or a tokenizer of the reader's own.

No model is named in a graph when documents are cut, and no tokenizer can be fetched on a
machine without a network, so the default is an estimate that leans to the high side: against
a vocabulary of 32,000 pieces and one of 131,000 it gives 1.0 to 1.3 times the true figure for
English prose, Markdown and code, and more for other scripts. A passage that fits by this
count fits by the model's. `tokenizer = "tokenizer.json"`, or the name of a model at the hub, counts
exactly.

Nothing of prices or endpoints here; the models estimate for themselves.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from engine.frozen import dataclass

# A match is a piece that a cut never divides. No look-around: the pieces of a text that is cut
# between two of them are the pieces of its halves, so counts add up.
PIECE = re.compile(
    r"(?P<word>[A-Z]?[a-z]{1,24})"
    r"|(?P<capitals>[A-Z]{1,12})"
    r"|(?P<digits>\d{1,3})"
    r"|(?P<space>[ \t]{1,16}|\s)"
    r"|(?P<marks>[!-/:-@\[-`{-~]{1,4})"
    r"|(?P<other>[^\s!-~])"
)

HUB = re.compile(r"[\w.-]+/[\w.-]+")


class TokenizerProblem(Exception):
    """A tokenizer file that cannot be used: one clear message."""


def weigh(match: re.Match[str]) -> int:
    """Tokens of one piece, leaning to the high side; the steps are fitted to both vocabularies."""
    length = match.end() - match.start()
    match match.lastgroup:
        case "word":  # common words are one token, longer ones fall to pieces
            return 1 if length <= 7 else 1 + (length - 3) // 5
        case "capitals":
            return (length + 3) // 2 if length > 1 else 1
        case "space":  # the blank before a word belongs to the word
            return 0 if match[0] == " " else 1
        case "digits":
            return length
        case "marks":
            return (length + 2) // 2
    return 1 if match[0] < "\uffff" else 3


def estimate(text: str) -> int:
    """Tokens of a text, leaning to the high side."""
    return sum(map(weigh, PIECE.finditer(text)))


@dataclass(frozen=True)
class Pieces:
    """Where a text may be cut, and how many tokens lie before each such place.

    `starts` are character offsets, rising, the first is 0 and the last the text's length;
    `totals` are the tokens before them.
    """

    starts: Sequence[int]
    totals: Sequence[int]

    def before(self, position: int) -> int:
        """Tokens before an offset; a piece that the offset divides counts whole."""
        return self.totals[bisect_left(self.starts, position)]

    def reach(self, tokens: int) -> int:
        """The last offset with at most so many tokens before it."""
        return self.starts[bisect_right(self.totals, tokens) - 1]


class Estimator:
    """The default: `estimate`. Counts of passages cut between pieces add up."""

    def count(self, text: str) -> int:
        return estimate(text)

    def pieces(self, text: str) -> Pieces:
        matches = list(PIECE.finditer(text))
        starts = [0, *(match.end() for match in matches)]
        return Pieces(starts, [0, *accumulate(map(weigh, matches))])


class FileTokenizer:
    """A `tokenizer.json` as the `tokenizers` package reads it.

    A passage on its own may take a token more or less than as part of its document, so who
    cuts by it counts again.
    """

    def __init__(self, path: Path):
        from tokenizers import Tokenizer as Library

        try:
            self._library = Library.from_file(str(path))
        except Exception as error:  # the package raises bare Exception for whatever is wrong
            raise TokenizerProblem(f"{path} is no tokenizer that can be read: {error}") from error
        self._library.no_truncation()
        self._library.no_padding()

    def count(self, text: str) -> int:
        return len(self._library.encode(text, add_special_tokens=False).ids)

    def pieces(self, text: str) -> Pieces:
        offsets = self._library.encode(text, add_special_tokens=False).offsets
        starts, totals = [0], [0]
        for number, (_, end) in enumerate(offsets, 1):
            if end > starts[-1]:
                starts.append(end)
                totals.append(number)
            else:  # several tokens to one character
                totals[-1] = number
        if starts[-1] < len(text):
            starts.append(len(text))
            totals.append(totals[-1])
        return Pieces(starts, totals)


Tokenizer = Estimator | FileTokenizer


@lru_cache(maxsize=8)
def _from_file(path: Path, _stamp: int) -> FileTokenizer:
    return FileTokenizer(path)


def found(name: str, folders: Sequence[Path], fetch: bool, hub: bool = True) -> Path:
    """The `tokenizer.json` that a name leads to: a file, a model's folder, or a model at the hub.

    What lies in the hub's cache is taken from there; with `fetch`, what does not is downloaded.
    Without `hub` only files are looked for. Raises `TokenizerProblem`.
    """
    for folder in folders:
        for path in (folder / name, folder / name / "tokenizer.json"):
            if path.is_file():
                return path
    if not hub or not HUB.fullmatch(name) or name.endswith(".json"):
        raise TokenizerProblem(f"no tokenizer at {name}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, "tokenizer.json", local_files_only=not fetch))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        if not fetch:
            raise TokenizerProblem(f"the tokenizer of {name} is not on this machine yet") from error
        said = str(error).splitlines()[0]
        raise TokenizerProblem(f"the tokenizer of {name} is not to be had from the hub: {said}") from error


def tokenizer(path: Path | None = None) -> Tokenizer:
    """The estimator, or the tokenizer in a file. Raises `TokenizerProblem`."""
    if path is None:
        return Estimator()
    try:
        return _from_file(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise TokenizerProblem(f"no tokenizer at {path}: {error.strerror}") from error
