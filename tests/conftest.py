"""Owns what all tiers share: which tests run on this machine, and how long a soak lasts."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")  # a busy machine is no reason to fail


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=0.0, help="length of each soak test; 0 skips them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine or this run cannot do; what ``-m`` names fails instead."""
    reasons = {
        "soak": "" if config.getoption("--soak-seconds") else "runs with --soak-seconds",
        "torch": "" if importlib.util.find_spec("torch") else "needs PyTorch",
        "triton": "" if importlib.util.find_spec("triton") else "needs Triton",
    }
    asked = re.findall(r"\w+", config.getoption("markexpr"))
    reasons |= {marker: "" for marker in ("torch", "triton") if marker in asked}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads what an earlier run compiled, and none leaves anything in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TILEWRIGHT_")]:
            patch.delenv(name)
        patch.setenv("TILEWRIGHT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TILEWRIGHT_CRASH_DIR", str(tmp_path_factory.mktemp("crashes")))
        yield


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float:
    """How long a soak test should go on."""
    return float(request.config.getoption("--soak-seconds"))
