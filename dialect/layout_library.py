"""Layouts by name: memory orders and XOR swizzles, rows, and the fragments of the matrix instructions.

Fragments follow the PTX ISA, section "Matrix multiply-accumulate operation using mma instruction": the figures of
m16n8k16 for 16-bit elements and of m16n8k8 for tf32. Result axes of a fragment are the axes of the tile in the order
named (A: row, k; B: k, column; C: row, column), called ``dim0, dim1``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tilewright.dialect.layout import Digit, Layout, LayoutError, Result, Source, bits_of, make

WARP = 32
"""Lanes of a warp."""

Steps = Sequence[tuple[int, Sequence[int]]]


def dim_names(rank: int) -> tuple[str, ...]:
    """Names of the axes of a tile: ``dim0, dim1, …``."""
    return tuple(f"dim{number}" for number in range(rank))


def distributed(shape: Sequence[int], **axes: Steps) -> Layout:
    """A layout from hardware axes (``register=…, lane=…``) to a tile of this shape."""
    return make(axes, dict(zip(dim_names(len(shape)), shape, strict=True)))


def identity(shape: Sequence[int]) -> Layout:
    """Every index of a tile to itself."""
    names = dim_names(len(shape))
    unit = [tuple(int(a == b) for b in range(len(shape))) for a in range(len(shape))]
    return make(
        {
            name: [(size, unit[axis])] if size > 1 else []
            for axis, (name, size) in enumerate(zip(names, shape, strict=True))
        },
        dict(zip(names, shape, strict=True)),
    )


def memory_order(shape: Sequence[int], order: Sequence[int]) -> Layout:
    """From the indices of a tile to ``offset`` in elements; `order` lists axes from the slowest to the fastest."""
    if sorted(order) != list(range(len(shape))):
        raise LayoutError(f"{tuple(order)} is no order of {len(shape)} axes")
    steps, weight = [0] * len(shape), 1
    radix: list[int] = []
    for axis in reversed(order):
        steps[axis] = weight
        weight *= shape[axis]
        radix.extend(bits_of(shape[axis]))
    sources = {
        name: [(size, (step,))] if size > 1 else []
        for name, size, step in zip(dim_names(len(shape)), shape, steps, strict=True)
    }
    return make(sources, {"offset": radix})


def row_major(shape: Sequence[int]) -> Layout:
    """The last axis is contiguous."""
    return memory_order(shape, range(len(shape)))


def swizzled(rows: int, columns: int, chunk: int, period: int, repeat: int = 1) -> Layout:
    """A row-major tile whose chunks of `chunk` elements are permuted: chunk number ^= (row // repeat) mod `period`.

    All of `chunk`, `period`, `repeat` are powers of two and a row holds at least `period` chunks. A warp that reads
    one chunk of several rows then meets different banks.
    """
    for value in (chunk, period, repeat):
        if value < 1 or value & (value - 1):
            raise LayoutError(f"a swizzle is made of powers of two, not {value}")
    low = math.prod(count for count in bits_of(columns) if count == 2)
    if chunk * period > low or repeat * period > math.prod(count for count in bits_of(rows) if count == 2):
        raise LayoutError(f"a swizzle of {period} chunks of {chunk} does not fit {rows}x{columns}")
    plain = row_major((rows, columns))
    row, column = plain.sources
    first, shift = int(math.log2(repeat)), int(math.log2(chunk))
    digits = list(row.digits)
    for bit in range(int(math.log2(period))):
        digit = digits[first + bit]
        digits[first + bit] = Digit(2, tuple(sorted((*digit.targets, shift + bit))))
    return Layout((Source(row.name, tuple(digits)), column), plain.results)


def repeat(layout: Layout, axis: str, dim: int, count: int) -> Layout:
    """`count` copies side by side along result axis `dim`, told apart by new slowest digits of source axis `axis`."""
    if count == 1:
        return layout
    results = tuple(
        Result(r.name, r.radix + bits_of(count)) if number == dim else r for number, r in enumerate(layout.results)
    )
    start = sum(len(result.radix) for result in results[: dim + 1]) - len(bits_of(count))
    added = tuple(Digit(part, (start + place,)) for place, part in enumerate(bits_of(count)))

    def moved(digit: Digit) -> Digit:
        return Digit(digit.count, tuple(t if t < start else t + len(added) for t in digit.targets))

    names = [source.name for source in layout.sources] + ([] if layout.source(axis).digits else [axis])
    sources = {name: tuple(moved(digit) for digit in layout.source(name).digits) for name in names}
    sources[axis] = sources[axis] + added
    return Layout(tuple(Source(name, digits) for name, digits in sources.items()), results)


def replicate(layout: Layout, axis: str, count: int) -> Layout:
    """The same elements held again by `count` new slowest places of a source axis."""
    added = tuple(Digit(part) for part in bits_of(count))
    sources = {source.name: source.digits for source in layout.sources}
    sources[axis] = sources.get(axis, ()) + added
    return Layout(tuple(Source(name, digits) for name, digits in sources.items()), layout.results)


def rows(shape: tuple[int, int], vector: int, warps: int = 1, per: str = "warp") -> Layout:
    """Rows spread over threads: a lane holds vectors of `vector` neighbours; a row belongs to a warp or to a CTA.

    ``per="warp"``: the 32 lanes cover one row, the warps take the rows in turn. ``per="cta"``: all warps cover one row.
    The columns must be a multiple of the threads of a row times `vector`, the rows a multiple of the warps.
    """
    count, columns = shape
    across = WARP * (warps if per == "cta" else 1)
    turns, left = divmod(columns, vector * across)
    per_warp, odd_rows = divmod(count, 1 if per == "cta" else warps)
    if left or odd_rows or per not in ("warp", "cta"):
        raise LayoutError(f"rows of {shape} do not split over {warps} warps a {per} with vectors of {vector}")
    layout = distributed((1, 1), register=[], lane=[], warp=[])
    layout = repeat(repeat(layout, "register", 1, vector), "lane", 1, WARP)
    layout = repeat(layout, "warp", 1 if per == "cta" else 0, warps)
    return repeat(repeat(layout, "register", 1, turns), "register", 0, per_warp)


_LANES_ROW = [(4, (0, 2)), (8, (1, 0))]

FRAGMENTS: Mapping[str, Layout] = {
    "m16n8k16.a": distributed((16, 16), register=[(2, (0, 1)), (2, (8, 0)), (2, (0, 8))], lane=_LANES_ROW),
    "m16n8k16.b": distributed((16, 8), register=[(2, (1, 0)), (2, (8, 0))], lane=[(4, (2, 0)), (8, (0, 1))]),
    "m16n8k16.c": distributed((16, 8), register=[(2, (0, 1)), (2, (8, 0))], lane=_LANES_ROW),
    "m16n8k8.tf32.a": distributed((16, 8), register=[(2, (8, 0)), (2, (0, 4))], lane=[(4, (0, 1)), (8, (1, 0))]),
    "m16n8k8.tf32.b": distributed((8, 8), register=[(2, (4, 0))], lane=[(4, (1, 0)), (8, (0, 1))]),
    "m16n8k8.tf32.c": distributed((16, 8), register=[(2, (0, 1)), (2, (8, 0))], lane=_LANES_ROW),
}
"""Per-warp fragments; tile them with `repeat` over registers (more instructions) and warps."""

LDMATRIX_X4 = distributed((16, 16), lane=[(16, (1, 0)), (2, (0, 8))])
"""``ldmatrix.x4``: the first element of the 16-byte row whose address each lane gives. Matrices come in the register
order of ``m16n8k16.a`` over a 16x16 tile of 16-bit elements (PTX ISA, "Warp-level matrix load instruction")."""

LDMATRIX_X2 = distributed((16, 8), lane=[(16, (1, 0)), (2, (0, 0))])
"""``ldmatrix.x2``: lanes 0 to 15 give the rows of two stacked 8x8 matrices; the other lanes repeat them."""
