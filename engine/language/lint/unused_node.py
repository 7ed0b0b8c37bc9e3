"""A node that nothing reads.

## What it does

Finds nodes that no other node reads, that write nothing and that `expect` nothing: in a file that
writes something (`emit`, `train`), and in the body of a graph, where the returned node is read.

## Why is this bad?

It is paid for on every run, and leads nowhere. Often a `from` names the table before it by mistake.

## Example

```atk fragment
prompt checked from drafted -> Verdict { template = "factual/check_answer", keep ok }
emit sft from drafted { path = "sft.jsonl", format = "messages" }
```

## Use instead

```atk fragment
prompt checked from drafted -> Verdict { template = "factual/check_answer", keep ok }
emit sft from checked { path = "sft.jsonl", format = "messages" }
```

A table that is there to be looked at with SQL gets a comment: `# atk: ignore unused-node`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted, Scope, words, writes
from engine.language.lint.rule import Finding

CODE = "ATK501"


def check(graph: Linted) -> Iterator[Finding]:
    """Nodes of each scope that are neither read nor of any effect."""
    for scope in graph.scopes:
        if scope.graph is None and not any(writes(node) for node in graph.program.nodes.values()):
            continue  # the tables themselves are what the file is for
        read = graph.tables(scope) | _named(graph, scope)
        for declaration in scope.nodes:
            ends = any(writes(node) for node in graph.nodes(declaration))
            ends |= any(clause.word.text == "expect" for clause in declaration.block.clauses)
            if declaration.name.text not in read and not ends:
                yield Finding(
                    f"nothing reads `{declaration.name.text}`, and it writes nothing",
                    declaration.name.span,
                    "read it, or take it out: it is worked out on every run",
                )


def _named(graph: Linted, scope: Scope) -> set[str]:
    """Tables named elsewhere than behind `from`: by settings, by models, by other nodes' queries."""
    found = {word for one in scope.nodes for word in words(one.block) if word != one.name.text}
    for statement in graph.source.statements:
        if isinstance(statement, ast.ModelDeclaration):
            found |= words(statement.block)
    return found
