"""Owns building launches: the function of each group, its grid and reason, and the kernel function that calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tilewright.dialect import functions, ods
from tilewright.dialect.mlir import func, ir
from tilewright.dialect.tensor import ReadMode
from tilewright.passes.tensor.encode import affine_map, argument_locations, declare, encode, tensor_type
from tilewright.passes.tensor.fuse import inlined
from tilewright.passes.tensor.grouping import Axis, Group, Grouping, name_of
from tilewright.passes.tensor.moves import Moved, Moves
from tilewright.passes.tensor.program import (
    Argument,
    Comprehension,
    Domain,
    Node,
    Parameter,
    Position,
    Program,
    Read,
    Source,
    Table,
    Value,
    postorder,
    rebuild,
)

WORKSPACE = "ws.{}"
"""Names of workspaces: not identifiers of the language, so that they meet no name of a kernel."""


def separate_outputs(program: Program) -> Program:
    """Give outputs that became one value results of their own: each is a tensor of the caller."""
    wanted: list[tuple[Source, int, int]] = []  # source, result, which copy
    for source, result in program.outputs:
        copy = sum(1 for s, r, _ in wanted if s is source and r == result)
        wanted.append((source, result, copy))
    moves = Moves()
    places: dict[tuple[Source, int, int], Value] = {}
    for old in program.comprehensions:
        new = moves.follow(old)
        extra = [(r, c) for s, r, c in wanted if s is old and c > 0]
        if extra:
            new = replace(new, body=(*new.body, *(new.body[r] for r, _ in extra)))
        axes = tuple(range(old.domain.parallel))
        moves.move(old, [Moved(new, k, axes) for k in range(len(old.body))])
        places |= {(old, k, 0): (new, k) for k in range(len(old.body))}
        places |= {(old, r, c): (new, len(old.body) + k) for k, (r, c) in enumerate(extra)}
    return replace(program, outputs=tuple(places[w] for w in wanted))


# ---------------------------------------------------------------- what a launch is


@dataclass
class _Launch:
    """One group with what it takes and gives, before it is a function."""

    group: Group
    results: list[Value] = field(default_factory=list)  # of the program: what leaves the group
    inputs: list[Value] = field(default_factory=list)  # of the program: what enters it
    parameters: list[int] = field(default_factory=list)


def encode_launches(program: Program, grouping: Grouping) -> None:
    """Build the kernel function and one function per launch at the current insertion point."""
    places = {source: k for k, source in enumerate(program.sources)}
    launches = [_launch(program, grouping, group, places) for group in _in_order(grouping)]
    workspaces = _workspaces(program, launches)
    names = _names(program, launches)
    _encode_kernel(program, launches, names)
    for launch, name in zip(launches, names, strict=True):
        _Builder(program, grouping, launch, workspaces, name).encode()


def _names(program: Program, launches: Sequence[_Launch]) -> list[str]:
    return [f"{program.name}_{number}" for number in range(len(launches))]


def _in_order(grouping: Grouping) -> list[Group]:
    """Groups with producers first; among those that are ready, the one whose first member stands first."""
    done: dict[int, None] = {}
    found: list[Group] = []
    stack = [(group, False) for group in reversed(grouping.groups())]
    while stack:
        current, expanded = stack.pop()
        if id(current) in done:
            continue
        before = [g for g in _producers(grouping, current) if id(g) not in done]
        if expanded or not before:
            done[id(current)] = None
            found.append(current)
            continue
        stack.append((current, True))
        stack.extend((group, False) for group in reversed(before))
    return found


def _producers(grouping: Grouping, group: Group) -> list[Group]:
    sources = [s for member in group.members for s in member.inputs if isinstance(s, Comprehension)]
    found = dict.fromkeys(grouping.group_of(s) for s in sources)
    return [g for g in found if g is not group]


def _launch(program: Program, grouping: Grouping, group: Group, places: dict[Source, int]) -> _Launch:
    launch = _Launch(group)
    inside = set(group.members)
    needed: dict[Value, None] = {value: None for value in program.outputs if value[0] in inside}
    for member in group.members:
        for reader in grouping.readers[member]:
            if reader not in inside:
                needed |= {(r.source, r.result): None for r in reader.reads if r.source is member}
    launch.results = list(needed)
    entering: dict[Value, None] = {}
    parameters: dict[int, None] = {}
    for member in group.members:
        for read in member.reads:
            if read.source not in inside and not isinstance(read.source, Table):
                entering[read.source, read.result] = None
        parameters |= {n.number: None for n in _parameters(member)}
    launch.inputs = sorted(entering, key=lambda value: _input_order(places, value))
    launch.parameters = sorted(parameters)
    return launch


def _input_order(places: dict[Source, int], value: Value) -> tuple[int, int, int]:
    source, result = value
    if isinstance(source, Argument):
        return 0, source.number, 0
    return 1, places[source], result


def _parameters(member: Comprehension) -> list[Parameter]:
    return [n for n in postorder(member.roots) if isinstance(n, Parameter)]


# ---------------------------------------------------------------- descriptions


def _workspaces(program: Program, launches: Sequence[_Launch]) -> dict[Value, functions.Argument]:
    """How each result of a launch is described: as the output it is, or as a workspace."""
    described: dict[Value, functions.Argument] = {}
    outputs = dict(zip(program.outputs, program.result_attributes, strict=True))
    for launch in launches:
        for value in launch.results:
            if value in outputs:
                described[value] = argument_of(outputs[value], "out")
            else:
                count = sum(1 for d in described.values() if d.role == "workspace")
                described[value] = _workspace(program, value, count)
    return described


def _workspace(program: Program, value: Value, number: int) -> functions.Argument:
    source, result = value
    assert isinstance(source, Comprehension)
    extents = source.domain.extents[: source.domain.parallel]
    shape = affine_map(0, len(program.dims), extents)
    return functions.Argument(WORKSPACE.format(number), dtype_name(source.body[result].type), shape, "row", "workspace")


def dtype_name(type_: Any) -> str:
    """The language's name of an element type; signs are not known any more. Positions are stored as ``i64``."""
    text = str(type_)
    return {"i1": "bool", "index": "i64"}.get(text, text)


