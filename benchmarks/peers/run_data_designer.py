"""NeMo Data Designer: a seed data set and one column that a model writes, resumable."""

from __future__ import annotations

import os
from pathlib import Path

from _given import done, given, texts

os.environ |= {"NEMO_TELEMETRY_ENABLED": "false", "DATA_DESIGNER_HOME": "home"}

import data_designer.config as config
import pandas
from data_designer.config.run_config import ResumeMode
from data_designer.interface import DataDesigner

pandas.DataFrame({"text": texts}).to_parquet("seed.parquet")
provider = config.ModelProvider(
    name="mock", endpoint=given.base_url, provider_type="openai", api_key="sk-mock"
)
designer = DataDesigner(artifact_path="artifacts", model_providers=[provider])
designer.set_run_config(config.RunConfig(max_in_flight_tasks=max(1_024, 2 * given.in_flight)))
model = config.ModelConfig(
    alias="asked",
    model="mock",
    provider="mock",
    skip_health_check=True,
    inference_parameters=config.ChatCompletionInferenceParams(
        max_parallel_requests=given.in_flight, timeout=600
    ),
)
builder = config.DataDesignerConfigBuilder(model_configs=[model])
builder.with_seed_dataset(config.LocalFileSeedSource(path=str(Path("seed.parquet").resolve())))
builder.add_column(config.LLMTextColumnConfig(name="answer", model_alias="asked", prompt="{{ text }}"))
made = designer.create(
    config_builder=builder, num_records=len(texts), dataset_name="rows", resume=ResumeMode.IF_POSSIBLE
)
done(int(made.load_dataset()["answer"].notna().sum()))
