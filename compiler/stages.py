"""Owns running a sequence of stages over a module: verification, legality, dumps, timing, stopping, switching off.

What the stages are and their order stands in ``pipeline.py``; this file knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect.faults import InternalFault, PassFault
from tilewright.runtime.errors import CallError, TilewrightError

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Stage:
    """One step: ``run`` takes a module and gives the next one (or the same, edited).

    ``level`` names the IR that it leaves; ``optional`` stages may be switched off without changing any result.
    """

    name: str
    level: str
    run: Callable[[Any], Any]
    optional: bool = False


@dataclass(frozen=True)
class Options:
    """How to run the stages. ``disabled`` are names of optional stages, ``stop_after`` the name of any."""

    disabled: frozenset[str] = frozenset()
    stop_after: str | None = None
    verify_passes: bool = False


@dataclass
class Trace:
    """What a run leaves behind for people: the time of each stage and, where ``keep`` is set, its IR."""

    keep: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    failed: str = ""


@dataclass(frozen=True)
class Checks:
    """What is asserted after each stage: ``legal`` per level, ``same`` compares the meaning before and after."""

    legal: Callable[[Any, str], None]
    same: Callable[[str, Any, Any], None] | None = None


def run(stages: Sequence[Stage], module: Any, options: Options, checks: Checks, trace: Trace) -> Any:
    """The module after all stages (or after ``options.stop_after``).

    Raises:
        CallError: TW1207 for a stage name that does not exist or may not be switched off.
        PassFault: a stage left IR that does not verify, is not legal at its level, or means something else.
    """
    check_names(stages, options)
    for stage in stages:
        if stage.name in options.disabled:
            continue
        trace.failed = stage.name
        start = time.perf_counter()
        module = _run_one(stage, module, options, checks)
        trace.seconds[stage.name] = time.perf_counter() - start
        if trace.keep:
            trace.texts[stage.name] = text_of(module)
        if stage.name == options.stop_after:
            break
    trace.failed = ""
    return module


def _run_one(stage: Stage, module: Any, options: Options, checks: Checks) -> Any:
    before = _copy(module) if options.verify_passes and checks.same else None
    try:
        result = stage.run(module)
    except (InternalFault, TilewrightError):
        raise
    except (AssertionError, IndexError, KeyError, AttributeError, TypeError, NotImplementedError) as cause:
        raise PassFault(f"{stage.name}: {type(cause).__name__}: {cause}") from cause
    _verify(stage, result)
    checks.legal(result, stage.level)
    if before is not None and checks.same:
        checks.same(stage.name, before, result)
    return result


def check_names(stages: Sequence[Stage], options: Options) -> None:
    """Every name in the options is one of a stage, and what is switched off is optional (TW1207)."""
    known = [stage.name for stage in stages]
    optional = [stage.name for stage in stages if stage.optional]
    for name in options.disabled:
        if name not in optional:
            raise CallError("TW1207", f"{name!r} cannot be switched off", expected=", ".join(optional), found=name)
    if options.stop_after is not None and options.stop_after not in known:
        raise CallError("TW1207", f"there is no stage {options.stop_after!r}", expected=", ".join(known),
                        found=options.stop_after)  # fmt: skip


def _verify(stage: Stage, module: Any) -> None:
    from tilewright.dialect.mlir import ir

    try:
        module.operation.verify()
    except ir.MLIRError as cause:
        raise PassFault(f"{stage.name} left IR that does not verify: {cause}") from cause


def _copy(module: Any) -> Any:
    from tilewright.dialect.mlir import ir

    return ir.Module.parse(text_of(module))


def text_of(module: Any) -> str:
    """The module in generic form with locations: what can be parsed again to the same module."""
    return str(module.operation.get_asm(enable_debug_info=True, print_generic_op_form=True))
