"""A functional emulator for PTX: runs kernels on NumPy and reports races, bad addresses and deadlocks."""

from tilewright.runtime.emulator.arguments import Uninitialised
from tilewright.runtime.emulator.launch import launch
from tilewright.runtime.emulator.module import Module
from tilewright.runtime.emulator.report import Finding, Report
from tilewright.runtime.emulator.tensormap import TensorMap

__all__ = ["Finding", "Module", "Report", "TensorMap", "Uninitialised", "launch"]
