"""distilabel: rows into one task of text generation, with its cache of steps.

What is in flight is the size of a batch, which ends before the next begins.
"""

from __future__ import annotations

from _given import done, given, texts
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main() -> None:
    with Pipeline(name="rows", cache_dir="cache") as pipeline:
        load = LoadDataFromDicts(
            name="load", data=[{"text": text} for text in texts], batch_size=given.in_flight
        )
        model = OpenAILLM(model="mock", base_url=given.base_url, api_key="sk-mock", timeout=600)
        asked = TextGeneration(
            name="asked",
            llm=model,
            input_batch_size=given.in_flight,
            template="{{ text }}",
            columns=["text"],
            add_raw_input=False,
            add_raw_output=False,
        )
        load >> asked
    answers = pipeline.run(use_cache=True)["default"]["train"]["generation"]
    done(sum(answer is not None for answer in answers))


if __name__ == "__main__":  # its steps are processes that read this file
    main()
