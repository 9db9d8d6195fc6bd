"""Owns the PTX emulator as an engine: launches run on NumPy arrays, every certain finding is an error.

Slow on purpose: it checks each access. Sizes of a tile or two are what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.dtypes import numpy_dtype
from tilewright.runtime.errors import RunError
from tilewright.runtime.launch import Frame, Placed, Step, Value, check_failed
from tilewright.runtime.views import TensorView, as_numpy
from tilewright.runtime.workspace import Buffer, WorkspacePool, kept


class EmulatorEngine:
    """PTX of one plan in the emulator, on host memory.

    ``options`` go to every ``emulator.launch`` (``schedule``, ``completion``, ``check``, ``seed`` …); ``reports`` keeps
    what the launches of the latest call found and counted, by launch.
    """

    device = "cpu"

    def __init__(self, ptx: str, **options: Any) -> None:
        from tilewright.runtime import emulator

        self._emulator: Any = emulator
        self._options = options
        self.reports: dict[str, Any] = {}
        self._module = emulator.Module.parse(ptx)
        self._pool = WorkspacePool()

    def take(self, size: int) -> Buffer:
        return self._pool.take(size)

    def give(self, workspace: Buffer) -> None:
        self._pool.give(workspace)

    def keep(self, content: bytes) -> Buffer:
        return kept(content)

    def bind(self, step: Step) -> Callable[[Frame], None]:
        launch = step.launch
        grid = (*step.cells, 1, 1, 1)[:3]

        def run(frame: Frame) -> None:
            status = np.zeros(1, np.int64)
            arguments = [value for operand in step.operands for value in _arguments(operand, frame)]
            report = self._emulator.launch(
                self._module, launch.name, grid=grid, block=launch.block, cluster=launch.cluster,
                shared_bytes=launch.shared_bytes, args=[*arguments, status], **self._options,
            )  # fmt: skip
            self.reports[launch.name] = report
            if report.errors:
                raise RunError("TW1020", f"the emulator found a fault in {launch.name}: {report.errors[0]}",
                               site=launch.name)  # fmt: skip
            if status[0]:
                raise check_failed(step, int(status[0]))

        return run


def _arguments(operand: Placed | Value, frame: Frame) -> list[Any]:
    """A tensor as an array (one of rank 0 would be a number), with run-time strides; a scalar in its own type."""
    if isinstance(operand, Placed):
        view = TensorView(
            frame[operand.source], operand.shape, operand.strides, operand.dtype, operand.written, "cpu", None
        )
        strides = operand.strides if operand.layout == "strided" else ()
        array = as_numpy(view)
        return [array.reshape(1) if array.ndim == 0 else array, *(np.int64(stride) for stride in strides)]
    if operand.source is None:
        return [np.int64(operand.constant)]
    dtype = numpy_dtype(operand.dtype)
    bits = frame[operand.source].to_bytes(8, "little")[: dtype.itemsize]
    return [np.frombuffer(bits, dtype)[0]]
