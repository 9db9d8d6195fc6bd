"""Which ops may exist at which level: data, and the check made at every stage boundary.

A missed lowering is found where it happened, by the op's name and its line in the source, and not three stages later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.faults import IllegalOp, InternalFault
from tilewright.dialect.interpret.operations import OPERATIONS


@dataclass(frozen=True)
class Level:
    """The ops of a level: by full name, by whole dialect, and what only certain parents may hold.

    `inside` maps an op to the ops its regions may hold at any depth; ops not listed there take no part in the rule.
    """

    name: str
    operations: frozenset[str]
    dialects: frozenset[str] = frozenset()
    inside: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def allows(self, operation: str) -> bool:
        return operation in self.operations or operation.partition(".")[0] in self.dialects


SCALAR = frozenset(OPERATIONS)
_CONTAINERS = frozenset({"builtin.module", "func.func", "func.return"})
_POINT = SCALAR | {"tw.dim", "tw.read", "tw.yield"}
_STAGE = SCALAR | {
    "scf.for",
    "scf.if",
    "scf.yield",
    "tensor.extract",
    "tile.broadcast",
    "tile.contract",
    "tile.iota",
    "tile.load",
    "tile.reduce",
    "tile.splat",
    "tile.store",
    "tile.yield",
}
_CELL = _STAGE | {"tile.stage"}

TENSOR = Level(
    "tensor",
    _CONTAINERS | _POINT | {"func.call", "tw.fold", "tw.map", "tw.table"},
    inside={"tw.map": _POINT, "tw.fold": _POINT},
)
TILE = Level("tile", _CONTAINERS | _CELL | {"tile.grid"}, inside={"tile.grid": _CELL, "tile.stage": _STAGE})
TILE_GPU = Level(
    "tile-gpu",
    TILE.operations | {"tile.convert"},
    inside={"tile.grid": _CELL | {"tile.convert"}, "tile.stage": _STAGE | {"tile.convert"}},
)
CPU = Level(
    "cpu",
    frozenset({"builtin.module", "builtin.unrealized_conversion_cast"}),
    frozenset({"arith", "cf", "func", "llvm", "math", "memref", "scf", "ub", "vector"}),
)
_THREAD_MATH = frozenset(
    f"math.{name}"
    for name in "absf absi ceil copysign ctlz ctpop cttz floor fma round roundeven sqrt trunc".split()
)
"""What NVPTX has instructions for. On any other ``math`` op it ends the process: there is no library to call."""
THREAD = Level(
    "thread",
    frozenset({"builtin.module"}) | _THREAD_MATH,
    frozenset({"arith", "cf", "func", "gpu", "llvm", "nvvm", "scf", "ub", "vector"}),
)
LLVM = Level("llvm", frozenset({"builtin.module"}), frozenset({"llvm"}))

LEVELS: Mapping[str, Level] = {level.name: level for level in (TENSOR, TILE, TILE_GPU, CPU, THREAD, LLVM)}


def check_level(module: Any, level: str) -> None:
    """Raise `IllegalOp` for the first op of a module that may not exist at a level, with the op's location."""
    if level not in LEVELS:
        raise InternalFault(f"no level {level!r}; there are {', '.join(LEVELS)}")
    rules = LEVELS[level]
    operation = module.operation
    _check(operation, rules)
    for op, parents in _walk(operation, (), rules):
        _check(op, rules)
        for parent in parents:
            if op.name not in rules.inside[parent]:
                raise IllegalOp(f"{op.name} may not stand inside {parent} at the {rules.name} level, at {op.location}")


def _check(op: Any, rules: Level) -> None:
    if not rules.allows(op.name):
        raise IllegalOp(f"{op.name} may not exist at the {rules.name} level, at {op.location}")


def _walk(operation: Any, parents: tuple[str, ...], rules: Level) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Every op under one, with the enclosing ops that have a rule about what they hold."""
    inner = (*parents, operation.name) if operation.name in rules.inside else parents
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                yield op, inner
                yield from _walk(op, inner, rules)
