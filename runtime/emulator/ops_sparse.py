"""Structured sparsity: ``mma.sp``, and the metadata that ``wgmma.mma_async.sp`` shares with it.

PTX ISA, "Sparse matrix storage": half of each row of A is zero. Of 4 neighbours 2 are kept (16- and 8-bit elements), of
2 one (tf32), of 4 pairs 2 (4-bit elements); two 2-bit indices per chunk say which. Lanes 4g to 4g+3 hold the metadata
of rows g and g + 8; the selector says which of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import ops_matrix
from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Modifiers, destination, elements, operands, source
from tilewright.runtime.emulator.scalar_types import B32, Array
from tilewright.runtime.emulator.syntax import Immediate, Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine
    from tilewright.runtime.emulator.ops_matrix import MmaForm, Shapes

WARP = 32
CHUNK = {"f16": 4, "bf16": 4, "tf32": 2, "fp8": 4, "int8": 4, "int4": 8}
"""Elements of a row that one pair of indices describes, by family of the type."""
WIDE = ("f16", "bf16", "tf32")
"""Families whose metadata words hold 16 bits of row g and 16 bits of row g + 8; the others' hold one row."""
ALLOWED: Shapes = {
    "f16": {(16, 8, 16), (16, 8, 32)},
    "bf16": {(16, 8, 16), (16, 8, 32)},
    "tf32": {(16, 8, 8), (16, 8, 16)},
    "int8": {(16, 8, 32), (16, 8, 64)},
    "int4": {(16, 8, 64), (16, 8, 128)},
    "fp8": {(16, 8, 64)},
}


def metadata_lanes(family: str, k: int) -> int:
    """How many of four lanes hold metadata of a product of depth k."""
    return 16 * (k // CHUNK[family]) * 4 // (8 * 32)


def selector(m: Modifiers, operand: Any, family: str, k: int) -> int:
    """The sparsity selector, a literal."""
    limit = 4 // metadata_lanes(family, k)
    if not isinstance(operand, Immediate) or not 0 <= int(operand.value) < limit:
        raise m.fault(f"the sparsity selector must be a literal from 0 to {limit - 1}")
    return int(operand.value)


def indices(words: Array, family: str, k: int, chosen: int) -> Array:
    """Metadata words (..., 8, 4) of the lanes of a warp as 4-bit entries (..., 16 rows, chunks)."""
    count = metadata_lanes(family, k)
    picked = np.ascontiguousarray(words[..., chosen * count : (chosen + 1) * count])
    lead = picked.shape[:-2]
    if family in WIDE:
        rows = picked.view(np.uint16).reshape(*lead, 8, count, 2)
        rows = np.moveaxis(rows, -1, -3)  # (row half, g, lane)
        nibbles = 4
    else:
        rows = picked.reshape(*lead, 8, count // 2, 2)
        rows = np.moveaxis(rows, -1, -3)
        nibbles = 8
    shifts = (4 * np.arange(nibbles)).astype(rows.dtype)
    return np.asarray((rows[..., None] >> shifts) & rows.dtype.type(15)).reshape(*lead, 16, -1)


def expand(packed: Array, entries: Array, family: str) -> tuple[Array, Array]:
    """Kept elements (..., m, k/2) with their entries (..., m, chunks) as (..., m, k), and which entries are invalid."""
    if family == "tf32":
        places, invalid = (entries >> 3)[..., None].astype(np.int64), (entries != 0b0100) & (entries != 0b1110)
        kept, slots = packed[..., None], 2
    else:
        places = np.stack([entries & 3, entries >> 2], axis=-1).astype(np.int64)
        invalid = places[..., 0] == places[..., 1]
        kept, slots = packed.reshape(*entries.shape, 2, -1), 4
    kept = kept.reshape(*entries.shape, places.shape[-1], -1)
    dense = np.zeros((*entries.shape, slots, kept.shape[-1]), packed.dtype)
    np.put_along_axis(dense, np.broadcast_to(places[..., None], kept.shape), kept, axis=-2)
    return dense.reshape(*entries.shape[:-1], -1), invalid


def disordered(entries: Array, family: str) -> Array:
    """Entries whose first index is not the smaller one, as ``::ordered_metadata`` requires."""
    return np.zeros(entries.shape, bool) if family == "tf32" else np.asarray((entries & 3) >= (entries >> 2))


def mma(context: Context, instruction: Instruction) -> Action:
    """``mma.sp`` and ``mma.sp::ordered_metadata`` (PTX ISA, "mma.sp")."""
    m = Modifiers(instruction)
    ordered = m.need("sp", "sp::ordered_metadata") != "sp"
    form = replace(ops_matrix.read_form(m, ALLOWED), sparse=True)
    items = operands(instruction, 6)
    groups = [elements(item) for item in items[:4]]
    expected = (form.m // 8 * (1 if form.result == "f16" else 2), *form.counts)
    if tuple(len(group) for group in groups) != expected:
        raise m.fault(f"operands must have {expected} registers")
    chosen = selector(m, items[5], ops_matrix.FAMILY[form.left], form.k)
    inputs = [source(context, instruction, item, B32) for group in groups[1:] for item in group]
    inputs.append(source(context, instruction, items[4], B32))
    results = tuple(destination(instruction, item, B32) for item in groups[0])
    function = partial(_mma, form, chosen, ordered)
    return Action(instruction, function, tuple(inputs), results, Order.PURE, effect=True, converge=WARP)


def _mma(form: MmaForm, chosen: int, ordered: bool, machine: Machine, site: Site, mask: Mask, *registers: Array) -> Any:
    *registers_, metadata = registers
    first, second = form.counts[0], form.counts[0] + form.counts[1]
    family, lanes = ops_matrix.FAMILY[form.left], machine.lanes
    packed = ops_matrix.left_matrix(tuple(registers_[:first]), site, lanes, form.left, form.m)
    right = ops_matrix.right_matrix(tuple(registers_[first:second]), site, lanes, form.right)
    c = ops_matrix.accumulator(tuple(registers_[second:]), form, site, lanes)
    words = np.broadcast_to(metadata, (site.count, lanes)).reshape(site.count, -1, 8, 4)
    entries = indices(words, family, form.k, chosen)
    left, invalid = expand(packed, entries, family)
    report_invalid(machine, site, mask, invalid | disordered(entries, family) if ordered else invalid)
    result = ops_matrix.product(left, right, c, form.left, form.right, form.result, form.saturate, machine.options.tc)
    return ops_matrix.scatter(result, form, site, lanes)


def report_invalid(machine: Machine, site: Site, mask: Mask, invalid: Array) -> None:
    """A finding for the active warps of (instruction, warp, row, chunk) whose metadata means nothing."""
    active = np.asarray(machine.lane_mask(mask).reshape(-1, WARP).any(1))
    bad = invalid & active[None, :, None, None]
    if bad.any():
        row, warp, matrix_row, _ = (int(x) for x in np.argwhere(bad)[0])
        lane = warp * WARP + matrix_row % 8 * 4
        message = f"the metadata of row {matrix_row} of A is not a pair of different indices"
        machine.finding("sparse-metadata", message, site, row, [lane])
