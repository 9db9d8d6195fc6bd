"""Owns the plan: all that is needed to run a compiled kernel, without the compiler.

One plan serves the just-in-time path, the cache and the artifact file. It says how dims follow from the arguments, what
must hold, which workspaces live between launches, and which launches run in order. It holds no code: code lies beside
it under the launches' names.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from tilewright.runtime.sizes import SizeExpr, size_from_json

PLAN_FORMAT = 2


@dataclass(frozen=True)
class Argument:
    """One thing the caller passes: a tensor (``shape`` set) or a run-time scalar (``shape`` None).

    ``role``: ``in``, ``inout``, ``out`` or ``scalar``. ``layout``: ``row``, ``order(1, 0)`` (axes from slowest to
    fastest) or ``strided``. ``default``: of a scalar that may be left out.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[SizeExpr, ...] | None = None
    layout: str = "row"
    default: bool | int | float | None = None


@dataclass(frozen=True)
class DimBinding:
    """``dim`` is ``(extent of axis ``axis`` of argument ``tensor`` - offset) / scale``, which must divide exactly."""

    dim: str
    tensor: str
    axis: int
    scale: int = 1
    offset: int = 0


@dataclass(frozen=True)
class DimSolution:
    """``dim`` equals ``value``, an expression over dims bound or solved before it."""

    dim: str
    value: SizeExpr


@dataclass(frozen=True)
class LaunchCheck:
    """``condition`` must be non-zero; ``text`` is how a message names it, ``code`` the error's code."""

    condition: SizeExpr
    text: str
    code: str


@dataclass(frozen=True)
class Workspace:
    """A row-major tensor that one launch writes and later ones read; alive for one call."""

    name: str
    dtype: str
    shape: tuple[SizeExpr, ...]


@dataclass(frozen=True)
class Table:
    """A constant row-major tensor that launches read; ``data`` is the base64 of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: str

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.data)


@dataclass(frozen=True)
class Operand:
    """One parameter of a launch: ``role`` is ``tensor`` (argument, workspace or table), ``scalar`` or ``dim``."""

    role: str
    name: str


@dataclass(frozen=True)
class Launch:
    """One grid of independent cells.

    ``cells`` counts grid cells per axis. ``block``, ``cluster`` and ``shared_bytes`` concern GPUs: threads per CTA and
    dynamic shared memory. ``facts`` are what its code assumes (``K % 8 == 0``, ``align(a) >= 16``): they are part of
    the specialisation key and are checked again for each new shape. ``sites`` describe the run-time checks whose
    number a failed launch reports, from 1. With ``when`` it is a variant: see ``chosen``.
    """

    name: str
    operands: tuple[Operand, ...]
    cells: tuple[SizeExpr, ...]
    block: tuple[int, int, int] = (1, 1, 1)
    cluster: tuple[int, int, int] = (1, 1, 1)
    shared_bytes: int = 0
    facts: tuple[str, ...] = ()
    schedule: str = ""
    sites: tuple[str, ...] = ()
    when: SizeExpr | None = None


@dataclass(frozen=True)
class Plan:
    """The launches of one kernel with everything their preparation needs.

    ``arguments``: tensors and scalars in declared order, then the outputs. ``types`` and ``consts`` are what the code
    was specialised on. Dims that an ahead-of-time compilation fixed appear as checks.
    """

    kernel: str
    dims: tuple[str, ...]
    arguments: tuple[Argument, ...]
    bindings: tuple[DimBinding, ...] = ()
    solutions: tuple[DimSolution, ...] = ()
    checks: tuple[LaunchCheck, ...] = ()
    workspaces: tuple[Workspace, ...] = ()
    tables: tuple[Table, ...] = ()
    launches: tuple[Launch, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    consts: tuple[tuple[str, bool | int | float], ...] = ()
    doc: str = field(default="", compare=False)

    @cached_property
    def inputs(self) -> tuple[Argument, ...]:
        """What a caller passes by position: tensors, then scalars."""
        return tuple(argument for argument in self.arguments if argument.role != "out")

    @cached_property
    def outputs(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if argument.role == "out")

    def to_json(self) -> str:
        """The plan as one line of JSON with sorted keys: equal plans give equal text."""
        data = {"format": PLAN_FORMAT, **_plain(asdict(self), self)}
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    def __str__(self) -> str:
        return describe(self)


def chosen(launches: Iterable[Launch], dims: Mapping[str, int]) -> list[Launch]:
    """What a call with these dims runs: of some launches with a condition and the one without that follows them, the
    first that holds."""
    found: list[Launch] = []
    decided = False
    for launch in launches:
        holds = launch.when is None or bool(launch.when.evaluate(dims))
        if holds and not decided:
            found.append(launch)
        decided = launch.when is not None and (decided or holds)
    return found


def plan_from_json(text: str) -> Plan:
    """The plan that ``Plan.to_json`` wrote; ``ValueError`` where the text is not one of this format."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != PLAN_FORMAT:
        raise ValueError(f"not a plan of format {PLAN_FORMAT}")
    try:
        return _read_plan(data)
    except (KeyError, TypeError) as cause:
        raise ValueError(f"damaged plan: {cause}") from cause


