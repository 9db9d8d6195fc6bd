"""Runs native code: loads object bytes, fills the slots of the native ABI, spreads grid cells over threads.

Imports no MLIR: object code from a cache or an ahead-of-time artifact runs with llvmlite, ctypes and NumPy alone.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

SCRATCH_ALIGNMENT = 64
CELLS_PER_THREAD = 4  # chunks handed to each thread, so that a late one does not hold up the others
CELLS, SCRATCH = "_cells", "_scratch"
MATH_SYMBOLS = (
    "exp", "exp2", "log", "log2", "log1p", "expm1", "sin", "cos", "tanh", "erf", "pow", "fmod", "fma",
    "floor", "ceil", "trunc", "round", "roundeven",
    "sinf", "cosf", "fmodf", "fmaf", "floorf", "ceilf", "truncf", "roundf", "roundevenf",
)  # fmt: skip

_LAUNCH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_COUNT = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class NativeCheckFailed(RuntimeError):
    """A run-time check of a launch failed; ``site`` is its number, counted from 1."""

    def __init__(self, launch: str, site: int) -> None:
        super().__init__(f"run-time check {site} of {launch} failed")
        self.launch = launch
        self.site = site


@dataclass(frozen=True)
class Entry:
    """The three functions of one launch (addresses are callable through ctypes; calls release the GIL)."""

    name: str
    run: Any
    cells: Any
    scratch: Any


class NativeLibrary:
    """Object code loaded into this process; keeps it alive. ``entries`` by launch name."""

    def __init__(self, object_bytes: bytes, launches: Sequence[str]) -> None:
        self._tracker = _load(object_bytes, launches)
        self.entries = {name: self._entry(name) for name in launches}

    def _entry(self, name: str) -> Entry:
        address = self._tracker.__getitem__
        return Entry(name, _LAUNCH(address(name)), _COUNT(address(name + CELLS)), _COUNT(address(name + SCRATCH)))


@functools.cache
def _jit() -> Any:
    """The process's linker. LLJIT refuses unresolved names, where the older MCJIT would jump to address zero."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler(llvm.Target.from_default_triple().create_target_machine())


@functools.cache
def _math_addresses() -> dict[str, int]:
    """Where the C library's math functions are: Python itself is linked to them (looking the library up would start a
    process)."""
    library = ctypes.CDLL(None)
    found = {}
    for name in MATH_SYMBOLS:
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        if address is not None:
            found[name] = address
    return found


_counter = iter(range(1 << 62))
_load_lock = threading.Lock()


def _load(object_bytes: bytes, launches: Sequence[str]) -> Any:
    import llvmlite.binding as llvm

    with _load_lock:
        builder = llvm.JITLibraryBuilder().add_object_img(object_bytes).add_current_process()
        for name, address in _math_addresses().items():
            builder.import_symbol(name, address)
        for name in launches:
            for suffix in ("", CELLS, SCRATCH):
                builder.export_symbol(name + suffix)
        return builder.link(_jit(), f"kernel_{next(_counter)}")


class Slots:
    """The slot array of one call: 8 bytes an argument, and last the pointer to the status."""

    def __init__(self, values: Sequence[bytes | int]) -> None:
        """``values``: ints (pointers, dims, strides; 64 bits) or the bytes of a scalar (at most 8)."""
        self.status = np.zeros(1, np.int64)
        raw = b"".join(_slot(v) for v in (*values, self.status.ctypes.data))
        self._memory = np.frombuffer(raw, np.uint8).copy()

    @property
    def address(self) -> int:
        return int(self._memory.ctypes.data)


def _slot(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return value.ljust(8, b"\0")
    return (value & (1 << 64) - 1).to_bytes(8, "little")


def scratch_memory(size: int) -> np.ndarray[Any, Any]:
    """``size`` bytes that start at a multiple of 64."""
    raw = np.empty(size + SCRATCH_ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % SCRATCH_ALIGNMENT
    return raw[start : start + size]


def launch(entry: Entry, slots: Slots, pool: ThreadPool | None = None) -> None:
    """Run all cells of a launch, on this thread or on a pool. Raises ``NativeCheckFailed``."""
    cells = entry.cells(slots.address)
    if pool is None or cells <= 1:
        _run_cells(entry, slots, 0, cells)
    else:
        pool.run(entry, slots, cells)
    site = int(slots.status[0])
    if site:
        raise NativeCheckFailed(entry.name, site)


def _run_cells(entry: Entry, slots: Slots, first: int, last: int) -> None:
    scratch = scratch_memory(entry.scratch(slots.address))
    entry.run(slots.address, first, last, scratch.ctypes.data)


class ThreadPool:
    """Threads that run ranges of cells at once; native code does not hold the GIL."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads - 1, thread_name_prefix="tilewright")

    def run(self, entry: Entry, slots: Slots, cells: int) -> None:
        """Cells are handed out in order, in chunks; every thread has scratch memory of its own."""
        chunk = max(1, cells // (self.threads * CELLS_PER_THREAD))
        starts = iter(range(0, cells, chunk))
        lock = threading.Lock()

        def work() -> None:
            scratch = scratch_memory(entry.scratch(slots.address))
            while True:
                with lock:
                    first = next(starts, None)
                if first is None:
                    return
                entry.run(slots.address, first, min(first + chunk, cells), scratch.ctypes.data)

        helpers = [self._executor.submit(work) for _ in range(self.threads - 1)]
        work()
        for helper in helpers:
            helper.result()

    def close(self) -> None:
        self._executor.shutdown()
