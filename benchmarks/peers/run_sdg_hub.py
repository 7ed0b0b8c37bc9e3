"""sdg_hub: a flow of a prompt, a model and what is taken from its answer, with checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

from _given import done, given, texts

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import pandas
from sdg_hub import Flow

FLOW = """
metadata: {name: Rows, description: one prompt, version: 1.0.0, author: benchmark, id: rows-1}
blocks:
- block_type: PromptBuilderBlock
  block_config: {block_name: build, input_cols: [text], output_cols: messages, prompt_config_path: ask.yaml}
- block_type: LLMChatBlock
  block_config: {block_name: asked, input_cols: messages, output_cols: response, async_mode: true}
- block_type: LLMResponseExtractorBlock
  block_config: {block_name: taken, input_cols: response, field_prefix: taken_, extract_content: true}
"""
Path("flow.yaml").write_text(FLOW)
Path("ask.yaml").write_text('- role: user\n  content: "{{ text }}"\n')
flow = Flow.from_yaml("flow.yaml")
flow.set_model_config(model="openai/mock", api_base=given.base_url, api_key="sk-mock", timeout=600)
made = flow.generate(
    pandas.DataFrame({"text": texts}),
    checkpoint_dir="checkpoints",
    save_freq=1_000,
    max_concurrency=given.in_flight,
)
done(int(made["taken_content"].notna().sum()))
