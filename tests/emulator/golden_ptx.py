"""Golden corpus: bits that a device computed for micro-kernels, replayed by the emulator.

    python -m tests.emulator.golden_ptx record corpus.npz     # on a machine with a GPU; without one, from the emulator
    python -m tests.emulator.golden_ptx replay corpus.npz

A corpus holds, per micro-kernel, its PTX, the seeded inputs and the output bits, and says which chip, driver and ptxas
made them. One that the emulator recorded says so: replaying it only tests this program.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.emulator.golden.corpus import all_cases, record, replay
from tests.emulator.golden.devices import CudaDevice, Device, EmulatorDevice, assemble, ptxas_version

from tilewright.passes.gpu.ptx import tool
from tilewright.runtime.cuda import driver
from tilewright.runtime.emulator.launch import MODELS
from tilewright.runtime.errors import DeviceError


def gpu() -> Device:
    """The first GPU.

    Raises:
        DeviceError: where there is none.
    """
    bindings = driver()
    ptxas = str(tool("ptxas"))
    return CudaDevice(bindings, lambda text, chip: assemble(text, chip, ptxas), ptxas_version(ptxas))


def recorder(wanted: str) -> Device:
    """The device to record on; ``any`` takes the emulator where there is no GPU, and says so."""
    if wanted == "emulator":
        return EmulatorDevice()
    try:
        return gpu()
    except DeviceError as reason:
        if wanted == "gpu":
            raise SystemExit(str(reason)) from None
        print(f"recording from the emulator, which tests nothing but itself: {reason}")
        return EmulatorDevice()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("record", help="run the corpus and store what came out")
    making.add_argument("path", type=Path)
    making.add_argument("--device", choices=("any", "gpu", "emulator"), default="any")
    making.add_argument("--seed", type=int, default=0)
    checking = commands.add_parser("replay", help="compare the emulator with a recording")
    checking.add_argument("path", type=Path)
    checking.add_argument("--tc", choices=MODELS, default="ideal", help="sums of matrix instructions")
    options = parser.parse_args()
    if options.command == "record":
        device = recorder(options.device)
        print(f"{record(options.path, device, options.seed, all_cases())} cases from {device.origin}")
        return
    origin, count, differences = replay(options.path, EmulatorDevice(options.tc))
    print(f"recorded on {origin}: {len(differences)} of {count} cases differ", *differences, sep="\n  ")
    raise SystemExit(bool(differences))


if __name__ == "__main__":
    main()
