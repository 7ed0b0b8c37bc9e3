"""Comments that silence a rule at a place: `# atk: ignore ATK503: the reason`.

They speak of their own line, or, alone on a line, of the next line with something on it. What
ignores nothing is told: see `idle_ignore`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.language.diagnostics import Span, suggestion
from engine.language.lexing import Comment, comments
from engine.language.lint import idle_ignore
from engine.language.lint.rule import Finding, Found, Rule
from engine.language.lint.rules import RULES, rule_named
from engine.language.tree import Text

_IGNORE = re.compile(r"#+\s*atk:\s*ignore\b([^:]*)")


class Ignores:
    """The `ignore` comments of one file, and which of them silenced something."""

    rule = rule_named(idle_ignore.CODE)

    def __init__(self, text: Text, running: Collection[Rule]):
        self.running = {rule.code for rule in running}
        self.at: dict[tuple[int, str], tuple[Span, str]] = {}  # (line, code) -> the word that says so
        self.strange: list[Finding] = []
        self.met: set[tuple[int, str]] = set()
        self.text = text
        for comment in comments(text):
            if found := _IGNORE.match(comment.text):
                self.read(comment, found)

    def read(self, comment: Comment, found: re.Match[str]) -> None:
        line = self.next_line(comment.line) if comment.alone else comment.line
        words = list(re.finditer(r"[^\s,]+", found[1]))
        if not words:
            span = self.text.span(comment.start, comment.start + len(found[0].rstrip()))
            self.strange.append(Finding("this names no rule", span, "write the rule's code behind it"))
        for word in words:
            begin = comment.start + found.start(1) + word.start()
            span = self.text.span(begin, begin + len(word[0]))
            rule = rule_named(word[0])
            if rule is None:
                near = suggestion(word[0], [name for one in RULES for name in (one.code, one.name)], most=0)
                help = near if near and near.startswith("did") else "`atk explain` lists all codes"
                self.strange.append(Finding(f"there is no rule `{word[0]}`", span, help))
            else:
                self.at[line, rule.code] = (span, word[0])

    def next_line(self, line: int) -> int:
        """The next line that is neither blank nor a comment."""
        for number, content in enumerate(self.text.lines[line:], line + 1):
            if content.strip() and not content.lstrip().startswith("#"):
                return number
        return line

    def covers(self, found: Found) -> bool:
        """Whether a finding is to be silent."""
        key = (found.finding.span.line, found.rule.code)
        if key in self.at:
            self.met.add(key)
        return key in self.at

    def idle(self) -> list[Found]:
        """Comments that ignore nothing. Those for rules that did not run may be needed."""
        assert self.rule is not None
        findings = list(self.strange)
        for key, (span, word) in self.at.items():
            if key not in self.met and key[1] in self.running:
                findings.append(Finding(f"`{word}` finds nothing here", span, "leave it out of the comment"))
        return [Found(self.rule, one) for one in findings]
