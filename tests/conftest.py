"""Owns what all tiers share: which tests run on this machine, and how long a soak lasts."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=0.0, help="length of each soak test; 0 skips them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine or this run cannot do."""
    reasons = {
        "soak": "" if config.getoption("--soak-seconds") else "runs with --soak-seconds",
        "torch": "" if importlib.util.find_spec("torch") else "needs PyTorch",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float:
    """How long a soak test should go on."""
    return float(request.config.getoption("--soak-seconds"))
