"""What holds for every run of the tests. Fixtures stand in the files that use them."""

from __future__ import annotations

import pytest

from tests import amount


def pytest_configure(config: pytest.Config) -> None:
    amount.quick = "not slow" in config.option.markexpr
