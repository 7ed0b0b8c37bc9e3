"""A param that nothing uses.

## What it does

Finds params that no setting, clause, query, prompt or model of the file names. `seed` and `ask_above`
are read by the run itself.

## Why is this bad?

Whoever sets it with `-p` believes that it changes something.

## Example

```atk fragment
param overlap: int = 50                  ## Tokens that neighbours share.
chunk passages from documents { size = 800 }
```

## Use instead

```atk fragment
param overlap: int = 50                  ## Tokens that neighbours share.
chunk passages from documents { size = 800, overlap = overlap }
```

## Fix safety

`--fix` takes the param out with its doc comment, unless a profile sets it or another comment stands
beside it. A command that sets it with `-p` has to be changed by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.language import rewards
from engine.language import tree as ast
from engine.language.diagnostics import Wrong
from engine.language.lint.linted import Linted, named, words
from engine.language.lint.rule import Finding, Fix
from engine.language.program import READ_BY_RUNS

CODE = "ATK502"
FIXABLE = True


def check(graph: Linted) -> Iterator[Finding]:
    """Params whose names stand nowhere."""
    if graph.library:
        return
    statements = graph.source.statements
    used = graph.names(graph.scopes[0]) | READ_BY_RUNS
    profiles: set[str] = set()
    for statement in statements:
        match statement:
            case ast.NodeDeclaration() if (written := rewards.setting(statement)) is not None:
                used |= handed_to(written.value, statements, graph)
            case ast.ModelDeclaration() | ast.TestDeclaration():
                used |= words(statement.block)
            case ast.Use(block=ast.Block() as block):
                used |= words(block)
            case ast.ProfileDeclaration():
                profiles |= {setting.name.text for setting in statement.block.settings}
                used |= words(statement.block)
            case ast.ParamDeclaration(default=default) if default is not None:
                used |= {word for part in ast.walk(default) for word in named(part)} - {statement.name.text}
    for statement in statements:
        if isinstance(statement, ast.ParamDeclaration) and (name := statement.name).text not in used:
            fix = None if name.text in profiles else Fix("param", name.span)
            yield Finding(f"nothing uses the param `{name.text}`", name.span, "take it out", fix=fix)


def handed_to(written: ast.Expression, statements: Iterable[ast.Statement], graph: Linted) -> set[str]:
    """Params that set the slots of the graphs which a reward names; of imported ones it may be any."""
    local = {one.name.text: one for one in statements if isinstance(one, ast.GraphDeclaration)}
    found: set[str] = set()
    try:
        names = [one.path.dotted for one in rewards.named(written)]
    except Wrong:
        return found
    for name in names:
        if name in local:
            found |= {slot.name.text for slot in local[name].slots}
        else:
            found |= {one.name.text for one in statements if isinstance(one, ast.ParamDeclaration)}
    return found
