"""Library kernels compiled for sm_80 and run in the emulator, compared with the reference and with NumPy peers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.data_classes import fill
from tests.library_cases import CASES, FOLDER, Case

from tilewright.compiler import sources
from tilewright.compiler.driver import instance_of
from tilewright.compiler.jobs import Job, artifact_of
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.emulated import EmulatorEngine
from tilewright.runtime.launch import Program
from tilewright.runtime.switches import Switches

Array = NDArray[Any]
Arguments = dict[str, Any]
POLICIES: tuple[dict[str, Any], ...] = (
    {"schedule": "in-order", "completion": "eager"},
    {"schedule": "reverse", "completion": "lazy"},
    {"schedule": "random", "completion": "random", "seed": 1},
    {"schedule": "random", "completion": "lazy", "seed": 2},
)
CHECKS = ("memory", "races", "barriers", "performance")


@dataclass
class Coverage:
    """The blocks of PTX that ran in any launch, by kernel."""

    missed: dict[str, set[int]] = field(default_factory=dict)
    total: Counter[str] = field(default_factory=Counter)

    def add(self, reports: dict[str, Any]) -> None:
        for name, report in reports.items():
            lines = set(report.coverage.missed_lines)
            self.missed[name] = self.missed.get(name, lines) & lines
            self.total[name] = report.coverage.total

    @property
    def share(self) -> float:
        return 1.0 - sum(map(len, self.missed.values())) / sum(self.total.values())


def case_of(kernel: str, **consts: Any) -> Case:
    return next(case for case in CASES if case.kernel == kernel and case.consts == consts)


def facts_for(case: Case, sizes: dict[str, int] | None) -> tuple[str, ...]:
    """What just-in-time compilation would assume of aligned tensors with these sizes; nothing for None."""
    if sizes is None:
        return ()
    names = [spec.partition(":")[0] for spec in case.tensors.split()]
    outputs = [output.name for output in case.typed("f32").outputs]
    divisible = [f"{dim} % 16 == 0" for dim, size in sizes.items() if size % 16 == 0]
    return (*[f"align({name}) >= 16" for name in (*names, *outputs)], *divisible, "index32")


def artifact(case: Case, dtype: str, facts: tuple[str, ...] = ()) -> Artifact:
    """The compiled kernel; without a cache on disk, so that what is tested is what was just built."""
    key = (case.module, case.id, dtype, facts)
    if key not in _MADE:
        _MADE[key] = _compiled(case, dtype, facts)
    return _MADE[key]


_MADE: dict[tuple[Any, ...], Artifact] = {}


def _compiled(case: Case, dtype: str, facts: tuple[str, ...]) -> Artifact:
    program = sources.program(FOLDER / f"{case.module}.tw")
    checked = program.kernel(case.kernel)
    types = {"T": dtype} if "T" in checked.type_params else {}
    settings = Settings(facts=facts, keep=True)
    job = Job(program, case.kernel, instance_of(checked, types, case.consts), "sm_80", (), (), settings)
    return artifact_of(job, Switches(cache=False))


def drawn(case: Case, dtype: str, sizes: dict[str, int], data: str = "random", seed: int = 0) -> Arguments:
    """Arguments of these sizes: aligned tensors, and the case's scalars."""
    generator = np.random.default_rng([seed, *sizes.values()])
    specs = [spec.split(":") for spec in case.tensors.split()]
    tensors = {name: fill(data, tuple(sizes[d] for d in rest.split(",")), dtype, generator) for name, rest in specs}
    return {**tensors, **case.scalars}


class Checked:
    """One compiled kernel under test; its calls are compared, and must leave no finding."""

    def __init__(self, case: Case, dtype: str, facts: tuple[str, ...] = ()) -> None:
        self.case, self.dtype = case, dtype
        self.typed = case.typed(dtype)
        self.artifact = artifact(case, dtype, facts)
        self.coverage = Coverage()
        self.reports: dict[str, Any] = {}
        self._engines: dict[tuple[Any, ...], EmulatorEngine] = {}

    def __call__(self, arguments: Arguments, **policy: Any) -> dict[str, Array]:
        """The outputs by name; raises what the launcher raises for a finding."""
        program = Program(self.artifact.plan, self._engine(policy))
        result = program(**arguments)
        self.reports = program.engine.reports  # type: ignore[attr-defined]
        self.coverage.add(self.reports)
        names = [output.name for output in self.typed.outputs]
        return dict(zip(names, result if len(names) > 1 else (result,), strict=True))

    def _engine(self, policy: dict[str, Any]) -> EmulatorEngine:
        key = tuple(sorted(policy.items()))
        if key not in self._engines:
            self._engines[key] = EmulatorEngine(self.artifact.code["ptx"].decode(), **policy)
        return self._engines[key]

    def check(self, arguments: Arguments, what: str = "", peer: bool = True, **policy: Any) -> None:
        """Run, and compare with the reference within its bound and with the peer within as much and one rounding."""
        outputs = self(arguments, **policy)
        evaluation = evaluate(self.typed, arguments)
        expected = self.case.expected(arguments) if peer else {}
        for name, value in outputs.items():
            found = compare(evaluation, name, value)
            assert found.ok, f"{what} {self.dtype}: {found.message}"
            if name in expected:
                limits = ml_dtypes.finfo(value.dtype)
                rounding = max(float(limits.eps), 1e-12) * np.abs(expected[name]) + float(limits.smallest_subnormal)
                distance = np.abs(value.astype(np.float64) - expected[name])
                near = (distance <= 2 * evaluation.bound[name] + rounding) | evaluation.undecided[name]
                assert near.all(), f"{what} {self.dtype} {name}: {distance.max()} from the peer"
