"""The file with which Ollama serves a trained model."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.chat_template import ChatTemplate, shipped
from engine.training.modelfile import modelfile
from tests.test_train import Training

MARKS = {"eos_token": "<|end|>"}
CHATML = """\
FROM .
TEMPLATE \"\"\"{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system
{{ .Content }}<|im_end|>
{{ else if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ .Content }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
\"\"\"
PARAMETER stop "<|im_end|>"
PARAMETER stop "<|end|>"
"""


def test_its_template_writes_what_the_chat_template_writes() -> None:
    assert modelfile(shipped("chatml", MARKS).render, ["<|im_end|>", "<|end|>"]) == CHATML


@pytest.mark.parametrize(
    "source",
    [
        # A system text that comes up unasked.
        (
            "{% if messages[0].role != 'system' %}S{% endif %}"
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        ),
        # Texts that are changed, and the last turn written otherwise.
        "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if loop.last %}!{% endif %}{% endfor %}",
        # Roles that are refused.
        (
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
            "{% endfor %}"
        ),
        # Marks that the other language reads as its own.
        "{% for m in messages %}{{ '{{' }}{{ m.role }}{{ m.content }}{% endfor %}",
    ],
)
def test_a_template_of_another_form_gets_none(source: str) -> None:
    assert modelfile(ChatTemplate(source).render, []) is None


def test_a_model_that_was_taught_to_answer_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Training(tmp_path, monkeypatch)
    project.base()
    project.pretender()
    more = 'train expert from conversations { method = "sft", start = knows, epochs = 1, batch = 4 }'
    project.graph_of(more=more)
    assert project.run().errors == []
    models = project.root / "out/models"
    assert not (models / "knows/latest/model/Modelfile").exists()
    text = (models / "expert/latest/model/Modelfile").read_text()
    assert text.startswith("FROM .\nTEMPLATE")
    assert 'PARAMETER stop "<|end|>"' in text
