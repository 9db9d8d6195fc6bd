"""Owns what the writing of machine-level ops must know of a target, whatever else the target is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arithmetic:
    """What a target computes with.

    ``lanes`` is the number of elements of every full vector, whatever the element type: the width of an f32 register.
    ``fma``: fused multiply-add in one instruction; ``half``: conversions between f16 and f32 in hardware.
    """

    lanes: int
    fma: bool
    half: bool
