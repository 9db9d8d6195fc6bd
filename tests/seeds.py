"""Seeds of fresh random data."""

from __future__ import annotations

import secrets


def fresh_seed() -> int:
    """A new seed, printed so that a failure can be repeated."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return seed
