"""What holds for every run of the tests. Other fixtures stand in the files that use them."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests import amount

# The same examples each time, so that a run that fails fails again, and no clock that fails one on a busy
# machine. `--hypothesis-profile=explore` tries others.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    amount.quick = "not slow" in config.option.markexpr


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once: an endpoint that is dead does not come back."""
    from engine.models import faults

    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
