"""The rules, by their codes. A rule is added by its module and a line here."""

from __future__ import annotations

from types import ModuleType

from engine.language.lint import (
    check_without_else,
    column_shadowed,
    constant_gate,
    costly_filter,
    document_in_system,
    emit_without_expect,
    even_votes,
    idle_ignore,
    never_retried,
    no_description,
    schema_not_shown,
    unused_graph,
    unused_import,
    unused_let,
    unused_model,
    unused_node,
    unused_param,
    unused_slot,
    unused_type,
    verdict_before_reason,
    verdict_without_reason,
)
from engine.language.lint.rule import Rule

MODULES: tuple[ModuleType, ...] = (
    idle_ignore,
    unused_node,
    unused_param,
    unused_import,
    unused_type,
    unused_model,
    unused_graph,
    unused_slot,
    unused_let,
    even_votes,
    verdict_before_reason,
    verdict_without_reason,
    costly_filter,
    constant_gate,
    check_without_else,
    never_retried,
    emit_without_expect,
    column_shadowed,
    schema_not_shown,
    document_in_system,
    no_description,
)


def _rule(module: ModuleType) -> Rule:
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    return Rule(
        module.CODE, name, (module.__doc__ or "").strip(), module.check, getattr(module, "FIXABLE", False)
    )


RULES: tuple[Rule, ...] = tuple(_rule(module) for module in MODULES)


def rule_named(word: str) -> Rule | None:
    """The rule of a code (in any case, or its number alone) or of a name."""
    folded = word.strip().lower().replace("_", "-")
    codes = (folded, f"atk{folded}")
    return next((rule for rule in RULES if rule.name == folded or rule.code.lower() in codes), None)
