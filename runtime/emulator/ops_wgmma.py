"""Decoders of the warpgroup matrix instructions (PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions")."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import ops_sparse
from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import U64, Context, Decoder, Modifiers, elements, operands, source
from tilewright.runtime.emulator.ops_matrix import BITS, FAMILY, RESULTS
from tilewright.runtime.emulator.registers import Rows
from tilewright.runtime.emulator.scalar_types import B32, PRED, Array
from tilewright.runtime.emulator.syntax import Immediate, Instruction, Operand, Register, Vector
from tilewright.runtime.emulator.wgmma import WgmmaForm

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

SHAPE = re.compile(r"m64n(\d+)k(\d+)$")
BYTES_OF_K = 32
"""Every dense product takes 32 bytes of a row of A; a sparse one as many of the kept elements."""
TYPES_OF_WGMMA = ("f16", "bf16", "tf32", "e4m3", "e5m2", "s8", "u8", "b1")


def wgmma(context: Context, instruction: Instruction) -> Action:
    """``wgmma.fence``, ``commit_group``, ``wait_group`` and ``mma_async`` (PTX ISA, sections of these names)."""
    m = Modifiers(instruction)
    name = m.need("fence", "commit_group", "wait_group", "mma_async")
    sparse = name == "mma_async" and m.flag("sp")
    m.need("sync")
    m.need("aligned")
    if name == "mma_async":
        return _mma_async(context, instruction, m, sparse)
    m.finish()
    function: Any = {"fence": _fence, "commit_group": _commit_group}.get(name)
    if name == "wait_group":
        count = operands(instruction, 1)[0]
        if not isinstance(count, Immediate) or not 0 <= int(count.value) <= 7:
            raise m.fault("the group count must be a literal from 0 to 7")
        function = partial(_wait_group, int(count.value))
    return Action(
        instruction, function, (), (), Order.STRICT, effect=True, converge=128 if name == "commit_group" else 32
    )


def _fence(machine: Machine, site: Site, mask: Mask) -> None:
    """Orders register accesses; the hazard checker sees it by block."""


def _commit_group(machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.matrix.commit(machine.lane_ids(mask))


def _wait_group(count: int, machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.matrix.wait(site, machine.lane_ids(mask), count)


def _mma_async(context: Context, instruction: Instruction, m: Modifiers, sparse: bool) -> Action:
    """``wgmma.mma_async`` and ``wgmma.mma_async.sp``."""
    form = _read_form(m, sparse)
    items = list(instruction.operands)
    registers = elements(items[0])
    if len(registers) != (form.n // 4 if form.result == "f16" else form.n // 2):
        raise m.fault(f"the accumulator has {len(registers)} registers")
    metadata: tuple[Source, ...] = ()
    if sparse:
        metadata = (_row_source(m, (items.pop(3),)),)
        form = replace(form, selector=ops_sparse.selector(m, items.pop(3), FAMILY[form.left], form.k))
    form = _with_literals(m, form, items)
    first = source(context, instruction, items[1], U64) if not isinstance(items[1], Vector) else _left_rows(m, items[1])
    scale = source(context, instruction, items[3], PRED) if len(items) > 3 else Source(PRED, constant=np.bool_(True))
    touched = tuple(item for item in registers if isinstance(item, Register))
    second = source(context, instruction, items[2], U64)
    inputs = (_row_source(m, registers), first, second, scale, *metadata)
    return Action(
        instruction, partial(_issue, form), inputs, (), Order.STRICT, effect=True, converge=128, touches=touched
    )


def _read_form(m: Modifiers, sparse: bool) -> WgmmaForm:
    """Shape and types, all modifiers taken."""
    saturate, bits = m.flag("satfinite"), m.flag("popc")
    if bits:
        m.need("and")
    right, left, result = m.left.pop(), m.left.pop(), m.left.pop()
    shape = next((SHAPE.match(piece) for piece in m.left if SHAPE.match(piece)), None)
    if shape is None or left not in TYPES_OF_WGMMA or right not in TYPES_OF_WGMMA or (left == "b1") != bits:
        raise m.fault("unknown shape or type")
    m.left.remove(shape.group())
    m.finish()
    n, k, family = int(shape[1]), int(shape[2]), FAMILY[left]
    depth = BYTES_OF_K * 8 // BITS[left] * (2 if sparse else 1)
    narrow = family not in ("int8", "bit") or n <= 32 or n % 16 == 0
    if k != depth or family != FAMILY[right] or not 8 <= n <= 256 or n % 8 or not narrow or (sparse and bits):
        raise m.fault("this shape does not exist for the type")
    if result not in RESULTS.get(family, ("s32",)):
        raise m.fault(f"result type .{result} does not exist for .{left}")
    if saturate and family != "int8":
        raise m.fault(".satfinite is for integers")
    return WgmmaForm(n, k, result, left, right, saturate=saturate, sparse=sparse)


def _left_rows(m: Modifiers, operand: Vector) -> Source:
    if len(operand.items) != 4:
        raise m.fault(f"A has {len(operand.items)} registers, not 4")
    return _row_source(m, operand.items)


def _row_source(m: Modifiers, items: tuple[Operand, ...]) -> Source:
    if not all(isinstance(item, Register) and item.bits == 32 for item in items):
        raise m.fault("needs a list of 32-bit registers")
    return Source(B32, rows=tuple(item for item in items if isinstance(item, Register)))


def _with_literals(m: Modifiers, form: WgmmaForm, items: list[Operand]) -> WgmmaForm:
    """Signs and transpositions, which are literals after scale-d; integer products have none."""
    literals = []
    for item in items[4:]:
        if not isinstance(item, Immediate):
            raise m.fault("the scales and transpositions must be literals")
        literals.append(int(item.value))
    if not literals:
        return form
    in_registers = isinstance(items[1], Vector)
    signs, flips = literals[:2], literals[2:]
    if form.result == "s32" or any(sign not in (1, -1) for sign in signs) or len(flips) > (1 if in_registers else 2):
        raise m.fault("bad scale or transposition")
    flips = [0, *flips] if in_registers else flips
    flips = (flips + [0, 0])[:2]
    if any(flips) and form.left not in ("f16", "bf16"):
        raise m.fault("only 16-bit operands can be transposed")
    return replace(
        form, left_sign=signs[0], right_sign=signs[1], left_transposed=bool(flips[0]), right_transposed=bool(flips[1])
    )


def _issue(
    form: WgmmaForm,
    machine: Machine,
    site: Site,
    mask: Mask,
    accumulator: Rows,
    left: Any,
    right: Array,
    scale: Array,
    metadata: Rows | None = None,
) -> None:
    first = left if isinstance(left, Rows) else _column(machine, left)
    machine.engines.matrix.issue(
        site,
        form,
        machine.lane_ids(mask),
        accumulator,
        first,
        _column(machine, right),
        _column(machine, scale),
        metadata,
    )


def _column(machine: Machine, value: Array) -> Array:
    return np.broadcast_to(np.asarray(value).reshape(-1), (machine.lanes,))


TABLE: dict[str, Decoder] = {"wgmma": wgmma}
