"""Atomics and reductions: ``atom`` and ``red`` of every type, scalar, packed and vector (PTX ISA, "atom", "red")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import numerics_float as fp
from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    address,
    destination,
    elements,
    operands,
    source,
)
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access
from tilewright.runtime.emulator.ops_float import HALVES
from tilewright.runtime.emulator.ops_memory import CACHE, SCOPES, SPACES
from tilewright.runtime.emulator.scalar_types import UNSIGNED, Array, ScalarType, bits_type
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

OPERATIONS = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
PACKED = ("f16", "f16x2", "bf16", "bf16x2")
BITWISE = ("b32", "b64")
FORMS = {
    "add": ("u32", "s32", "u64", "f32", "f64", *PACKED),
    "min": ("u32", "s32", "u64", "s64", *PACKED),
    "max": ("u32", "s32", "u64", "s64", *PACKED),
    "and": BITWISE,
    "or": BITWISE,
    "xor": BITWISE,
    "exch": BITWISE,
    "cas": ("b16", *BITWISE),
    "inc": ("u32",),
    "dec": ("u32",),
}
"""Types by operation; ``.b128`` is in ``ops_wide``."""
VECTORS = {
    "f16": ("v2", "v4", "v8"),
    "bf16": ("v2", "v4", "v8"),
    **dict.fromkeys(("f16x2", "bf16x2", "f32"), ("v2", "v4")),
}
Combine = Callable[..., Any]


def _check_form(
    m: Modifiers, operation: str, kind: ScalarType, vector: str | None, exact: bool, space: str | None
) -> None:
    """Refuse combinations of operation, type and vector length that do not exist."""
    if kind.name not in FORMS[operation]:
        raise m.fault(f".{operation} exists for {', '.join(FORMS[operation])}")
    if kind.name in HALVES and operation == "add" and not exact:
        raise m.fault("additions of f16 and bf16 need .noftz")
    if vector is not None and (vector not in VECTORS.get(kind.name, ()) or space not in ("global", None)):
        raise m.fault(f"{vector} does not exist here; vectors are of f16, bf16, their pairs and f32, in global memory")


def atomic(context: Context, instruction: Instruction) -> Action:
    """``atom`` and ``red`` (PTX ISA, sections of these names)."""
    m = Modifiers(instruction)
    kind = m.last_type()
    semantics = m.choice("relaxed", "acquire", "release", "acq_rel") or "relaxed"
    scope = m.choice(*SCOPES) or "gpu"
    space = m.choice(*SPACES)
    operation = m.need(*OPERATIONS)
    vector = m.choice("v2", "v4", "v8")
    exact = m.flag("noftz")
    while m.choice(*CACHE):
        pass
    m.finish()
    _check_form(m, operation, kind, vector, exact, space)
    reduction = instruction.mnemonic == "red"
    items = operands(instruction, 2 if reduction else 3, 5)
    place = items[0] if reduction else items[1]
    rest = items[1:] if reduction else items[2:]
    (base, offset), declared = address(context, instruction, place)
    count = 2 if operation == "cas" else 1
    values = [source(context, instruction, part, kind) for item in rest[:count] for part in elements(item)]
    width = int(vector[1:]) if vector else 1
    results = (
        () if reduction else tuple(destination(instruction, part, bits_type(kind.bits)) for part in elements(items[0]))
    )
    function = partial(
        _run, operation, kind, (space or declared or "generic").split("::")[0], width, semantics, scope, reduction
    )
    action = Action(instruction, function, (base, offset, *values), results, Order.STRICT, effect=True)
    action.packable = False
    return action


def combine(operation: str, kind: ScalarType) -> Combine:
    """The new value from the old one and the operands."""
    one = kind.dtype.type(1) if kind.kind in "us" else None
    if kind.name in HALVES:
        return partial(_combine_half, operation, kind.name)
    if kind.kind == "f" and operation in ("min", "max", "add"):
        floats: dict[str, Combine] = {"min": fp.minimum, "max": fp.maximum, "add": np.add}
        return floats[operation]
    table: dict[str, Combine] = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "exch": lambda old, new: new,
        "cas": lambda old, wanted, new: np.where(old == wanted, new, old),
        "inc": lambda old, limit: np.where(old >= limit, kind.dtype.type(0), old + one),
        "dec": lambda old, limit: np.where((old == 0) | (old > limit), limit, old - one),
    }
    return table[operation]


def _combine_half(operation: str, name: str, old: Array, new: Array) -> Array:
    form = HALVES[name]
    if operation in ("exch", "cas"):
        return new
    functions: dict[str, Combine] = {"add": np.add, "min": fp.minimum, "max": fp.maximum}
    function = functions[operation]
    word = UNSIGNED[32 if name.endswith("x2") else 16]
    old, new = (np.asarray(x).view(word) for x in (old, new))
    shifts = (0, 16) if name.endswith("x2") else (0,)
    total = np.zeros(np.shape(old), word)
    for shift in shifts:
        parts = [formats.decode((x >> word.type(shift)).astype(np.uint16), form) for x in (old, new)]
        total |= formats.encode(function(*parts), form).astype(word) << word.type(shift)
    return total if name != "f16" else total.view(np.float16)


def _run(
    operation: str,
    kind: ScalarType,
    space: str,
    width: int,
    semantics: str,
    scope: str,
    reduction: bool,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    *values: Array,
) -> Any:
    size = kind.bits // 8
    lanes = machine.lanes
    raw = UNSIGNED[kind.bits]
    olds = [np.zeros(lanes, raw) for _ in range(width)]
    flat = [np.broadcast_to(np.asarray(value).reshape(-1), (lanes,)) for value in values]
    with machine.strong(site, mask, base, offset, space, size * width, semantics, scope):
        for part in range(width):
            operands_ = flat[part::width] if width > 1 else flat
            _one_part(
                machine,
                site,
                mask,
                space,
                base,
                np.asarray(offset) + part * size,
                operation,
                kind,
                operands_,
                olds[part],
            )
    machine.progress += 1
    if reduction:
        return None
    return tuple(olds) if width > 1 else olds[0]


def _one_part(
    machine: Machine,
    site: Site,
    mask: Mask,
    space: str,
    base: Array,
    offset: Array,
    operation: str,
    kind: ScalarType,
    values: list[Array],
    old: Array,
) -> None:
    size = kind.bits // 8
    memory = machine.memory
    address_ = memory.addresses(base, offset, 1)
    for found in memory.resolve(site, mask, space, address_, size):
        access = memory.checked(site, found, VALID | INITIALISED | WRITABLE, "atomic access")
        if not len(access.offsets):
            continue
        if machine.races is not None:
            machine.races.atomic(site, access)
        machine.counters.memory(site, access, True)
        _apply(machine, access, operation, kind, values, old)


def _apply(machine: Machine, access: Access, operation: str, kind: ScalarType, values: list[Array], old: Array) -> None:
    """Serialise the lanes that hit one place."""
    size = kind.bits // 8
    data = access.arena.view(False, size, 1)[:, 0]
    typed = data.view(kind.dtype)
    function = combine(operation, kind)
    for places, who in in_turns(machine, access, size):
        before = typed[places]
        old[who] = data[places]
        typed[places] = function(before, *(value[who] for value in values))


def in_turns(machine: Machine, access: Access, size: int) -> Iterator[tuple[Array, Array]]:
    """Places (in units of ``size`` bytes) and their lanes, in rounds that never hold one place twice."""
    lanes, index = access.lanes(), access.offsets // size
    if machine.options.schedule == "reverse":
        lanes, index = lanes[::-1], index[::-1]
    elif machine.options.schedule == "random":
        shuffled = np.array(machine.random.sample(range(len(lanes)), len(lanes)), int)
        lanes, index = lanes[shuffled], index[shuffled]
    for chosen in _rounds(index):
        yield index[chosen], lanes[chosen]


def _rounds(index: Array) -> list[Array]:
    """Positions split so that each part has distinct indices, in order of appearance."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    if len(starts) == len(index):
        return [np.arange(len(index))]
    lengths = np.diff(np.r_[starts, len(index)])
    rank = np.arange(len(index)) - np.repeat(starts, lengths)
    return [order[rank == turn] for turn in range(int(lengths.max()))]


TABLE: dict[str, Decoder] = {"atom": atomic, "red": atomic}