def describe(plan: Plan) -> str:
    """The plan for people: signature, what is checked, workspaces, launches."""
    lines = [f"plan {plan.kernel}({', '.join(plan.dims)})"]
    lines += [f"  {argument.role:6} {_declaration(argument)}" for argument in plan.arguments]
    lines += [f"  check  {check.text}" for check in plan.checks]
    lines += [f"  space  {space.name}: {space.dtype}{_shape(space.shape)}" for space in plan.workspaces]
    lines += [_launch_line(launch) for launch in plan.launches]
    return "\n".join(lines)


def _declaration(argument: Argument) -> str:
    if argument.shape is None:
        default = "" if argument.default is None else f" = {argument.default}"
        return f"{argument.name}: {argument.dtype}{default}"
    layout = "" if argument.layout == "row" else f" {argument.layout}"
    return f"{argument.name}: {argument.dtype}{_shape(argument.shape)}{layout}"


def _shape(shape: tuple[SizeExpr, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _launch_line(launch: Launch) -> str:
    operands = ", ".join(operand.name for operand in launch.operands)
    facts = f" if {' and '.join(launch.facts)}" if launch.facts else ""
    when = "" if launch.when is None else f" when {launch.when}"
    return f"  launch {launch.name}<{', '.join(map(str, launch.cells))}>({operands}){facts}{when}"


def _plain(data: Any, value: Any) -> Any:
    """``asdict``'s result with size expressions in their own short form."""
    if isinstance(value, SizeExpr):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(item, original) for item, original in zip(data, value, strict=True)]
    if isinstance(data, dict):
        return {name: _plain(item, getattr(value, name)) for name, item in data.items()}
    return data


def _read_plan(data: Mapping[str, Any]) -> Plan:
    return Plan(
        kernel=data["kernel"],
        dims=tuple(data["dims"]),
        arguments=tuple(_read_argument(item) for item in data["arguments"]),
        bindings=tuple(DimBinding(**item) for item in data["bindings"]),
        solutions=tuple(DimSolution(item["dim"], size_from_json(item["value"])) for item in data["solutions"]),
        checks=tuple(
            LaunchCheck(size_from_json(item["condition"]), item["text"], item["code"]) for item in data["checks"]
        ),
        workspaces=tuple(
            Workspace(item["name"], item["dtype"], _read_shape(item["shape"])) for item in data["workspaces"]
        ),
        tables=tuple(Table(**{**item, "shape": tuple(item["shape"])}) for item in data["tables"]),
        launches=tuple(_read_launch(item) for item in data["launches"]),
        types=tuple((name, dtype) for name, dtype in data["types"]),
        consts=tuple((name, value) for name, value in data["consts"]),
        doc=data["doc"],
    )


def _read_argument(item: Mapping[str, Any]) -> Argument:
    shape = None if item["shape"] is None else _read_shape(item["shape"])
    return Argument(item["name"], item["role"], item["dtype"], shape, item["layout"], item["default"])


def _read_shape(items: list[Any]) -> tuple[SizeExpr, ...]:
    return tuple(size_from_json(item) for item in items)


def _read_launch(item: Mapping[str, Any]) -> Launch:
    fields = dict(item)
    fields["operands"] = tuple(Operand(**operand) for operand in item["operands"])
    fields["cells"] = _read_shape(item["cells"])
    fields["when"] = None if item["when"] is None else size_from_json(item["when"])
    for name in ("block", "cluster", "facts", "sites"):
        fields[name] = tuple(item[name])
    return Launch(**fields)
