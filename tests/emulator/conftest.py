"""Owns what the tests of the emulator share: the kernels that Triton compiles."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The kernels; a failed import is a failure, as the mark asked for Triton. Nothing compiled earlier is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        from tests.emulator import triton_kernels

        yield triton_kernels
