"""A recording: its cases, their inputs, what a device computed, and which device; one ``.npz`` file.

The cases are stored with their bodies, so that a recording can be replayed after the corpus has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tests.emulator.golden.case import Array, Case, Tolerance, compare
from tests.emulator.golden.conversions import conversion_cases
from tests.emulator.golden.devices import Device
from tests.emulator.golden.scalar import scalar_cases
from tests.emulator.golden.warp import warp_cases

BATCH = 64
"""Kernels of one module: a failure costs little, and an assembler is started rarely."""


@dataclass(frozen=True)
class Difference:
    """A case in which the replaying device gave other values."""

    case: Case
    values: int

    def __str__(self) -> str:
        return f"{self.case.name}: {self.values} values"


def all_cases() -> list[Case]:
    """The corpus, by architecture."""
    return sorted([*scalar_cases(), *conversion_cases(), *warp_cases()], key=lambda case: (case.chip, case.name))


def batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    """Runs of cases of one architecture."""
    for _, group in groupby(cases, key=lambda case: case.chip):
        same = list(group)
        yield from (same[start : start + BATCH] for start in range(0, len(same), BATCH))


def record(path: Path, device: Device, seed: int, cases: Iterable[Case]) -> int:
    """Run the cases that the device has, and store them; returns how many there are."""
    stored: dict[str, Array] = {}
    kept: list[Case] = []
    for batch in batches(case for case in cases if device.can(case)):
        inputs = [case.draw(seed) for case in batch]
        for case, given, found in zip(batch, inputs, device.run(batch, inputs), strict=True):
            number = len(kept)
            stored |= {f"{number}.a{n}": array for n, array in enumerate(given)}
            stored |= {f"{number}.o{n}": array for n, array in enumerate(found)}
            kept.append(case)
    header = json.dumps({"origin": device.origin, "seed": seed, "cases": [asdict(case) for case in kept]})
    np.savez_compressed(path, header=np.frombuffer(header.encode(), np.uint8), **stored)  # type: ignore[arg-type]
    return len(kept)


def replay(path: Path, device: Device) -> tuple[dict[str, Any], int, list[Difference]]:
    """The origin of a recording, the number of its cases, and where the device differs."""
    with np.load(path, allow_pickle=False) as data:
        header = json.loads(data["header"].tobytes())
        cases = [_case(stored) for stored in header["cases"]]
        differences = []
        start = 0
        for batch in batches(cases):
            numbers = range(start, start + len(batch))
            start += len(batch)
            inputs = [
                [data[f"{n}.a{i}"] for i in range(len(case.inputs))] for n, case in zip(numbers, batch, strict=True)
            ]
            for n, case, found in zip(numbers, batch, device.run(batch, inputs), strict=True):
                values = compare(case, found, [data[f"{n}.o{i}"] for i in range(len(case.outputs))])
                differences += [Difference(case, values)] if values else []
    return header["origin"], len(cases), differences


def _case(stored: dict[str, Any]) -> Case:
    fields = {**stored, "tolerance": Tolerance(**stored["tolerance"])}
    return Case(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
