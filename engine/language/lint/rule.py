"""What a rule of the linter is: a module whose docstring is its page, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.frozen import dataclass
from engine.language.diagnostics import Diagnostic, Span
from engine.language.lint.linted import Linted


@dataclass(frozen=True)
class Fix:
    """A thing that can be taken out: the rule of the grammar it is, and the place of a part of it."""

    rule: str
    at: Span


@dataclass(frozen=True)
class Finding:
    """What a rule found, where, and how it can be mended."""

    message: str
    span: Span
    help: str | None = None
    related: tuple[tuple[Span, str], ...] = ()
    fix: Fix | None = None


@dataclass(frozen=True)
class Rule:
    """One rule. `page` is Markdown: what it does, why, an example, and what to write instead."""

    code: str
    name: str
    page: str
    check: Callable[[Linted], Iterator[Finding]]
    fixable: bool = False

    @property
    def title(self) -> str:
        """The first line of the page, without its full stop."""
        return self.page.strip().split("\n", 1)[0].rstrip(".")


@dataclass(frozen=True)
class Found:
    """A finding with the rule that made it."""

    rule: Rule
    finding: Finding

    @property
    def diagnostic(self) -> Diagnostic:
        """As it is shown: a warning."""
        finding = self.finding
        message = f"{finding.message} ({self.rule.name})"
        return Diagnostic(
            self.rule.code, message, finding.span, finding.help, finding.related, severity="warning"
        )
