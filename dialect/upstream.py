"""Owns running MLIR's own passes on a module: what they refuse is a fault of ours, told with the place it came from."""

from __future__ import annotations

from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir, passmanager


def run_upstream(pipeline: str, module: Any) -> None:
    """Run ``pipeline`` (the text inside ``builtin.module(…)``) on ``module`` in place.

    Raises ``InternalFault`` where a pass fails.
    """
    manager = passmanager.PassManager.parse(f"builtin.module({pipeline})")
    try:
        manager.run(module.operation)
    except ir.MLIRError as error:
        raise InternalFault(f"MLIR refuses what we made: {told(error)}") from error


def told(error: Any) -> str:
    """What an ``MLIRError`` says, in one line."""
    return "; ".join(f"{d.message} at {d.location}" for d in error.error_diagnostics) or str(error)
