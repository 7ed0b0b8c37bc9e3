"""Taking out what a rule found needless, and nothing else.

The new text is read again: it must hold the tree of before without the thing that was taken out,
and every comment but the thing's own `##` ones. Where it would not, nothing is taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine.language import tree as ast
from engine.language.formatting import meaning
from engine.language.grammar import parser
from engine.language.lexing import Comment, comments
from engine.language.lint.rule import Fix, Found
from engine.language.parsing import Tree
from engine.language.syntax import parse
from engine.language.tree import Text


def fixed(text: str, found: Iterable[Found]) -> tuple[str, list[Found]]:
    """The text with what can be mended safely, and which findings that were.

    `text` has `\\n` line ends and parses; the findings are those of this very text.
    """
    done: list[Found] = []
    ordered = sorted(
        (one for one in found if one.finding.fix),
        key=lambda one: (-one.finding.span.line, -one.finding.span.column),
    )
    for one in ordered:  # from the end, so that the places before it still hold
        assert one.finding.fix is not None
        after = _without(text, one.finding.fix)
        if after is not None:
            text = after
            done.append(one)
    return text, done


def _without(text: str, fix: Fix) -> str | None:
    whole = Text("", text)
    at = whole.starts[fix.at.line - 1] + fix.at.column - 1
    part = _part(parser().parse(text), fix.rule, at)
    if part is None:
        return None
    start, end = part.meta.start_pos, part.meta.end_pos
    found = comments(whole)
    own = _own_comments(whole, found, start, end)
    lines = range(whole.span(start).line, whole.span(end - 1).line + 1)
    if any(comment.line in lines and comment not in own for comment in found):
        return None  # whose comment that is, a person must say
    after = _cut(text, start, end, own)
    if _kept(text, after, own, fix, at):
        return after
    return None


def _part(tree: Tree, rule: str, at: int) -> Tree | None:
    """The innermost part of the text of a rule of the grammar that has a place in it."""
    found = [
        part
        for part in tree.iter_subtrees()
        if part.data == rule and not part.meta.empty and part.meta.start_pos <= at < part.meta.end_pos
    ]
    return min(found, key=lambda part: part.meta.end_pos - part.meta.start_pos, default=None)


def _own_comments(text: Text, found: list[Comment], start: int, end: int) -> list[Comment]:
    """Doc comments that speak of what stands from `start` to `end`: above it, or behind it."""
    first, last = text.span(start).line, text.span(end - 1).line
    lines = {comment.line: comment for comment in found if comment.doc}
    own: list[Comment] = []
    behind = lines.get(last)
    if behind is not None and behind.start >= end and not behind.alone:
        own.append(behind)
        below = last + 1
        while (more := lines.get(below)) and more.alone and more.column == behind.column:
            own.append(more)
            below += 1
    above = first - 1
    tied = own[0].column if own else None
    while (comment := lines.get(above)) and comment.alone and comment.column != tied:
        own.append(comment)
        above -= 1
    return own


def _cut(text: str, start: int, end: int, own: list[Comment]) -> str:
    """The text without a stretch, without comments, and without the lines that leaves blank."""
    while end < len(text) and text[end] in " \t":
        end += 1
    if end < len(text) and text[end] == ",":
        end += 1
        while end < len(text) and text[end] in " \t":
            end += 1
    gone = [(start, end), *((one.start, one.start + len(one.text)) for one in own)]
    emptied = set()
    lines = Text("", text)
    for begin, finish in gone:
        emptied |= set(range(lines.span(begin).line, lines.span(max(finish - 1, begin)).line + 1))
    for begin, finish in sorted(gone, reverse=True):
        # Line ends stay for now, so that lines keep their numbers.
        text = text[:begin] + "\n" * text.count("\n", begin, finish) + text[finish:]
    kept: list[str] = []
    removed = False
    for number, row in enumerate(text.split("\n"), 1):
        if number in emptied and not row.strip():
            removed = True
        elif removed and not row.strip() and not "".join(kept[-1:]).strip():
            continue  # of two blank lines that meet, one stays
        else:
            removed = False
            kept.append(row.rstrip() if number in emptied else row)
    return "\n".join(kept)


def _kept(before: str, after: str, own: list[Comment], fix: Fix, at: int) -> bool:
    """Whether the new text says all of the old one but what was to go."""
    old, new = parse(before), parse(after)
    if new.errors or new.doc != old.doc:
        return False
    was = Counter(one.text.rstrip() for one in comments(old.text))
    was -= Counter(one.text.rstrip() for one in own)
    if was != Counter(one.text.rstrip() for one in comments(new.text)):
        return False
    left = [_pruned(one, fix, old.text, at) for one in old.statements]
    return bool(meaning(tuple(one for one in left if one is not None)) == meaning(new.statements))


def _pruned(statement: ast.Statement, fix: Fix, text: Text, at: int) -> ast.Statement | None:
    """A statement without the thing; None where the statement is the thing."""

    def here(word: ast.Word | ast.String | None) -> bool:
        return word is not None and text.starts[word.span.line - 1] + word.span.column - 1 == at

    match statement:
        case ast.Use():
            return None if fix.rule == "use" and here(statement.file) else statement
        case ast.ParamDeclaration():
            return None if fix.rule == "param" and here(statement.name) else statement
        case ast.NodeDeclaration() if fix.rule == "let":
            statement.block.clauses = tuple(one for one in statement.block.clauses if not here(one.name))
        case ast.GraphDeclaration():
            for node in statement.nodes:
                _pruned(node, fix, text, at)
    return statement
