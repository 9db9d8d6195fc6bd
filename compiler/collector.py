"""Owns the pause of Python's cycle collector during a compilation.

Every level of a kernel lives until the next is made, and none of it is garbage: the collector would walk all of it
again and again, half of the time at 5,000 operations. What cycles remain are found by the first collection afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Cycles are not collected inside. Nested, or in several threads: until the first that found it on leaves."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
