"""datatrove: its inference runner against an endpoint, without checkpoints.

With them every row is a commit of its own, a minute for 5,000 rows; so this one cannot resume.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from _given import done, given, texts

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter


async def asked(document, generate):
    answer = await generate({"messages": [{"role": "user", "content": document.text}]})
    return answer.text


def main() -> None:
    runner = InferenceRunner(
        rollout_fn=asked,
        config=InferenceConfig(
            server_type="endpoint",
            endpoint_url=given.base_url.removesuffix("/v1"),
            api_key="sk-mock",
            model_name_or_path="mock",
            use_chat=True,
            max_concurrent_generations=given.in_flight,
            metric_interval=600,
        ),
        records_per_chunk=1_000,
        output_writer=JsonlWriter("out", output_filename="${rank}_${chunk_index}.jsonl", compression=None),
    )
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    LocalPipelineExecutor(pipeline=[documents, runner], logging_dir="logs", tasks=1, workers=1).run()
    lines = [line for file in Path("out").glob("*.jsonl") for line in file.read_text().splitlines()]
    done(sum(bool(json.loads(line)["metadata"].get("rollout_results")) for line in lines))


if __name__ == "__main__":
    main()
