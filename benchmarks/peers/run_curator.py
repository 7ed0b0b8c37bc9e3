"""bespokelabs curator: one `LLM` over a list of rows, with its cache of responses.

Its tokenizer's vocabulary comes from the network; a table of the 256 bytes stands in for it.
"""

from __future__ import annotations

import os

import tiktoken
from _given import done, given, texts

os.environ |= {
    "CURATOR_CACHE_DIR": "cache",
    "CURATOR_VIEWER": "0",
    "TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
table = {bytes([byte]): byte for byte in range(256)}
encoding = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=table, special_tokens={})
tiktoken.get_encoding = tiktoken.encoding_for_model = lambda name: encoding

from bespokelabs import curator  # noqa: E402 - it reads the environment and the tokenizer


class Asked(curator.LLM):
    def prompt(self, row):
        return row["text"]

    def parse(self, row, response):
        return [{"text": row["text"], "answer": response}]


asked = Asked(
    model_name="mock",
    backend="openai",
    backend_params={
        "base_url": given.base_url,
        "api_key": "sk-mock",
        "max_requests_per_minute": 10**9,
        "max_tokens_per_minute": 10**12,
        "max_concurrent_requests": given.in_flight,
    },
)
done(len(asked([{"text": text} for text in texts]).dataset))
