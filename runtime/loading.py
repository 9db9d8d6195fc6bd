"""Owns making an artifact callable: the engine for a device, with the artifact's code loaded on it."""

from __future__ import annotations

from tilewright.runtime.artifact import Artifact
from tilewright.runtime.errors import ArtifactError, CallError
from tilewright.runtime.launch import Engine, Program

DEVICES = ("cpu", "cuda", "emulator")


def program_for(artifact: Artifact, device: str, threads: int = 0) -> Program:
    """The kernel of ``artifact`` on ``device``.

    Raises:
        CallError: TW1012 for an unknown device.
        ArtifactError: TW1103 where the code is not for the device or this machine.
        DeviceError: TW1203 where the device is not there.
    """
    return Program(artifact.plan, _engine(artifact, device, threads))


def _engine(artifact: Artifact, device: str, threads: int) -> Engine:
    """Engines are imported when they are needed: none of them loads another's libraries."""
    launches = [launch.name for launch in artifact.plan.launches]
    if device == "cpu":
        from tilewright.runtime.host import CpuEngine, check_host

        check_host(artifact.target)
        return CpuEngine(_code(artifact, "o", device), launches, threads)
    if device == "emulator":
        from tilewright.runtime.emulated import EmulatorEngine

        return EmulatorEngine(_code(artifact, "ptx", device).decode())
    if device == "cuda":
        from tilewright.runtime.cuda import CudaEngine

        return CudaEngine(_code(artifact, "cubin", device), launches)
    raise CallError(
        "TW1012", f"unknown device {device!r}", argument="device", expected=", ".join(DEVICES), found=device
    )


def _code(artifact: Artifact, form: str, device: str) -> bytes:
    if form not in artifact.code:
        raise ArtifactError("TW1103", f"no code for {device} in the artifact of {artifact.plan.kernel}",
                            expected=form, found=", ".join(artifact.code) or "nothing")  # fmt: skip
    return artifact.code[form]