def argument_of(attributes: Any, role: str) -> functions.Argument:
    """The description that stands in the attributes of an argument or result."""
    entries = ir.DictAttr(attributes)

    def text(key: str, default: str) -> str:
        return str(ir.StringAttr(entries[key]).value) if key in entries else default

    shape = ir.AffineMapAttr(entries["tw.shape"]).value if "tw.shape" in entries else None
    return functions.Argument(text("tw.name", ""), text("tw.dtype", ""), shape, text("tw.layout", "row"), role)


# ---------------------------------------------------------------- the kernel function


def _encode_kernel(program: Program, launches: Sequence[_Launch], names: Sequence[str]) -> None:
    types = [tensor_type(source, result) for source, result in program.outputs]
    function = declare(program, types)
    block = function.add_entry_block(argument_locations(program))
    arguments = list(block.arguments)
    values: dict[Value, Any] = {}

    def value_of(value: Value) -> Any:
        source, _ = value
        return arguments[source.number] if isinstance(source, Argument) else values[value]

    with ir.InsertionPoint(block), program.location:
        for launch, name in zip(launches, names, strict=True):
            operands = [value_of(v) for v in launch.inputs] + [arguments[n] for n in launch.parameters]
            results = [tensor_type(source, result) for source, result in launch.results]
            callee = {"callee": ir.FlatSymbolRefAttr.get(name)}
            call = ods.create("func.call", results, operands, callee, loc=program.location)
            values |= dict(zip(launch.results, call.results, strict=True))
        func.ReturnOp([value_of(value) for value in program.outputs], loc=program.location)


# ---------------------------------------------------------------- a launch function


