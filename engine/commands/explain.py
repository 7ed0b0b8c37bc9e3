"""`atk explain`: what an error code means, an example, and the mend."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.commands._options import Debug, Json

Code = Annotated[
    str | None, typer.Argument(metavar="[CODE]", help="Such as ATK121; all codes are listed without one.")
]


def explain(code: Code = None, json: Json = False, debug: Debug = False) -> None:
    """Say what an error code means, with an example and the mend."""
    from engine.commands._errors import stop
    from engine.commands._render import print_json, table
    from engine.language.diagnostics import closest
    from engine.language.explain import explanations
    from engine.language.lint.rules import rule_named

    codes = explanations()
    if code is None:
        if json:
            print_json({name: entry.title for name, entry in codes.items()})
        else:
            for line in table(("code", "meaning"), [(name, entry.title) for name, entry in codes.items()]):
                print(line)
        return
    wanted = code.strip().upper()
    if wanted.isdigit():
        wanted = f"ATK{wanted}"
    rule = rule_named(code)
    wanted = rule.code if rule is not None else wanted
    if wanted not in codes:
        near = closest(wanted, codes)
        stop(
            f"there is no error code {code}",
            f"did you mean {near}?" if near else "atk explain lists all codes",
        )
    entry = codes[wanted]
    if json:
        print_json({"code": wanted, "title": entry.title, "text": entry.text})
    else:
        print(f"{wanted}: {entry.title}\n\n{entry.text.strip()}")
