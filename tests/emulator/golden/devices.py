"""What runs the micro-kernels: the emulator, and a GPU through the CUDA driver."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from tests.emulator.golden.case import LANES, Array, Case, module_text

from tilewright.runtime.emulator import Module, launch

Assemble = Callable[[str, str], bytes]
"""PTX text and architecture to a loadable image."""


class Device(Protocol):
    """Runs cases; ``origin`` says what it is, for the header of a recording."""

    origin: dict[str, Any]

    def can(self, case: Case) -> bool:
        """Whether the architecture has the instruction."""
        ...

    def run(self, cases: Sequence[Case], inputs: Sequence[list[Array]]) -> list[list[Array]]:
        """The outputs of each case; all of them need one architecture."""
        ...


class EmulatorDevice:
    """This project's emulator, in one of its models of tensor cores."""

    def __init__(self, tc: str = "ideal") -> None:
        self.tc = tc
        self.origin = {"device": "emulator", "tc": tc}

    def can(self, case: Case) -> bool:
        return True

    def run(self, cases: Sequence[Case], inputs: Sequence[list[Array]]) -> list[list[Array]]:
        module = Module.parse(module_text(list(cases), cases[0].chip))
        found = []
        for number, (case, given) in enumerate(zip(cases, inputs, strict=True)):
            outputs = case.empty()
            report = launch(module, f"k{number}", (1,), (LANES,), args=[*given, *outputs], tc=self.tc)
            assert report.findings == [], [case.name, *map(str, report.findings)]
            found.append(outputs)
        return found


def assemble(ptx: str, chip: str, ptxas: str = "ptxas") -> bytes:
    """A cubin, by ptxas.

    Raises:
        RuntimeError: with what ptxas says.
    """
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "case.ptx"), Path(folder, "case.cubin")
        source.write_text(ptx)
        ran = subprocess.run([ptxas, f"-arch={chip}", "-o", target, source], capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"ptxas for {chip}: {ran.stderr[-4000:]}")
        return target.read_bytes()


def ptxas_version(ptxas: str = "ptxas") -> str:
    """Release and build, e.g. ``V13.0.88``."""
    shown = subprocess.run([ptxas, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"V[\d.]+", shown)
    return match[0] if match else shown.strip()


class CudaDevice:
    """The first GPU.

    Args:
        driver: ``cuda.bindings.driver``, initialised; each function returns its status and then its results.
        build: makes what ``cuModuleLoadData`` takes.
        ptxas: the version of the assembler, for the header.
    """

    def __init__(self, driver: Any, build: Assemble, ptxas: str) -> None:
        self.driver = driver
        self.build = build
        device = self._call("cuDeviceGet", 0)
        self._call("cuCtxSetCurrent", self._call("cuDevicePrimaryCtxRetain", device))
        attributes = driver.CUdevice_attribute
        self.capability = tuple(
            self._call("cuDeviceGetAttribute", attribute, device)
            for attribute in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        self.origin = {
            "device": self._call("cuDeviceGetName", 128, device).rstrip(b"\0").decode(),
            "chip": "sm_{}{}".format(*self.capability),
            "driver": self._call("cuDriverGetVersion"),
            "ptxas": ptxas,
        }

    def _call(self, name: str, *arguments: Any) -> Any:
        code, *results = getattr(self.driver, name)(*arguments)
        if code.value:
            raise RuntimeError(f"{name}: {code.name}")
        return results[0] if results else None

    def can(self, case: Case) -> bool:
        match = re.fullmatch(r"sm_(\d+)(\d)(a?)", case.chip)
        assert match is not None
        least = int(match[1]), int(match[2])
        return self.capability == least if match[3] else self.capability >= least

    def run(self, cases: Sequence[Case], inputs: Sequence[list[Array]]) -> list[list[Array]]:
        chip = cases[0].chip
        own = chip if chip.endswith("a") else self.origin["chip"]
        module = self._call("cuModuleLoadData", self.build(module_text(list(cases), chip), own))
        try:
            return [
                self._launch(self._call("cuModuleGetFunction", module, f"k{number}".encode()), case, given)
                for number, (case, given) in enumerate(zip(cases, inputs, strict=True))
            ]
        finally:
            self._call("cuModuleUnload", module)

    def _launch(self, function: Any, case: Case, given: list[Array]) -> list[Array]:
        outputs = case.empty()
        arrays = [*given, *outputs]
        pointers = [int(self._call("cuMemAlloc", array.nbytes)) for array in arrays]
        try:
            for pointer, array in zip(pointers, arrays, strict=True):
                self._call("cuMemcpyHtoD", pointer, array.ctypes.data, array.nbytes)
            arguments = tuple(pointers), (ctypes.c_void_p,) * len(pointers)
            self._call("cuLaunchKernel", function, 1, 1, 1, LANES, 1, 1, 0, 0, arguments, 0)
            self._call("cuCtxSynchronize")
            for pointer, array in zip(pointers[len(given) :], outputs, strict=True):
                self._call("cuMemcpyDtoH", array.ctypes.data, pointer, array.nbytes)
        finally:
            for pointer in pointers:
                self._call("cuMemFree", pointer)
        return outputs