class _Builder:
    """Turns one launch into a program of its own and encodes it."""

    def __init__(
        self,
        program: Program,
        grouping: Grouping,
        launch: _Launch,
        workspaces: dict[Value, functions.Argument],
        name: str,
    ) -> None:
        self.program = program
        self.grouping = grouping
        self.launch = launch
        self.workspaces = workspaces
        self.name = name
        self.scalars = {old: len(launch.inputs) + new for new, old in enumerate(launch.parameters)}
        self.inputs: dict[Value, Argument] = {
            value: Argument(value[0].location, number, tensor_type(*value))
            for number, value in enumerate(launch.inputs)
        }

    def encode(self) -> None:
        results = self._results()
        inner = Program(
            self.name,
            self.program.location,
            (),
            (
                *(a.type for a in self.inputs.values()),
                *(self.program.argument_types[n] for n in self.launch.parameters),
            ),
            (),
            (),
            self.program.dims,
            tuple(results),
        )
        function = encode(inner)
        functions.set_arguments(function, self._described(), "tw")
        functions.set_results(function, [self.workspaces[value] for value in self.launch.results], "tw")
        functions.set_grid(function, self._grid(results))
        function.attributes["tw.reason"] = ir.StringAttr.get(self._reason())

    def _described(self) -> list[functions.Argument]:
        given = self.program.argument_attributes
        tensors = [
            argument_of(given[v[0].number], "in") if isinstance(v[0], Argument) else self.workspaces[v]
            for v in self.launch.inputs
        ]
        return [*tensors, *(argument_of(given[n], "scalar") for n in self.launch.parameters)]

    def _results(self) -> list[Value]:
        """The members over the launch's own arguments; maps that stay inside are substituted, folds are wrapped."""
        moves = Moves()
        placed: dict[Source, Comprehension] = {}
        for member in self.launch.group.members:
            placed[member] = self._localised(moves.follow(member))
            axes = tuple(range(member.domain.parallel))
            moves.move(member, [Moved(placed[member], k, axes) for k in range(len(member.body))])
        results: list[Value] = []
        for source, result in self.launch.results:
            local = placed[source]
            results.append((stored(local, result), 0) if local.is_fold else (local, result))
        return _shrunk(results)

    def _localised(self, member: Comprehension) -> Comprehension:
        def local(node: Node) -> Node:
            if isinstance(node, Parameter):
                return replace(node, number=self.scalars[node.number])
            if not isinstance(node, Read):
                return node
            value = (node.source, node.result)
            if value in self.inputs:
                return replace(node, source=self.inputs[value], result=0)
            source = node.source
            return inlined(node) if isinstance(source, Comprehension) and not source.is_fold else node

        return member.with_roots(rebuild(member.roots, local))

    def _grid(self, results: Sequence[Value]) -> functions.Grid:
        grid = self.grouping.grid(self.launch.group)
        extents = [member.domain.extents[k] for member, k in grid]
        positions = tuple(self._positions(source, grid) for source, _ in self.launch.results)
        return functions.Grid(affine_map(0, len(self.program.dims), extents), positions)

    def _positions(self, source: Source, grid: Sequence[Axis]) -> tuple[int, ...]:
        assert isinstance(source, Comprehension)
        mine = [self.grouping.class_of((source, k)) for k in range(source.domain.parallel)]
        return tuple(mine.index(axis) for axis in grid)

    def _reason(self) -> str:
        group = self.launch.group
        reasons = "; ".join(dict.fromkeys(group.reasons)) or f"{name_of(group.members[-1])} shares nothing"
        kept = [name_of(s) for s, _ in self.launch.results if isinstance(s, Comprehension)]
        return f"writes {', '.join(kept)}: {reasons}"


def stored(fold: Comprehension, result: int) -> Comprehension:
    """A map that stores one result of a fold."""
    count = fold.domain.parallel
    extents = fold.domain.extents[:count]
    positions = tuple(Position(_index_type(fold), fold.location, k) for k in range(count))
    modes = tuple(ReadMode.PROVED for _ in range(count))
    read = Read(fold.body[result].type, fold.location, fold, result, positions, modes)
    return Comprehension(fold.location, Domain(fold.domain.names[:count], count, extents), (read,))


def _index_type(fold: Comprehension) -> Any:
    return ir.IndexType.get()


def _shrunk(results: list[Value]) -> list[Value]:
    """Drop results of maps that nothing takes: each map keeps what leaves the launch, in order."""
    taken: dict[Source, list[int]] = {}
    for source, result in results:
        taken.setdefault(source, []).append(result)
    new: dict[Source, Comprehension] = {}
    for source, numbers in taken.items():
        assert isinstance(source, Comprehension)
        new[source] = replace(source, body=tuple(source.body[n] for n in numbers))
    return [(new[source], taken[source].index(result)) for source, result in results]
