"""Owns the layouts of a contraction without matrix instructions: every thread multiplies for its own elements."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.dialect.layout import Digit, Layout, Result, Source, bits_of
from tilewright.passes.gpu.layouts import REGISTER, sliced


def operand_layouts(
    maps: Sequence[tuple[int, ...]], shapes: Sequence[tuple[int, ...]], result: Layout
) -> list[Layout]:
    """Layouts of both operands: axes of the result where the thread needs them, all other axes in registers.

    ``maps``: the contraction axes of a, b and the result, in the order of their tiles' axes.
    """
    sizes: dict[int, int] = {}
    for axes, shape in zip(maps, shapes, strict=True):
        sizes.update(zip(axes, shape, strict=True))
    own = list(maps[2])
    extended, order = result, list(own)
    for axis in sorted(set(sizes) - set(own)):
        extended = _with_register_axis(extended, sizes[axis])
        order.append(axis)
    return [sliced(extended, tuple(order.index(a) for a in axes)) for axes in maps[:2]]


def _with_register_axis(layout: Layout, size: int) -> Layout:
    """A further result axis whose elements all lie in registers."""
    start = sum(len(r.radix) for r in layout.results)
    added = tuple(Digit(part, (start + k,)) for k, part in enumerate(bits_of(size)))
    sources = tuple(Source(s.name, s.digits + added) if s.name == REGISTER else s for s in layout.sources)
    return Layout(sources, (*layout.results, Result(f"dim{len(layout.results)}", bits_of(size))))
