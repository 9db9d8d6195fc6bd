"""The golden corpus: it is wide and legal PTX, recordings replay, and the way over a GPU works on a stand-in of one.

The recording used here is the emulator's own, so this tests the tool and says nothing about hardware.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.emulator import golden_ptx
from tests.emulator.fake_cuda import FakeDriver
from tests.emulator.golden.case import BITS, Case, compare, module_text
from tests.emulator.golden.corpus import all_cases, batches, record, replay
from tests.emulator.golden.devices import CudaDevice, EmulatorDevice, assemble

from tilewright.passes.gpu.ptx import tool
from tilewright.runtime.emulator import ops_float, ops_integer, ops_matrix, ops_select, ops_warp
from tilewright.runtime.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_RESULT = frozenset(("mov", "cvta", "isspacep", "bar", "barrier", "nanosleep", "setmaxnreg", "griddepcontrol",
                            "pmevent", "elect"))  # fmt: skip
"""Addresses, waits and hints; the leader that ``elect`` names is the implementation's choice."""


@pytest.fixture
def sample(tmp_path: Path) -> tuple[Path, list[Case]]:
    """A recording of a few cases of each architecture."""
    cases = all_cases()[::60]
    record(tmp_path / "sample.npz", EmulatorDevice(), 0, cases)
    return tmp_path / "sample.npz", cases


def test_names_are_unique_and_every_opcode_is_there() -> None:
    cases = all_cases()
    assert len({case.name for case in cases}) == len(cases) > 1000
    tables = (ops_integer, ops_float, ops_select, ops_warp, ops_matrix)
    known = {name for module in tables for name in (*module.TABLE, *getattr(module, "SHARED", {}))}
    opcodes = {word for case in cases for word in re.findall(r"(?<![\w.])([a-z]\w*)\.", case.name)}
    assert known - opcodes <= WITHOUT_RESULT


@pytest.mark.parametrize("form", ["e4m3", "e5m2", "bf16", "tf32", "f16", "f64"])
def test_every_float_format_is_converted_and_multiplied(form: str) -> None:
    names = [case.name for case in all_cases()]
    assert any(name.startswith("mma") and f".{form}." in name for name in names)
    assert any(name.startswith("cvt") and form in name for name in names)
    assert form == "f64" or any(name.startswith("wgmma") and f".{form}." in name for name in names)


def test_a_recording_replays_and_names_its_origin(tmp_path: Path) -> None:
    cases = all_cases()
    assert record(tmp_path / "corpus.npz", EmulatorDevice(), 0, cases) == len(cases)
    origin, count, differences = replay(tmp_path / "corpus.npz", EmulatorDevice())
    assert origin == {"device": "emulator", "tc": "ideal"}
    assert count == len(cases) and differences == []


def test_other_sums_of_a_tensor_core_stay_within_the_tolerance(tmp_path: Path) -> None:
    products = [case for case in all_cases() if case.name.startswith(("mma", "wgmma")) and "normal" in case.name]
    path = tmp_path / "sums.npz"
    record(path, EmulatorDevice("sm90"), 3, products)
    _, count, differences = replay(path, EmulatorDevice())
    assert count == len(products) > 50 and differences == []


def test_a_changed_bit_is_noticed(sample: tuple[Path, list[Case]], tmp_path: Path) -> None:
    path, cases = sample
    with np.load(path) as data:
        stored = dict(data)
    for number in range(len(cases)):
        changed = stored[f"{number}.o0"].copy()
        changed[5] ^= changed.dtype.type(1 << (8 * changed.itemsize - 2) | 1)
        stored[f"{number}.o0"] = changed
    np.savez_compressed(tmp_path / "changed.npz", **stored)
    differences = replay(tmp_path / "changed.npz", EmulatorDevice())[2]
    assert [(found.case, found.values) for found in differences] == [(case, 1) for case in cases]


def test_values_are_compared_as_their_kind_says() -> None:
    exact = Case("add", (), ("f32",), "")
    one = [np.full(128, np.float32(1)).view(np.uint32)]
    near = [(np.full(128, np.float32(1)) + np.float32(2.0**-22)).view(np.uint32)]
    quiet, other = ([np.full(128, bits, np.uint32)] for bits in (0x7FFFFFFF, 0xFFC00001))
    assert exact.tolerance == BITS
    assert compare(exact, near, one) == 128
    assert compare(exact.within(relative=2.0**-21), near, one) == 0
    assert compare(exact.within(absolute=2.0**-23), near, one) == 128
    assert compare(exact, quiet, other) == 0 and compare(exact, quiet, one) == 128
    assert compare(Case("min", (), ("b32",), ""), quiet, other) == 128
    half = [np.full(128, 0x7E003C00, np.uint32)]
    assert compare(Case("add", (), ("f16x2",), ""), half, [np.full(128, 0x7FFF3C00, np.uint32)]) == 0
    assert compare(Case("add", (), ("f16x2",), ""), half, [np.full(128, 0x7FFF3C01, np.uint32)]) == 128


