"""Layouts: which thread holds which element, and where an element lies in memory, as one kind of exact integer map.

A `Layout` maps the indices of its source axes (``register, lane, warp, cta``; or the axes of a tile) to the indices
of its result axes (the axes of a tile; or ``offset``). Every axis is written in a mixed radix. Digits of radix 2 are
*bits* and are mapped linearly over GF(2) (a source bit flips any set of result bits: fragments, swizzles); digits of
odd radix are copied to digits of their own (usually one; none is replication). So a layout is a repeat, by any integer
counts, of a bit-linear atom: 96, 160 and 192 columns are as good as 128.

Text form: ``register(2@0,1 2@8,0) lane(4@0,2 8@1,0) -> dim0(16) dim1(8)``. A digit ``count@steps`` advances result axis
``d`` by ``steps[d]`` a unit; digits are written fastest first. ``dim1(3.32)`` gives a radix; the default of a size is
its power of two first (fastest), then its odd part.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

HARDWARE_AXES = ("register", "lane", "warp", "cta")
"""Source axes of a distributed layout, from the nearest to the farthest."""


class LayoutError(ValueError):
    """A layout that cannot be built, parsed, inverted or combined as asked."""


@dataclass(frozen=True)
class Digit:
    """One digit of a source axis: its radix, and the numbers of the result digits it moves (empty: replication)."""

    count: int
    targets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Source:
    """A source axis: digits, fastest first."""

    name: str
    digits: tuple[Digit, ...]

    @property
    def size(self) -> int:
        return math.prod(digit.count for digit in self.digits)

    @property
    def radix(self) -> tuple[int, ...]:
        return tuple(digit.count for digit in self.digits)


@dataclass(frozen=True)
class Result:
    """A result axis: the radix of its digits, fastest first (each 2 or odd)."""

    name: str
    radix: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.radix)


@dataclass(frozen=True)
class Layout:
    """An exact map from source indices to result indices. Result digits are numbered through all result axes."""

    sources: tuple[Source, ...]
    results: tuple[Result, ...]

    def __post_init__(self) -> None:
        _check(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the result axes."""
        return tuple(result.size for result in self.results)

    @functools.cached_property
    def result_digits(self) -> tuple[tuple[int, int, int], ...]:
        """(result axis, radix, weight in that axis) of every result digit, in order of their numbers."""
        rows = []
        for axis, result in enumerate(self.results):
            weight = 1
            for count in result.radix:
                rows.append((axis, count, weight))
                weight *= count
        return tuple(rows)

    def size(self, axis: str) -> int:
        """Size of a source axis; 1 for an axis that the layout does not name."""
        return next((source.size for source in self.sources if source.name == axis), 1)

    def source(self, axis: str) -> Source:
        """The source axis of this name; an axis without digits if there is none."""
        return next((source for source in self.sources if source.name == axis), Source(axis, ()))

    def __call__(self, **indices: int | IntArray) -> tuple[IntArray, ...]:
        """Result indices of source indices (arrays that broadcast; an axis left out is 0)."""
        unknown = set(indices) - {source.name for source in self.sources}
        if unknown:
            raise LayoutError(f"no source axis {sorted(unknown)} in {self}")
        arrays = {name: np.asarray(value, dtype=np.int64) for name, value in indices.items()}
        values = self._digit_values(arrays)
        results = [np.zeros(np.broadcast_shapes(*(a.shape for a in arrays.values())), np.int64) for _ in self.results]
        for (axis, _, weight), value in zip(self.result_digits, values, strict=True):
            results[axis] = results[axis] + value * weight
        return tuple(results)

    def _digit_values(self, arrays: Mapping[str, IntArray]) -> list[IntArray]:
        values: list[IntArray] = [np.zeros((), np.int64)] * len(self.result_digits)
        for source in self.sources:
            rest = arrays.get(source.name, np.zeros((), np.int64))
            for digit in source.digits:
                for target in digit.targets:
                    values[target] = values[target] ^ (rest % digit.count)
                rest = rest // digit.count
        return values

    def table(self) -> tuple[IntArray, ...]:
        """Result indices of all source indices: one array a result axis, of shape (size of source 0, source 1, …)."""
        grids = np.indices([source.size for source in self.sources])
        return self(**{source.name: grid for source, grid in zip(self.sources, grids, strict=True)})

    def __str__(self) -> str:
        left = " ".join(f"{source.name}({' '.join(_digit_texts(self, source))})" for source in self.sources)
        right = " ".join(f"{result.name}({_radix_text(result.radix)})" for result in self.results)
        return f"{left} -> {right}"


