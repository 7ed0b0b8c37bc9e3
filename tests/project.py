"""A small project in a folder of its own, run in this process: what the end-to-end tests share."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from engine.runtime import execute, load, plan
from engine.runtime.engine import Options
from engine.runtime.events import Plan, Summary

DOCUMENTS = {
    "clouds.txt": "A cumulus forms when warm air rises. It has a flat base and a domed top. "
    "Cumulus clouds seldom bring rain unless they grow tall.",
    "rain.txt": "Rain falls when droplets in a cloud grow heavy. Cold clouds make rain from ice. "
    "Warm clouds make rain by collision of droplets.",
    "wind.txt": "Wind blows from high pressure to low pressure. The turning of the earth bends it. "
    "Near the ground friction slows the wind down.",
}

GRAPH = """
param inputs: path = "inputs"

model asked from default {{ temperature = 0.5 }}

type Document {{ path: str, title: str?, text: str }}
type Verdict {{ why: str, ok: bool }}
type QA {{ question: str, answer: str }}

source documents -> Document[] {{ path = inputs }}
chunk passages from documents {{ size = 1_000 }}
prompt worthy from passages -> Verdict {{ template = "worthy", model = asked, keep ok }}
prompt drafted from worthy -> QA[] {{ template = "draft", model = asked, retries = {retries} }}
{more}
"""

PROMPTS = {
    "worthy": "system:\nIs this passage worth a question?\n{{ schema }}\n\nuser:\nPassage: {{ text }}\n",
    "draft": "system:\nWrite two questions.\n{{ schema }}\n\nuser:\nPassage: {{ text }}\n",
}


class Project:
    """Files beneath a folder; `run` and `plan` as the commands would do it."""

    def __init__(self, root: Path, monkeypatch: Any, base_url: str | None = None):
        self.root = root
        for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        if base_url is not None:
            monkeypatch.setenv("ATK_BASE_URL", base_url)
            monkeypatch.setenv("ATK_MODEL", "mock")
        for name, text in DOCUMENTS.items():
            self.write(f"inputs/{name}", text)
        for name, text in PROMPTS.items():
            self.write(f"prompts/{name}.md", text)
        self.graph()

    def take(self, other: Project) -> None:
        """All files of another project, its store among them: what its runs left need not be run again."""
        shutil.copytree(other.root, self.root, dirs_exist_ok=True)

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def graph(self, more: str = "", retries: int = 2, text: str | None = None, name: str = "graph") -> None:
        self.write(f"{name}.atk", text if text is not None else GRAPH.format(more=more, retries=retries))

    @property
    def options(self) -> Options:
        return Options(root=self.root, store=self.root / ".atk" / "store.duckdb", out=self.root)

    def load(self, name: str = "graph", **values: str) -> Any:
        program = load(f"{name}.atk", values=values, root=self.root)
        assert program.ok, [diagnostic.message for diagnostic in program.diagnostics]
        return program

    def run(self, name: str = "graph", **values: str) -> Summary:
        return asyncio.run(execute(self.load(name, **values), self.options))

    def plan(self, name: str = "graph", **values: str) -> Plan:
        return plan(self.load(name, **values), self.options)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        from engine.store import connect

        connection = connect(self.options.store)
        try:
            return connection.sql(query).fetchall()
        finally:
            connection.close()

    def table(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """A table as sorted rows of these columns."""
        return sorted(self.rows(f"SELECT {', '.join(columns)} FROM {name}"))