def ptxas() -> str | None:
    try:
        return str(tool("ptxas"))
    except Exception:
        return None


@pytest.mark.skipif(ptxas() is None, reason="needs ptxas: pip install 'tilewright[cuda]'")
def test_every_case_is_legal_ptx() -> None:
    """What can be known without a GPU of the kernels that one will run."""
    for batch in batches(all_cases()):
        chip = batch[0].chip
        assert assemble(module_text(batch, chip), chip, ptxas() or "").startswith(b"\x7fELF")


# -- the way over a GPU -----------------------------------------------------------------------------------------------


def paper_device(capability: tuple[int, int]) -> tuple[FakeDriver, CudaDevice]:
    driver = FakeDriver(capability)
    return driver, CudaDevice(driver, lambda text, chip: text.encode(), "V13.0.88")


def test_a_device_records_what_the_emulator_replays(tmp_path: Path) -> None:
    driver, device = paper_device((9, 0))
    cases = all_cases()[::40]
    assert record(tmp_path / "corpus.npz", device, 1, cases) == len(cases)
    origin, count, differences = replay(tmp_path / "corpus.npz", EmulatorDevice())
    assert origin == {"device": "A device of paper", "chip": "sm_90", "driver": 13000, "ptxas": "V13.0.88"}
    assert count == len(cases) and differences == []
    assert driver.memory == {} and driver.modules == {}


@pytest.mark.parametrize(
    ("capability", "chips"),
    [
        ((8, 0), {"sm_80"}),
        ((8, 9), {"sm_80", "sm_86", "sm_89"}),
        ((9, 0), {"sm_80", "sm_86", "sm_89", "sm_90", "sm_90a"}),
        ((10, 0), {"sm_80", "sm_86", "sm_89", "sm_90"}),
    ],
)
def test_a_device_gets_what_its_architecture_has(capability: tuple[int, int], chips: set[str]) -> None:
    _, device = paper_device(capability)
    assert {case.chip for case in all_cases() if device.can(case)} == chips


def test_a_failed_launch_is_told_and_leaves_no_memory() -> None:
    driver, device = paper_device((8, 0))
    broken = Case("trap", ("u32",), ("u32",), "mov.u32 o0, a0; trap;")
    with pytest.raises(RuntimeError, match="cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED"):
        device.run([broken], [broken.draw(0)])
    assert driver.memory == {} and driver.modules == {}


def test_the_stand_in_takes_what_the_real_driver_takes(tmp_path: Path) -> None:
    """Names and numbers of parameters, from the signatures that the bindings document."""
    bindings = pytest.importorskip("cuda.bindings.driver")
    driver, device = paper_device((8, 0))
    record(tmp_path / "corpus.npz", device, 1, all_cases()[:1])
    for name in sorted(driver.calls - {"current"}):
        real = getattr(bindings, name)
        if not callable(real) or not real.__doc__ or name.startswith("CU"):
            continue
        signature = real.__doc__.splitlines()[0]
        parameters = re.sub(r"\[[^]]*\]", "", signature[signature.index("(") + 1 : signature.rindex(")")])
        expected = len([piece for piece in parameters.split(",") if piece.strip()])
        assert getattr(FakeDriver, name).__code__.co_argcount - 1 == expected, signature


# -- the command ------------------------------------------------------------------------------------------------------


def test_without_a_gpu_the_command_records_from_the_emulator_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing() -> CudaDevice:
        raise DeviceError("TW1203", "there is no CUDA device here")

    monkeypatch.setattr(golden_ptx, "gpu", nothing)
    assert golden_ptx.recorder("any").origin["device"] == "emulator"
    assert "recording from the emulator, which tests nothing but itself" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no CUDA device"):
        golden_ptx.recorder("gpu")


def test_the_command_replays_and_ends_with_what_it_found(sample: tuple[Path, list[Case]]) -> None:
    words = [sys.executable, "-m", "tests.emulator.golden_ptx", "replay", str(sample[0])]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert f"0 of {len(sample[1])} cases differ" in ran.stdout
