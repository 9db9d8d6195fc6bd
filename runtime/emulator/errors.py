"""Errors of the emulator: what is wrong with the PTX, with the launch, or with the program that ran.

Faults of the *emulated program* (races, bad addresses) are findings in the report, not exceptions; see ``report.py``.
"""

from __future__ import annotations

from tilewright.runtime.emulator.limits import shortened


class EmulatorError(Exception):
    """Base class of everything this package raises on purpose."""


class PtxSyntaxError(EmulatorError):
    """The text is not PTX that this emulator reads.

    Attributes:
        line: one-based line in the PTX text, 0 when the fault has no place.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"PTX line {line}: {message}" if line else message)
        self.line = line


class UnsupportedInstruction(EmulatorError):
    """An opcode, a modifier or an operand form that is unknown or not modelled; never skipped silently."""

    def __init__(self, opcode: str, line: int, reason: str = "unknown instruction or modifier") -> None:
        super().__init__(f"PTX line {line}: `{shortened(opcode)}`: {shortened(reason)}")
        self.opcode = opcode
        self.line = line


class LaunchError(EmulatorError):
    """Grid, block, shared memory or arguments do not fit the kernel."""


class FindingRaised(EmulatorError):
    """Raised for the first finding when the launch asked for ``raise_on_finding=True``."""


class EmulationStopped(EmulatorError):
    """Internal signal: the launch cannot go on (deadlock, trap, step limit); a finding describes why."""
