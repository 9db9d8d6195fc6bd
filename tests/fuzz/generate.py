"""Random well-typed programs as source text, from a seed, and the road each of them takes.

Every operator, built-in, dtype, guard and bound that is compiled appears in at least two programs of a hundred; in half
of the programs the data are small whole numbers, on which most results are exact and compared bit for bit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.data_classes import NUMPY, fill
from tests.fuzz.expressions import FLOATS, INTEGERS, Expressions
from tests.fuzz.program import Draft, Index, Outcome, Program, Tensor
from tests.fuzz.reads import kind_of
from tests.sources import typed_text
from tilewright.compiler.language import typed
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import Evaluation, evaluate

DATA = ("random", "random", "positive", "cancelling", "tiny", "huge", "special")
Backend = Callable[[Program, typed.TypedKernel], dict[str, Any]]


def generate(seed: int) -> Program:
    """The program of a seed: the same text and data on every machine."""
    draft = _draft(seed)
    _inputs(draft)
    inputs = list(draft.tensors)
    body, outputs = _statements(draft)
    _declared_features(draft, inputs, outputs)
    data_class = "integers" if draft.whole else draft.pick(DATA)
    draft.use(f"data: {data_class}")
    arguments = _arguments(draft, inputs, data_class)
    source = _source(draft, inputs, outputs, body)
    types = {"T": _type_of(draft)} if "T" in {tensor.dtype for tensor in inputs} else {}
    consts = {name: value for name, _, value in draft.consts}
    return Program(seed, source, types, consts, arguments, draft.sizes, frozenset(draft.features), data_class)


def run_case(seed: int, backends: Sequence[Backend] = ()) -> Outcome:
    """Check the program, evaluate the reference, and compare what each of ``backends`` computes with it.

    A backend takes the program and its typed kernel and returns outputs by name. Raises ``AssertionError`` with the
    seed and the source where an output is off.
    """
    program = generate(seed)
    kernel = typed_text(program.source, "fuzz", program.types, program.consts)
    evaluation = evaluate(kernel, program.arguments, dims={n: program.dims[n] for n in kernel.dims})
    for backend in backends:
        compare_outputs(program, evaluation, backend(program, kernel))
    return _outcome(program, kernel, evaluation)


def compare_outputs(program: Program, evaluation: Evaluation, outputs: dict[str, Any]) -> None:
    """Raise ``AssertionError`` where an output lies outside the reference's bound."""
    for name in evaluation.outputs:
        comparison = compare(evaluation, name, outputs[name])
        assert comparison.ok, f"seed {program.seed}: {comparison.message}\n{program.source}"


def _outcome(program: Program, kernel: typed.TypedKernel, evaluation: Evaluation) -> Outcome:
    undecided = max((float(u.mean()) for u in evaluation.undecided.values() if u.size), default=0.0)
    bounds = [b for name, b in evaluation.bound.items()]
    exact = sum(int((b == 0).sum()) for b in bounds)
    return Outcome(program, kernel, undecided, exact, sum(b.size for b in bounds))


# ---------------------------------------------------------------- declarations


def _draft(seed: int) -> Draft:
    source = random.Random(seed)
    names = ["M", "N", "K"][: source.randint(1, 3)]
    sizes = {name: 0 if source.random() < 0.02 else source.randint(1, 6) for name in names}
    draft = Draft(seed, source, sizes, whole=source.random() < 0.5)
    if not all(sizes.values()):
        draft.use("dim: 0")
    for dtype in source.sample(["f32", "f64", "i32", "i64", "f16", "u8"], source.randint(0, 2)):
        draft.scalars.append((draft.fresh("s"), dtype))
    if source.random() < 0.5:
        draft.consts.append((draft.fresh("c"), "int", source.randint(1, 4)))
    if source.random() < 0.3:
        draft.consts.append((draft.fresh("c"), "bool", source.random() < 0.5))
    return draft


def _inputs(draft: Draft) -> None:
    """Two or three tensors of any dtype, and often one of subscripts and one of lengths."""
    dims = sorted(draft.sizes)
    for position in range(draft.random.randint(2, 4)):
        extents = tuple(draft.pick(dims) for _ in range(draft.random.randint(1, 3)))
        dtype = draft.pick([*FLOATS, "T", "T"]) if position < 2 else draft.pick([*INTEGERS, *INTEGERS, "bool", "bool"])
        draft.tensors.append(Tensor(draft.fresh("x"), dtype, extents, layout=_layout(draft, len(extents))))
    missing = [name for name in dims if not any(name in tensor.extents for tensor in draft.tensors)]
    for name in missing:
        draft.tensors.append(Tensor(draft.fresh("x"), "f32", (name,)))
    if draft.chance(0.6):
        target = draft.pick(dims)
        extents = tuple(draft.pick(dims) for _ in range(draft.random.randint(1, 2)))
        draft.tensors.append(Tensor(draft.fresh("at"), draft.pick(["i32", "i64", "u8"]), extents, into=target))
    if draft.chance(0.5):
        draft.tensors.append(Tensor(draft.fresh("len"), "i32", (draft.pick(dims),)))


def _layout(draft: Draft, rank: int, strided: bool = True) -> str:
    """How a tensor lies in memory: mostly row-major, without a word."""
    form = draft.random.choices(["row", "order", "strided"], [6, 1, 1])[0]
    if form == "order" and rank > 1:
        draft.use("layout: order")
        axes = draft.random.sample(range(rank), rank)
        return f"order({', '.join(map(str, axes))})"
    if form == "strided" and strided:
        draft.use("layout: strided")
        return "strided"
    return ""


def _type_of(draft: Draft) -> str:
    return FLOATS[draft.seed % len(FLOATS)]


