"""``mma.m8n8k4`` of f16: four products at once, each by two groups of four lanes.

PTX ISA, "Matrix Fragments for mma.m8n8k4 with .f16 floating point type". Product q belongs to lanes 4q to 4q+3 and the
same lanes sixteen further.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Modifiers, destination, elements, operands, source
from tilewright.runtime.emulator.scalar_types import B32, Array
from tilewright.runtime.emulator.syntax import Instruction
from tilewright.runtime.emulator.tensor_core import multiply_accumulate

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
QUADS = 4


def mma(context: Context, instruction: Instruction) -> Action:
    """``mma.sync.aligned.m8n8k4`` with f16 multiplicands and any layouts (PTX ISA, "mma")."""
    m = Modifiers(instruction)
    result, left, right, accumulator = [m.left.pop() for _ in range(4)][::-1]
    for piece in ("sync", "aligned", "m8n8k4"):
        m.need(piece)
    layouts = m.need("row", "col"), m.need("row", "col")
    m.finish()
    if (left, right) != ("f16", "f16") or (result, accumulator) not in (("f16", "f16"), ("f32", "f16"), ("f32", "f32")):
        raise m.fault("these types do not go together")
    groups = [elements(item) for item in operands(instruction, 4)]
    expected = (_count(result), 2, 2, _count(accumulator))
    if tuple(len(group) for group in groups) != expected:
        raise m.fault(f"operands must have {expected} registers")
    inputs = tuple(source(context, instruction, item, B32) for group in groups[1:] for item in group)
    results = tuple(destination(instruction, item, B32) for item in groups[0])
    function = partial(_mma, layouts, result, accumulator)
    return Action(instruction, function, inputs, results, Order.PURE, effect=True, converge=WARP)


def _count(kind: str) -> int:
    return 4 if kind == "f16" else 8


def _lanes(count: int) -> tuple[Array, Array, Array, Array]:
    """For every lane and element: the product, the lane of four, 4 for the upper half of the warp, the element."""
    lane, i = np.arange(WARP)[:, None], np.arange(count)[None, :]
    return np.broadcast_arrays(lane % 16 // 4, lane % 4, lane // 16 * 4, i)  # type: ignore[return-value]


def _multiplicand(transposed: bool) -> tuple[Array, Array, Array]:
    """Product, row of eight and place along k of the elements; the other layout when transposed."""
    quad, inner, half, i = _lanes(4)
    return (quad, i + half, inner) if transposed else (quad, inner + half, i)


def _accumulator(kind: str) -> tuple[Array, Array, Array]:
    """Product, row and column of the elements of C and D."""
    quad, inner, half, i = _lanes(8)
    if kind == "f16":
        return quad, inner + half, i
    return quad, (inner & 1) + (i & 2) + half, (i & 4) + (inner & 2) + (i & 1)


def _gather(registers: tuple[Array, ...], site: Site, lanes: int, kind: str) -> Array:
    """Registers as (instruction, warp, lane, element) of raw bits."""
    words = np.stack([np.broadcast_to(r, (site.count, lanes)) for r in registers], axis=-1)
    raw = np.ascontiguousarray(words).view(np.uint16 if kind == "f16" else np.uint32)
    return raw.reshape(site.count, -1, WARP, raw.shape[-1])


def _matrix(raw: Array, place: tuple[Array, Array, Array], shape: tuple[int, int], kind: str) -> Array:
    """(instruction, warp, product, rows, columns) as float values."""
    result = np.zeros((*raw.shape[:2], QUADS, *shape), raw.dtype)
    result[:, :, place[0], place[1], place[2]] = raw
    return formats.decode(result, "f16") if kind == "f16" else result.view(np.float32)


def _mma(
    layouts: tuple[str, str], result: str, kind: str, machine: Machine, site: Site, mask: Mask, *registers: Array
) -> Any:
    left, right, c = (
        _gather(part, site, machine.lanes, "f16" if index < 2 else kind)
        for index, part in enumerate((registers[:2], registers[2:4], registers[4:]))
    )
    a = _matrix(left, _multiplicand(layouts[0] == "col"), (8, 4), "f16")
    b = _matrix(right, _multiplicand(layouts[1] == "row"), (8, 4), "f16").swapaxes(-1, -2)
    old = _matrix(c, _accumulator(kind), (8, 8), kind)
    d = multiply_accumulate(a.astype(np.float64), b.astype(np.float64), old, "f16", machine.options.tc)
    place = _accumulator(result)
    values = np.ascontiguousarray(d[:, :, place[0], place[1], place[2]])
    bits = formats.encode(values, "f16") if result == "f16" else values
    words = np.ascontiguousarray(bits).view(np.uint32).reshape(site.count, machine.lanes, -1)
    return tuple(words[..., index] for index in range(words.shape[-1]))
