"""The manual's page on the linter, made of the rules' docstrings: `python -m engine.language.lint.page`."""

from __future__ import annotations

import re

from engine.language.lint.rule import Rule
from engine.language.lint.rules import RULES

HEAD = """\
# Lint

`atk lint` finds what is no error in a graph and yet hardly meant: a param that nothing uses, a verdict
that is written before its reason, a data set that may be empty. `atk check` says whether a graph can
run; lint asks whether it says what its author thinks. Without a name it takes every `.atk` file beneath
the folder you are in. It looks at the files it is given, not at what they import.

The exit code is 0 where nothing was found, 1 where something was, 2 where a graph is wrong.
`--select RULE` and `--ignore RULE` choose rules by code or name, `--json` is for programs.

`--fix` takes out what is needless, where that is safe. The new text is read again before it is written:
it must say all that the old one said but for what was taken out, no comment may be gone but the thing's
own `##` ones, and the graph must still be right. Anything else stays for a person to decide.

A comment silences a rule on its own line; alone on a line, on the next line with something on it:

```atk fragment
param batch: int = 7                     # atk: ignore unused-param: scripts still set it
```

Codes do as well as names (`# atk: ignore ATK502`), several are parted by commas, and behind a colon
there is room for the reason. A comment that silences nothing is a finding itself.

"""


def page() -> str:
    """All rules as Markdown."""
    out = [HEAD + "| code | rule | | `--fix` |\n|---|---|---|---|"]
    out += [
        f"| {rule.code} | [{rule.name}](#{anchor(rule)}) | {rule.title[:1].lower()}{rule.title[1:]} "
        f"| {'yes' if rule.fixable else ''} |"
        for rule in RULES
    ]
    for rule in RULES:
        body = re.sub(r"^## ", "### ", rule.page, flags=re.M)
        out += ["", f"## {rule.code} {rule.name}", "", body]
    return "\n".join(out).rstrip() + "\n"


def anchor(rule: Rule) -> str:
    """Where the rule's heading is on the page."""
    return f"{rule.code.lower()}-{rule.name}"


if __name__ == "__main__":
    print(page(), end="")
