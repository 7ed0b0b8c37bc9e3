"""An OpenAI-compatible endpoint for tests and benchmarks: quick, deterministic, faulty on demand.

    with endpoint(latency_ms=50, p500=0.02, key="k") as e:
        …                                   # ask e.base_url
        assert e.stats()["repeated"] == 0

`python -m tests.endpoint --port 8099 --stay` serves one by hand. The settings are in
`tests.endpoint.config`, the paths in `tests.endpoint.server`. It needs nothing of the engine.
"""

from __future__ import annotations

from tests.endpoint.client import Endpoint, endpoint, start

__all__ = ["Endpoint", "endpoint", "start"]