def bits_of(count: int) -> tuple[int, ...]:
    """The default radix of a size: its factors 2, then its odd part.

    >>> bits_of(12)
    (2, 2, 3)
    """
    if count < 1:
        raise LayoutError(f"a size is at least 1, not {count}")
    twos = (count & -count).bit_length() - 1
    odd = count >> twos
    return (2,) * twos + ((odd,) if odd > 1 else ())


def make(
    sources: Mapping[str, Sequence[tuple[int, Sequence[int]]]], results: Mapping[str, int | Sequence[int]]
) -> Layout:
    """Build a layout from ``{axis: [(count, steps), …]}`` (fastest first) and ``{result axis: size or radix}``."""
    axes = tuple(Result(name, _radix(spec)) for name, spec in results.items())
    frame = Layout((), axes)
    return Layout(
        tuple(
            Source(name, tuple(part for count, steps in digits for part in split_digit(frame, count, tuple(steps))))
            for name, digits in sources.items()
        ),
        axes,
    )


def split_digit(frame: Layout, count: int, steps: tuple[int, ...]) -> tuple[Digit, ...]:
    """The digits (of radix 2 or odd) of one written digit ``count@steps`` over the result axes of `frame`."""
    if len(steps) != len(frame.results):
        raise LayoutError(f"{count}@{steps} names {len(steps)} result axes, there are {len(frame.results)}")
    if not any(steps):
        return tuple(Digit(part) for part in bits_of(count))
    parts: list[Digit] = []
    targets = _targets_of_step(frame, steps)
    while count > 1:
        radix = {frame.result_digits[target][1] for target in targets}
        part = radix.pop() if targets else 0
        if radix or part < 2 or count % part:
            raise LayoutError(f"{count}@{steps} does not fit the digits of {[r.radix for r in frame.results]}")
        parts.append(Digit(part, targets))
        count //= part
        targets = _next_digits(frame, targets) if count > 1 else ()
    return tuple(parts)


def parse(text: str) -> Layout:
    """Read the text form; the inverse of ``str``. Raises `LayoutError` where the text is not a layout."""
    left, arrow, right = text.partition("->")
    if not arrow:
        raise LayoutError(f"a layout is written 'axis(digits) … -> axis(size) …', not {text!r}")
    results = {name: [int(part) for part in body.split(".")] for name, body in _groups(right)}
    sources = {name: [_parse_digit(word) for word in body.split()] for name, body in _groups(left)}
    if not results:
        raise LayoutError(f"a layout has at least one result axis: {text!r}")
    return make(sources, results)


_GROUP = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*)\(([0-9@,. -]*)\)\s*")
_DIGIT = re.compile(r"(\d+)@(\d+(?:,\d+)*)")


