"""What can be computed from layouts alone: composition, inversion, ownership, conversion, contiguous runs.

Bits are handled as vectors over GF(2) (Python integers as masks), odd digits as links; both sides are first brought to
a common radix. Nothing here enumerates elements, so the cost does not depend on the size of the tile.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tilewright.dialect.layout import HARDWARE_AXES, Digit, Layout, LayoutError, Result, Source


@dataclass
class BitSpan:
    """A growing set of labelled vectors over GF(2), kept in echelon form. Labels are single bits of a mask."""

    rows: list[tuple[int, int]] = field(default_factory=list)

    def _reduce(self, vector: int, labels: int) -> tuple[int, int]:
        for row, names in self.rows:
            if vector ^ row < vector:
                vector, labels = vector ^ row, labels ^ names
        return vector, labels

    def insert(self, vector: int, label: int) -> int | None:
        """Add a vector. If it depends on earlier ones, return the labels that sum to zero and do not keep it."""
        rest, labels = self._reduce(vector, label)
        if rest == 0:
            return labels
        self.rows.append((rest, labels))
        self.rows.sort(reverse=True)
        return None

    def solve(self, vector: int) -> int | None:
        """The labels whose vectors sum to `vector`, or None."""
        rest, labels = self._reduce(vector, 0)
        return labels if rest == 0 else None


def common_radix(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The coarsest radix that refines both. Raises `LayoutError` if their products clash (2.3 against 3.2)."""
    if math.prod(first) != math.prod(second):
        raise LayoutError(f"axes of different size: {math.prod(first)} and {math.prod(second)}")
    left, right, radix = list(first), list(second), []
    while left:
        small, large = sorted((left[0], right[0]))
        if large % small:
            raise LayoutError(f"no common radix of {tuple(first)} and {tuple(second)}")
        radix.append(small)
        for side in (left, right):
            side[:1] = [side[0] // small] if side[0] > small else []
    return tuple(radix)


def refine(layout: Layout, sources: Sequence[Sequence[int]], results: Sequence[Sequence[int]]) -> Layout:
    """The same map with finer digits: `sources` and `results` give an equal or finer radix for each axis."""
    source_parts = [
        part for axis, radix in zip(layout.sources, sources, strict=True) for part in _parts(axis.radix, radix)
    ]
    result_parts = [
        part for axis, radix in zip(layout.results, results, strict=True) for part in _parts(axis.radix, radix)
    ]
    digits = [digit for axis in layout.sources for digit in axis.digits]
    for number, digit in enumerate(digits):
        if digit.count != 2 and digit.targets:
            _join_parts(source_parts, result_parts, number, digit.targets)
    first = [sum(map(len, result_parts[:number])) for number in range(len(result_parts))]
    split = [_split(digit, parts, first) for digit, parts in zip(digits, source_parts, strict=True)]
    return Layout(_regroup_sources(layout, split), _regroup_results(layout, result_parts))


def _join_parts(
    source_parts: list[tuple[int, ...]], result_parts: list[tuple[int, ...]], number: int, targets: tuple[int, ...]
) -> None:
    """Bring one odd source digit and the result digits it moves to the same parts."""
    joined = source_parts[number]
    for target in targets:
        joined = common_radix(joined, result_parts[target])
    source_parts[number] = joined
    for target in targets:
        result_parts[target] = joined


def _parts(coarse: Sequence[int], fine: Sequence[int]) -> list[tuple[int, ...]]:
    parts, rest = [], list(fine)
    for count in coarse:
        part: list[int] = []
        while math.prod(part) < count:
            part.append(rest.pop(0))
        parts.append(tuple(part))
    return parts


def _split(digit: Digit, parts: tuple[int, ...], first: Sequence[int]) -> list[Digit]:
    return [Digit(count, tuple(first[target] + place for target in digit.targets)) for place, count in enumerate(parts)]


def _regroup_sources(layout: Layout, split: list[list[Digit]]) -> tuple[Source, ...]:
    axes, position = [], 0
    for source in layout.sources:
        group = split[position : position + len(source.digits)]
        axes.append(Source(source.name, tuple(digit for part in group for digit in part)))
        position += len(source.digits)
    return tuple(axes)


def _regroup_results(layout: Layout, parts: list[tuple[int, ...]]) -> tuple[Result, ...]:
    axes, position = [], 0
    for result in layout.results:
        group = parts[position : position + len(result.radix)]
        axes.append(Result(result.name, tuple(count for part in group for count in part)))
        position += len(result.radix)
    return tuple(axes)


def compose(outer: Layout, inner: Layout) -> Layout:
    """`outer` after `inner`: the result axes of `inner` are the source axes of `outer` (by name, equal sizes)."""
    if {source.name for source in outer.sources} != {result.name for result in inner.results}:
        raise LayoutError(f"cannot compose ({outer}) after ({inner}): their axes differ")
    between = {result.name: common_radix(result.radix, outer.source(result.name).radix) for result in inner.results}
    inner = refine(inner, [s.radix for s in inner.sources], [between[r.name] for r in inner.results])
    outer = refine(outer, [between[s.name] for s in outer.sources], [r.radix for r in outer.results])
    middle = [digit for result in inner.results for digit in outer.source(result.name).digits]
    sources = tuple(
        Source(source.name, tuple(Digit(digit.count, _through(digit, middle)) for digit in source.digits))
        for source in inner.sources
    )
    return Layout(sources, outer.results)


def _through(digit: Digit, middle: list[Digit]) -> tuple[int, ...]:
    moved: set[int] = set()
    for target in digit.targets:
        moved ^= set(middle[target].targets)
    return tuple(sorted(moved))


def _mask(targets: Iterable[int]) -> int:
    return sum(1 << target for target in targets)


def _numbers(mask: int) -> tuple[int, ...]:
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


@dataclass(frozen=True)
class _Columns:
    """The digits of chosen source axes as vectors: echelon of the bits, links of the odd digits, what is free."""

    span: BitSpan
    links: dict[int, int]
    kernel: tuple[int, ...]
    loose: tuple[int, ...]


def _columns(layout: Layout, axes: Iterable[str] | None = None) -> _Columns:
    chosen = None if axes is None else set(axes)
    span, links, kernel, loose = BitSpan(), {}, [], []
    for number, (axis, digit) in enumerate((s.name, digit) for s in layout.sources for digit in s.digits):
        if chosen is not None and axis not in chosen:
            continue
        if digit.count == 2:
            free = span.insert(_mask(digit.targets), 1 << number)
            kernel += [] if free is None else [free]
        elif len(digit.targets) == 1:
            links[digit.targets[0]] = number
        elif not digit.targets:
            loose.append(number)
    return _Columns(span, links, tuple(kernel), tuple(loose))


def replication(layout: Layout) -> int:
    """How many source indices hold each element (1: every element has one owner)."""
    columns = _columns(layout)
    digits = [digit for source in layout.sources for digit in source.digits]
    return math.prod((2 ** len(columns.kernel), *(digits[number].count for number in columns.loose)))


def is_onto(layout: Layout) -> bool:
    """Whether every result index is reached."""
    return math.prod(source.size for source in layout.sources) == replication(layout) * math.prod(layout.shape)


def invert(layout: Layout) -> Layout:
    """From results to sources: the least owner of each element (the first source axis counts least).

    Raises `LayoutError` if an element has no owner.
    """
    columns = _columns(layout)
    sources = []
    number = 0
    for result in layout.results:
        digits = []
        for count in result.radix:
            owner = _owner(columns, count, number)
            if owner is None:
                raise LayoutError(f"no source reaches all of {result.name} in {layout}")
            digits.append(Digit(count, owner))
            number += 1
        sources.append(Source(result.name, tuple(digits)))
    return Layout(tuple(sources), tuple(Result(source.name, source.radix) for source in layout.sources))


def _owner(columns: _Columns, count: int, number: int) -> tuple[int, ...] | None:
    if count != 2:
        return (columns.links[number],) if number in columns.links else None
    labels = columns.span.solve(1 << number)
    return None if labels is None else _numbers(labels)


class Movement(enum.IntEnum):
    """How far elements must travel in a conversion; each kind includes those before it."""

    NONE = 0
    REGISTER = 1
    SHUFFLE = 2
    SHARED = 3
    CLUSTER = 4


@dataclass(frozen=True)
class Conversion:
    """`slots` maps every (register, lane, warp, cta) of the target layout to one of the source layout to read."""

    movement: Movement
    slots: Layout


def convert(source: Layout, target: Layout) -> Conversion:
    """The nearest way to bring a tile from layout `source` into layout `target`.

    Both have the same result shape and the same numbers of lanes, warps and CTAs; registers may differ.
    """
    source, target = _normal(source), _normal(target)
    for axis in HARDWARE_AXES[1:]:
        if source.size(axis) != target.size(axis):
            raise LayoutError(f"{axis}: {source.size(axis)} in the source, {target.size(axis)} in the target")
    for movement in Movement:
        slots = _read_slots(source, target, HARDWARE_AXES[: int(movement)])
        if slots is not None:
            return Conversion(movement, slots)
    raise LayoutError(f"({source}) does not hold all elements of ({target})")


def _normal(layout: Layout) -> Layout:
    extra = {axis.name for axis in layout.sources} - set(HARDWARE_AXES)
    if extra:
        raise LayoutError(f"not a distributed layout: source axes {sorted(extra)}")
    return Layout(tuple(layout.source(axis) for axis in HARDWARE_AXES), layout.results)


def _read_slots(source: Layout, target: Layout, free: tuple[str, ...]) -> Layout | None:
    """Slots of `source` to read for `target` where only the axes in `free` may change; None if there are none."""
    fixed = [axis for axis in HARDWARE_AXES if axis not in free]
    if any(source.size(axis) != target.size(axis) for axis in fixed):
        return None
    source, target = _align(source, target, fixed)
    columns = _columns(source, free)
    own = _numbered(source)
    axes = []
    for axis in target.sources:
        digits = []
        for place, digit in enumerate(axis.digits):
            keep = None if axis.name in free else own[axis.name][place]
            read = _read_digit(digit, keep, columns)
            if read is None:
                return None
            digits.append(Digit(digit.count, read))
        axes.append(Source(axis.name, tuple(digits)))
    return Layout(tuple(axes), tuple(Result(s.name, s.radix) for s in source.sources))


def _align(source: Layout, target: Layout, fixed: list[str]) -> tuple[Layout, Layout]:
    """Both with the same radix on the result axes and on the source axes that stay fixed."""
    while True:
        results = [common_radix(a.radix, b.radix) for a, b in zip(source.results, target.results, strict=True)]
        shared = {axis: common_radix(source.source(axis).radix, target.source(axis).radix) for axis in fixed}
        finer = [
            refine(layout, [shared.get(s.name, s.radix) for s in layout.sources], results)
            for layout in (source, target)
        ]
        if finer == [source, target]:
            return source, target
        source, target = finer


def _numbered(layout: Layout) -> dict[str, list[tuple[int, Digit]]]:
    table: dict[str, list[tuple[int, Digit]]] = {}
    number = 0
    for source in layout.sources:
        table[source.name] = [(number + place, digit) for place, digit in enumerate(source.digits)]
        number += len(source.digits)
    return table


def _read_digit(digit: Digit, keep: tuple[int, Digit] | None, columns: _Columns) -> tuple[int, ...] | None:
    """Source digits to set for one target digit: `keep` (its own place, if fixed) plus free ones that correct it."""
    own = () if keep is None else (keep[0],)
    held = () if keep is None else keep[1].targets
    if digit.count == 2:
        labels = columns.span.solve(_mask(digit.targets) ^ _mask(held))
        return None if labels is None else tuple(sorted((*own, *_numbers(labels))))
    if digit.targets == held:
        return own
    if held or any(target not in columns.links for target in digit.targets):
        return None
    # The owner is the pair (own place, free digits); both follow the same target digit.
    return tuple(sorted((*own, *(columns.links[target] for target in digit.targets))))


def contiguous(layout: Layout, dim: int, axes: Iterable[str] = ("register",)) -> int:
    """The longest aligned run of neighbours along result axis `dim` that one thread holds (in any register order)."""
    columns = _columns(layout, axes)
    run = 1
    for number, (axis, count, _) in enumerate(layout.result_digits):
        if axis != dim:
            continue
        if _owner(columns, count, number) is None:
            return run
        run *= count
    return run


def vector_width(layout: Layout, dim: int) -> int:
    """How many registers, in their order from register 0, are neighbours along `dim`, aligned, in every thread."""
    places = [number for number, row in enumerate(layout.result_digits) if row[0] == dim]
    users = [target for source in layout.sources for digit in source.digits for target in digit.targets]
    width = 1
    for digit, place in zip(layout.source("register").digits, places, strict=False):
        if digit.targets != (place,) or users.count(place) != 1:
            return width
        width *= digit.count
    return width
