"""Owns the CPU as an engine: native code of a plan, the slots of its calls, and when more than one thread pays.

The cells of a launch are independent, so threads never change a result. A launch that took longer than
``PARALLEL_SECONDS`` on one thread goes to the pool the next time it runs on the same shapes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tilewright.runtime import cpu
from tilewright.runtime.errors import ArtifactError
from tilewright.runtime.launch import Frame, Placed, Step, Value, check_failed
from tilewright.runtime.workspace import Buffer, WorkspacePool, kept

PARALLEL_SECONDS = 1e-3


@dataclass(frozen=True)
class SlotLayout:
    """The slot array of one step: what is known when it is bound, and which slots take which entry of the frame."""

    template: tuple[int, ...]
    patches: tuple[tuple[int, int], ...]

    def fill(self, frame: Frame) -> list[int]:
        values = list(self.template)
        for slot, source in self.patches:
            values[slot] = frame[source]
        return values


def slot_layout(operands: Sequence[Placed | Value]) -> SlotLayout:
    """Slots in the order of the native ABI: a view's address, then one stride per axis where it is ``strided``."""
    template: list[int] = []
    patches: list[tuple[int, int]] = []
    for operand in operands:
        if operand.source is None:
            template.append(operand.constant)
            continue
        patches.append((len(template), operand.source))
        template.append(0)
        if isinstance(operand, Placed) and operand.layout == "strided":
            template.extend(operand.strides)
    return SlotLayout(tuple(template), tuple(patches))


class CpuEngine:
    """Native code of one plan in this process; ``threads`` 0 means one per core."""

    device = "cpu"

    def __init__(self, object_bytes: bytes, launches: Sequence[str], threads: int = 0) -> None:
        self._library = cpu.NativeLibrary(object_bytes, list(launches))
        self._threads = threads or available_cores()
        self._pool = WorkspacePool()

    def take(self, size: int) -> Buffer:
        return self._pool.take(size)

    def give(self, workspace: Buffer) -> None:
        self._pool.give(workspace)

    def keep(self, content: bytes) -> Buffer:
        return kept(content)

    def bind(self, step: Step) -> Callable[[Frame], None]:
        """The step as a function of a frame. How many cells and how much scratch it has depends on its dims alone."""
        layout = slot_layout(step.operands)
        entry = self._library.entries[step.launch.name]
        probe = _slots(layout.template, 0)
        cells, scratch_bytes = entry.cells(probe), entry.scratch(probe)
        slow = [False]

        def run(frame: Frame) -> None:
            values = layout.fill(frame)
            if slow[0]:
                return self._run_parallel(step, entry, values)
            start = time.perf_counter()
            self._run_alone(step, entry, values, cells, scratch_bytes)
            slow[0] = self._threads > 1 and cells > 1 and time.perf_counter() - start > PARALLEL_SECONDS
            return None

        return run if cells else _nothing

    def _run_alone(self, step: Step, entry: cpu.Entry, values: list[int], cells: int, scratch_bytes: int) -> None:
        status = ctypes.c_int64(0)
        slots = _slots(values, ctypes.addressof(status))
        scratch = self._pool.take(scratch_bytes)
        entry.run(slots, 0, cells, scratch.pointer)
        self._pool.give(scratch)
        if status.value:
            raise check_failed(step, status.value)

    def _run_parallel(self, step: Step, entry: cpu.Entry, values: list[int]) -> None:
        try:
            cpu.launch(entry, cpu.Slots(values), shared_pool(self._threads))
        except cpu.NativeCheckFailed as failure:
            raise check_failed(step, failure.site) from None


def _nothing(frame: Frame) -> None:
    """A launch without cells."""


def _slots(values: Sequence[int], status: int) -> ctypes.Array[ctypes.c_int64]:
    """The slot array, with the address of the status last; ctypes wraps what is above 63 bits."""
    return _slot_array(len(values) + 1)(*values, status)


@functools.cache
def _slot_array(size: int) -> type[ctypes.Array[ctypes.c_int64]]:
    return ctypes.c_int64 * size


@functools.cache
def shared_pool(threads: int) -> cpu.ThreadPool:
    """The process's threads; all kernels share them."""
    return cpu.ThreadPool(threads)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_host(target: Mapping[str, str]) -> None:
    """Refuse native code of another machine (TW1103): another architecture, or features that this CPU lacks."""
    import llvmlite.binding as llvm

    here = llvm.get_process_triple().partition("-")[0]
    wanted = target.get("triple", here).partition("-")[0]
    if wanted != here:
        raise ArtifactError("TW1103", "the code is for another processor", expected=wanted, found=here)
    have = {name for name, on in llvm.get_host_cpu_features().items() if on}
    needed = {item[1:] for item in target.get("features", "").split(",") if item.startswith("+")}
    if needed - have:
        missing = ", ".join(sorted(needed - have))
        raise ArtifactError("TW1103", f"this processor lacks {missing}", expected=target.get("cpu", ""),
                            found=llvm.get_host_cpu_name(), remedy="compile the kernel for this machine")  # fmt: skip