def _declared_features(draft: Draft, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    for tensor in inputs:
        draft.use(f"input: {tensor.dtype}", f"rank: {len(tensor.extents)}")
    for tensor in outputs:
        draft.use(f"output: {tensor.dtype}")
    draft.use("outputs: several" if len(outputs) > 1 else "outputs: one")


# ---------------------------------------------------------------- statements


def _statements(draft: Draft) -> tuple[list[str], list[Tensor]]:
    """Locals and outputs in some order; later statements may read earlier names."""
    lines, outputs = [], []
    if draft.chance(0.15):
        lines.append(_table(draft))
    plan = ["local"] * draft.random.randint(0, 2) + ["output"] * draft.random.randint(0, 2)
    draft.random.shuffle(plan)
    for role in [*plan, "output"]:
        line, tensor = _statement(draft, role)
        lines.append(line)
        if role == "output":
            outputs.append(tensor)
    return lines, outputs


def _table(draft: Draft) -> str:
    name = draft.fresh("table")
    draft.use("table")
    if draft.chance(0.5):
        draft.tensors.append(Tensor(name, "f32", ("3",)))
        return f"{name} = [1.0, -0.5, 2.25]"
    draft.tensors.append(Tensor(name, "f32", ("2", "2")))
    return f"{name} = [[1.0, 0.5], [-1.5, 3.0]]"


def _statement(draft: Draft, role: str) -> tuple[str, Tensor]:
    indices = _indices(draft, role)
    kind = draft.pick(["float", "float", "float", "int", "int", "bool"])
    expressions = Expressions(draft)
    depth = draft.random.randint(2, 4)
    write = {"float": expressions.floating, "int": expressions.integer, "bool": expressions.boolean}[kind]
    value = write(indices, depth)
    name = draft.fresh("y" if role == "output" else "v")
    dtype = _stored_dtype(draft, role, kind)
    if role == "output" and kind == "int":
        value = f"{dtype}({value})"
    if role == "local" and kind == "int":
        value = f"i32({value})"
    layout = _layout(draft, len(indices), strided=False) if role == "output" else ""
    tensor = Tensor(name, dtype, tuple(index.extent for index in indices), layout=layout)
    draft.tensors.append(tensor)
    draft.use(f"{role}: rank {len(indices)}", f"{role}: {kind}")
    return _left_side(draft, role, name, indices) + value, tensor


def _indices(draft: Draft, role: str) -> list[Index]:
    extents = draft.random.choices([*sorted(draft.sizes), *sorted(draft.sizes), "2"], k=draft.random.randint(0, 3))
    return [Index(draft.fresh("i"), extent, draft.size(extent)) for extent in extents]


def _left_side(draft: Draft, role: str, name: str, indices: Sequence[Index]) -> str:
    if not indices:
        return f"{name} = "
    if role == "output":
        return f"{name}[{', '.join(index.name for index in indices)}] = "
    return f"{name}[{', '.join(f'{index.name}: {index.extent}' for index in indices)}] = "


def _stored_dtype(draft: Draft, role: str, kind: str) -> str:
    if role == "local":
        return {"float": "f32", "int": "i32", "bool": "bool"}[kind]
    if kind == "bool":
        return "bool"
    return draft.pick(FLOATS if kind == "float" else INTEGERS)


# ---------------------------------------------------------------- text and data


def _source(draft: Draft, inputs: Sequence[Tensor], outputs: Sequence[Tensor], body: Sequence[str]) -> str:
    types = "<T: float>" if any(tensor.dtype == "T" for tensor in inputs) else ""
    arguments = ", ".join(tensor.declaration for tensor in inputs)
    scalars = [f"{name}: {dtype}" for name, dtype in draft.scalars]
    scalars += [f"const {name}: {kind}" for name, kind, _ in draft.consts]
    given = f"; {', '.join(scalars)}" if scalars else ""
    results = ", ".join(tensor.declaration for tensor in outputs)
    head = f"kernel fuzz{types}[{', '.join(sorted(draft.sizes))}]({arguments}{given}) -> ({results}):"
    return "\n".join([*draft.macros, head, *(f"    {line}" for line in body)]) + "\n"


def _arguments(draft: Draft, inputs: Sequence[Tensor], data_class: str) -> dict[str, Any]:
    generator = np.random.default_rng(draft.seed)
    arguments: dict[str, Any] = {}
    for tensor in inputs:
        shape = tuple(draft.size(extent) for extent in tensor.extents)
        dtype = _type_of(draft) if tensor.dtype == "T" else tensor.dtype
        if tensor.into is not None:
            arguments[tensor.name] = generator.integers(0, max(draft.size(tensor.into), 1), shape).astype(NUMPY[dtype])
        elif tensor.name.startswith("len"):
            arguments[tensor.name] = generator.integers(0, 5, shape).astype(NUMPY[dtype])
        else:
            arguments[tensor.name] = _laid_out(fill(data_class, shape, dtype, generator), tensor.layout)
    for name, dtype in draft.scalars:
        whole = kind_of(dtype) == "int" or draft.whole
        arguments[name] = int(generator.integers(1, 4)) if whole else float(np.round(generator.uniform(0.5, 2.0), 2))
    return arguments


def _laid_out(values: Any, layout: str) -> Any:
    """The same values in memory of another order, or with gaps between them."""
    if layout == "strided":
        wide = np.zeros([2 * size for size in values.shape], values.dtype)
        places = tuple(slice(None, None, 2) for _ in values.shape)
        wide[places] = values
        return wide[places]
    if layout:
        axes = [int(axis) for axis in layout.removeprefix("order(").removesuffix(")").split(",")]
        return np.ascontiguousarray(values.transpose(axes)).transpose(np.argsort(axes))
    return values