def _groups(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _GROUP.match(text, position)
        if match is None:
            raise LayoutError(f"expected 'axis(…)' at {text[position:]!r}")
        found.append((match[1], match[2]))
        position = match.end()
    if len({name for name, _ in found}) != len(found):
        raise LayoutError(f"an axis is named twice in {text!r}")
    return found


def _parse_digit(word: str) -> tuple[int, tuple[int, ...]]:
    match = _DIGIT.fullmatch(word)
    if match is None:
        raise LayoutError(f"a digit is written 'count@step,step', not {word!r}")
    return int(match[1]), tuple(int(step) for step in match[2].split(","))


def _radix(spec: int | Sequence[int]) -> tuple[int, ...]:
    parts = [spec] if isinstance(spec, int) else list(spec)
    return tuple(digit for part in parts for digit in bits_of(part))


def _targets_of_step(frame: Layout, steps: tuple[int, ...]) -> tuple[int, ...]:
    """The result digits whose weights add up to the steps; an odd digit only alone and once."""
    targets = []
    for number in reversed(range(len(frame.result_digits))):
        axis, _, weight = frame.result_digits[number]
        if steps[axis] >= weight:
            steps = (*steps[:axis], steps[axis] - weight, *steps[axis + 1 :])
            targets.append(number)
    if any(steps):
        raise LayoutError(f"a step is no sum of digit weights of {[r.radix for r in frame.results]}")
    return tuple(reversed(targets))


def _next_digits(frame: Layout, targets: tuple[int, ...]) -> tuple[int, ...]:
    following = tuple(target + 1 for target in targets)
    for old, new in zip(targets, following, strict=True):
        if new >= len(frame.result_digits) or frame.result_digits[new][0] != frame.result_digits[old][0]:
            raise LayoutError(f"a digit leaves its result axis of radix {[r.radix for r in frame.results]}")
    return following


def _check(layout: Layout) -> None:
    digits = layout.result_digits
    used: set[int] = set()
    for source in layout.sources:
        for digit in source.digits:
            if digit.count == 2:
                _check_bit(digit, digits)
            else:
                _check_odd(digit, digits, used)
    if any(count != 2 and count % 2 == 0 or count < 2 for _, count, _ in digits):
        raise LayoutError(f"digits of a result axis are 2 or odd: {[r.radix for r in layout.results]}")


def _check_bit(digit: Digit, digits: tuple[tuple[int, int, int], ...]) -> None:
    if any(digits[target][1] != 2 for target in digit.targets):
        raise LayoutError("a source bit may only move result bits")


def _check_odd(digit: Digit, digits: tuple[tuple[int, int, int], ...], used: set[int]) -> None:
    if digit.count < 2 or digit.count % 2 == 0:
        raise LayoutError(f"digits of a source axis are 2 or odd, not {digit.count}")
    if any(digits[target][1] != digit.count for target in digit.targets):
        raise LayoutError(f"a digit of radix {digit.count} may only move result digits of the same radix")
    if used & set(digit.targets):
        raise LayoutError("two odd digits move the same result digit")
    used.update(digit.targets)


def steps_of(layout: Layout, digit: Digit) -> tuple[int, ...]:
    """How far one unit of a source digit moves each result axis (from 0)."""
    steps = [0] * len(layout.results)
    for target in digit.targets:
        axis, _, weight = layout.result_digits[target]
        steps[axis] += weight
    return tuple(steps)


def _digit_texts(layout: Layout, source: Source) -> list[str]:
    """Digits as written, neighbours that continue one another joined."""
    runs: list[tuple[int, tuple[int, ...], Digit]] = []
    for digit in source.digits:
        if runs and _continues(layout, runs[-1][2], digit):
            count, steps, _ = runs.pop()
            runs.append((count * digit.count, steps, digit))
        else:
            runs.append((digit.count, steps_of(layout, digit), digit))
    return [f"{count}@{','.join(map(str, steps))}" for count, steps, _ in runs]


def _continues(layout: Layout, last: Digit, digit: Digit) -> bool:
    if not last.targets or not digit.targets:
        return last.targets == digit.targets and last.count == digit.count == 2
    axes = [layout.result_digits[target][0] for target in last.targets]
    next_axes = [layout.result_digits[target][0] for target in digit.targets if target < len(layout.result_digits)]
    return digit.targets == tuple(target + 1 for target in last.targets) and axes == next_axes


def _radix_text(radix: tuple[int, ...]) -> str:
    size = math.prod(radix)
    if bits_of(size) == radix:
        return str(size)
    runs: list[int] = []
    for count in radix:
        joins = count == 2 and runs and runs[-1] & (runs[-1] - 1) == 0
        runs[-1:] = [runs[-1] * 2] if joins else [*runs[-1:], count]
    return ".".join(map(str, runs))
