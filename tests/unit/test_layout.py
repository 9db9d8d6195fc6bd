"""Layouts against brute force: 1,000 random ones through every operation, and the named ones against the ISA."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from tilewright.dialect import layout_algebra as algebra
from tilewright.dialect import layout_library as library
from tilewright.dialect.bank_conflicts import bank_cost, shared_cost
from tilewright.dialect.layout import Digit, Layout, LayoutError, Result, Source, bits_of, make, parse

HARDWARE = ("register", "lane", "warp", "cta")
SEEDS = range(20)
PER_SEED = 50


def random_radix(rng: random.Random, size: int) -> tuple[int, ...]:
    digits = list(bits_of(size))
    if rng.random() < 0.3:
        rng.shuffle(digits)
    return tuple(digits)


def random_matrix(rng: random.Random, count: int) -> list[set[int]]:
    """An invertible matrix over GF(2), by random row additions on a permutation."""
    rows = [{n} for n in rng.sample(range(count), count)]
    for _ in range(rng.randrange(0, 2 * count + 1)):
        a, b = (rng.randrange(count), rng.randrange(count)) if count else (0, 0)
        if a != b:
            rows[a] = rows[a] ^ rows[b]
    return rows


def random_layout(rng: random.Random, results: tuple[Result, ...], names: tuple[str, ...]) -> Layout:
    """Onto `results`, from the axes `names`, with random replication."""
    frame = Layout((), results)
    bits = [n for n, row in enumerate(frame.result_digits) if row[1] == 2]
    digits = [Digit(2, tuple(sorted(bits[b] for b in row))) for row in random_matrix(rng, len(bits))]
    digits += [Digit(row[1], (n,)) for n, row in enumerate(frame.result_digits) if row[1] != 2]
    for _ in range(rng.randrange(3)):
        digits.append(rng.choice([Digit(2), Digit(3), Digit(2, tuple(sorted(rng.sample(bits, min(2, len(bits))))))]))
    rng.shuffle(digits)
    groups: dict[str, list[Digit]] = {name: [] for name in names}
    for digit in digits:
        groups[rng.choice(names)].append(digit)
    return Layout(tuple(Source(name, tuple(group)) for name, group in groups.items()), results)


def random_results(rng: random.Random, names: tuple[str, ...] = ("dim0", "dim1")) -> tuple[Result, ...]:
    return tuple(Result(name, random_radix(rng, rng.choice([1, 2, 3, 4, 6, 8, 9, 12, 16, 20]))) for name in names)


def slow(layout: Layout, index: tuple[int, ...]) -> tuple[int, ...]:
    """One result index in plain Python, digit by digit, from the definition."""
    hit = [0] * sum(len(result.radix) for result in layout.results)
    for source, rest in zip(layout.sources, index, strict=True):
        for digit in source.digits:
            value, rest = rest % digit.count, rest // digit.count
            for target in digit.targets:
                hit[target] = (hit[target] + value) % digit.count
    found = []
    for result in layout.results:
        value, weight = 0, 1
        for count in result.radix:
            value, weight = value + weight * hit.pop(0), weight * count
        found.append(value)
    return tuple(found)


def everywhere(layout: Layout) -> dict[tuple[int, ...], tuple[int, ...]]:
    sizes = [range(source.size) for source in layout.sources]
    return {index: slow(layout, index) for index in itertools.product(*sizes)}


def near_first(index: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reversed(index))


@pytest.mark.parametrize("seed", SEEDS)
def test_application_text_and_inversion_match_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(PER_SEED):
        layout = random_layout(rng, random_results(rng), HARDWARE)
        table = everywhere(layout)
        stacked = np.stack(layout.table(), axis=-1)
        assert all(tuple(stacked[index]) == value for index, value in table.items())
        assert parse(str(layout)) == layout
        owners: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for index, value in table.items():
            owners.setdefault(value, []).append(index)
        assert algebra.is_onto(layout) and len(owners) == math.prod(layout.shape)
        assert {len(group) for group in owners.values()} == {algebra.replication(layout)}
        for value, index in everywhere(algebra.invert(layout)).items():
            assert index == min(owners[value], key=near_first)


@pytest.mark.parametrize("seed", SEEDS)
def test_composition_matches_enumeration(seed: int) -> None:
    rng = random.Random(1000 + seed)
    done = 0
    while done < PER_SEED:
        middle = random_results(rng)
        inner = random_layout(rng, middle, ("lane", "warp"))
        outer_results = (Result("offset", random_radix(rng, math.prod(r.size for r in middle))),)
        outer = random_memory(rng, middle, outer_results)
        if outer is None:
            continue
        done += 1
        try:
            both = algebra.compose(outer, inner)
        except LayoutError:
            assert any(clash(outer.source(r.name).radix, r.radix) for r in middle)
            continue
        first, second = everywhere(inner), everywhere(outer)
        assert everywhere(both) == {index: second[value] for index, value in first.items()}


def clash(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two radices have no common refinement: their sets of partial products are no divisibility chain."""
    cuts = sorted({math.prod(r[:n]) for r in (first, second) for n in range(len(r) + 1)})
    return any(b % a for a, b in itertools.pairwise(cuts))


def random_memory(rng: random.Random, middle: tuple[Result, ...], results: tuple[Result, ...]) -> Layout | None:
    """A layout from the axes of `middle` (their digits in another order, sometimes) onto `results`."""
    frame = Layout((), results)
    bits = [n for n, row in enumerate(frame.result_digits) if row[1] == 2]
    odd = [n for n, row in enumerate(frame.result_digits) if row[1] != 2]
    columns = [tuple(sorted(bits[b] for b in row)) for row in random_matrix(rng, len(bits))]
    sources = []
    for result in middle:
        radix = result.radix if rng.random() < 0.7 else random_radix(rng, result.size)
        digits = []
        for count in radix:
            if count == 2:
                digits.append(Digit(2, columns.pop()))
                continue
            match = next((n for n in odd if frame.result_digits[n][1] == count), None)
            if match is None:
                return None
            odd.remove(match)
            digits.append(Digit(count, (match,)))
        sources.append(Source(result.name, tuple(digits)))
    return Layout(tuple(sources), results)


def movement_by_enumeration(source: Layout, target: Layout) -> int:
    """The least axis set that lets every target slot find its element, tried slot by slot."""
    held: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for index, value in everywhere(source).items():
        held.setdefault(value, []).append(index)
    wanted = everywhere(target)
    for movement in range(5):
        same_size = movement > 0 or source.size("register") == target.size("register")
        if same_size and all(any(o[movement:] == slot[movement:] for o in held[v]) for slot, v in wanted.items()):
            return movement
    raise AssertionError("an element has no owner")


@pytest.mark.parametrize("seed", SEEDS)
def test_conversion_matches_enumeration(seed: int) -> None:
    rng = random.Random(2000 + seed)
    seen = set()
    for _ in range(PER_SEED):
        source, target = random_pair(rng)
        conversion = algebra.convert(source, target)
        wanted, held = everywhere(target), everywhere(source)
        slots = everywhere(conversion.slots)
        assert all(held[slots[slot]] == value for slot, value in wanted.items())
        assert conversion.movement == movement_by_enumeration(source, target)
        kept = [slot[conversion.movement :] == read[conversion.movement :] for slot, read in slots.items()]
        assert all(kept)
        seen.add(conversion.movement)
    assert len(seen) >= 2


def random_pair(rng: random.Random) -> tuple[Layout, Layout]:
    """Two layouts of one tile with equal numbers of lanes, warps and CTAs; the second often close to the first."""
    sizes = [rng.choice([2, 4, 6, 8, 12]), rng.choice([1, 3, 4, 8])]
    results = tuple(Result(f"dim{n}", bits_of(size)) for n, size in enumerate(sizes))
    source = random_layout(rng, results, HARDWARE)
    digits = {s.name: list(s.digits) for s in source.sources}
    for _ in range(rng.randrange(3)):
        first, second = rng.choice([("register", "register"), ("register", "lane"), ("lane", "warp"), ("warp", "cta")])
        swap(rng, digits[first], digits[second])
    if rng.random() < 0.3:
        digits["register"].append(Digit(2))
    return source, Layout(tuple(Source(name, tuple(group)) for name, group in digits.items()), results)


def swap(rng: random.Random, first: list[Digit], second: list[Digit]) -> None:
    pairs = [(a, b) for a in range(len(first)) for b in range(len(second)) if first[a].count == second[b].count]
    if not pairs:
        return
    a, b = rng.choice(pairs)
    if first is not second and first[a].count == 2 and rng.random() < 0.4:
        mixed = set(first[a].targets) ^ set(second[b].targets)
        first[a] = Digit(2, tuple(sorted(mixed)))
        if first[a].targets == ():
            first[a] = second[b]
        return
    first[a], second[b] = second[b], first[a]


@pytest.mark.parametrize("seed", SEEDS)
def test_contiguous_runs_match_enumeration(seed: int) -> None:
    rng = random.Random(3000 + seed)
    for _ in range(PER_SEED):
        layout = random_layout(rng, random_results(rng), ("register", "lane"))
        for dim, result in enumerate(layout.results):
            assert algebra.contiguous(layout, dim) == longest_run(layout, dim, result.radix)
            assert algebra.vector_width(layout, dim) == ordered_run(layout, dim)


def longest_run(layout: Layout, dim: int, radix: tuple[int, ...]) -> int:
    table = everywhere(layout)
    threads: dict[int, set[tuple[int, ...]]] = {}
    for (_, lane), value in table.items():
        threads.setdefault(lane, set()).add(value)
    best = 1
    for stop in range(1, len(radix) + 1):
        run = math.prod(radix[:stop])
        whole = all(
            (*value[:dim], value[dim] // run * run + step, *value[dim + 1 :]) in held
            for held in threads.values()
            for value in held
            for step in range(run)
        )
        if not whole:
            return best
        best = run
    return best


def ordered_run(layout: Layout, dim: int) -> int:
    table = everywhere(layout)
    radix = layout.source("register").radix
    best = 1
    for stop in range(1, len(radix) + 1):
        width = math.prod(radix[:stop])
        for (register, lane), value in table.items():
            first = table[register // width * width, lane]
            expected = (*first[:dim], first[dim] + register % width, *first[dim + 1 :])
            if value != expected or first[dim] % width:
                return best
        best = width
    return best


def banks_by_hand(addresses: list[list[int]], lane_bytes: int) -> int:
    """Wavefronts, bank by bank in plain Python."""
    total = 0
    lanes_a_phase = {1: 32, 2: 32, 4: 32, 8: 16, 16: 8}[lane_bytes]
    for lanes in addresses:
        for start in range(0, len(lanes), lanes_a_phase):
            words: dict[int, set[int]] = {}
            for address in lanes[start : start + lanes_a_phase]:
                for byte in range(address, address + lane_bytes):
                    words.setdefault(byte // 4 % 32, set()).add(byte // 4)
            total += max(len(group) for group in words.values())
    return total


@pytest.mark.parametrize("seed", SEEDS)
def test_bank_conflicts_match_enumeration(seed: int) -> None:
    rng = random.Random(4000 + seed)
    for _ in range(PER_SEED):
        element, vector = rng.choice([(2, 1), (2, 2), (2, 4), (2, 8), (4, 1), (4, 2), (4, 4), (1, 1), (1, 4)])
        access, memory = random_access(rng, vector)
        registers, warps = access.size("register"), access.size("warp")
        addresses = []
        for register, warp in itertools.product(range(0, registers, vector), range(warps)):
            coordinates = [slow(access, (register, lane, warp)) for lane in range(32)]
            addresses.append([slow(memory, c)[0] * element for c in coordinates])
        cost = shared_cost(access, memory, element, vector)
        assert cost.wavefronts == banks_by_hand(addresses, element * vector)


def random_access(rng: random.Random, vector: int) -> tuple[Layout, Layout]:
    """A warp's access to a tile of 16·n columns in a swizzled or plain buffer, vectors first in the registers."""
    columns, row_count = rng.choice([32, 64, 96]), rng.choice([8, 8, 8, 16, 24])
    memory = library.row_major((row_count, columns))
    if rng.random() < 0.6:
        memory = library.swizzled(
            row_count, columns, vector, rng.choice([2, 4]) if columns >= 4 * vector else 1, rng.choice([1, 2])
        )
    frame = Layout((), (Result("dim0", bits_of(row_count)), Result("dim1", bits_of(columns))))
    rest = list(range(len(frame.result_digits)))
    first_column = len(frame.results[0].radix)
    head = [first_column + bit for bit in range(int(math.log2(vector)))]
    rest = [n for n in rest if n not in head]
    rng.shuffle(rest)
    bits = [n for n in rest if frame.result_digits[n][1] == 2]
    lane = [Digit(2, (n,)) for n in bits[:5]]
    lane += [Digit(2)] * (5 - len(lane))
    left = [Digit(frame.result_digits[n][1], (n,)) for n in rest if n not in bits[:5]]
    cut = rng.randrange(len(left) + 1)
    register = tuple(Digit(2, (n,)) for n in head) + tuple(left[:cut])
    return Layout(
        (Source("register", register), Source("lane", tuple(lane)), Source("warp", tuple(left[cut:]))), frame.results
    ), memory


def test_fragment_of_mma_m16n8k16() -> None:
    """Rows and columns of each element as the PTX ISA writes them (groupID = lane // 4, threadID = lane % 4)."""
    for lane in range(32):
        group, thread = lane // 4, lane % 4
        for i in range(8):
            row = group if i in (0, 1, 4, 5) else group + 8
            column = thread * 2 + (i & 1) + (8 if i >= 4 else 0)
            assert slow(library.FRAGMENTS["m16n8k16.a"], (i, lane)) == (row, column)
        for i in range(4):
            b_row = thread * 2 + (i & 1) + (8 if i >= 2 else 0)
            assert slow(library.FRAGMENTS["m16n8k16.b"], (i, lane)) == (b_row, group)
            c = (group if i < 2 else group + 8, thread * 2 + (i & 1))
            assert slow(library.FRAGMENTS["m16n8k16.c"], (i, lane)) == c
            assert slow(library.FRAGMENTS["m16n8k8.tf32.c"], (i, lane)) == c


def test_fragment_of_mma_m16n8k8_tf32() -> None:
    for lane in range(32):
        group, thread = lane // 4, lane % 4
        a = [slow(library.FRAGMENTS["m16n8k8.tf32.a"], (i, lane)) for i in range(4)]
        assert a == [(group, thread), (group + 8, thread), (group, thread + 4), (group + 8, thread + 4)]
        b = [slow(library.FRAGMENTS["m16n8k8.tf32.b"], (i, lane)) for i in range(2)]
        assert b == [(thread, group), (thread + 4, group)]


def test_ldmatrix_rows() -> None:
    rows, columns = library.LDMATRIX_X4(lane=np.arange(32))
    assert rows.tolist() == [*range(16), *range(16)] and columns.tolist() == [0] * 16 + [8] * 16


def test_xor_swizzle_removes_the_conflicts_of_ldmatrix() -> None:
    address = library.LDMATRIX_X4
    rows, columns = address(lane=np.arange(32))
    for layout, wavefronts in ((library.row_major((16, 64)), 32), (library.swizzled(16, 64, 8, 8), 4)):
        offsets = layout(dim0=rows, dim1=columns)[0]
        assert bank_cost(offsets[None, :] * 2, 16).wavefronts == wavefronts


def test_rows_layouts() -> None:
    row = library.rows((8, 256), vector=4, warps=4)
    assert str(row) == "register(4@0,1 2@0,128 2@4,0) lane(32@0,4) warp(4@1,0) -> dim0(8) dim1(256)"
    wide = library.rows((1, 3072), vector=8, warps=4, per="cta")
    assert wide.size("register") == 24 and algebra.is_onto(wide) and algebra.vector_width(wide, 1) == 8


def test_repeat_by_any_count() -> None:
    tile = library.repeat(library.repeat(library.FRAGMENTS["m16n8k16.c"], "register", 1, 12), "warp", 0, 4)
    assert tile.shape == (64, 96) and algebra.replication(tile) == 1
    assert parse(str(tile)) == tile


def test_accumulator_feeds_the_next_product_without_moving() -> None:
    """Two C fragments side by side are one A fragment: only registers are renamed."""
    c = library.repeat(library.FRAGMENTS["m16n8k16.c"], "register", 1, 2)
    assert algebra.convert(c, library.FRAGMENTS["m16n8k16.a"]).movement is algebra.Movement.NONE


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("register(2@1)", "axis(digits)"),
        ("register(2@1) -> ", "at least one result axis"),
        ("register(2x1) -> dim0(2)", "expected 'axis(…)'"),
        ("register(2) -> dim0(2)", "count@step"),
        ("register(3@1) -> dim0(2)", "does not fit"),
        ("register(4@1) -> dim0(2)", "leaves its result axis"),
        ("register(2@1,0) -> dim0(2)", "names 2 result axes"),
        ("register(3@1) lane(3@1) -> dim0(3)", "same result digit"),
        ("register(2@1) register(2@1) -> dim0(2)", "named twice"),
    ],
)
def test_text_that_is_no_layout_is_refused(text: str, part: str) -> None:
    with pytest.raises(LayoutError, match=part.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


def test_refusals() -> None:
    with pytest.raises(LayoutError, match="no source reaches"):
        algebra.invert(make({"lane": [(2, (1,))]}, {"dim0": 4}))
    with pytest.raises(LayoutError, match="no common radix"):
        algebra.common_radix((2, 3), (3, 2))
    with pytest.raises(LayoutError, match="32 in the source"):
        algebra.convert(
            library.FRAGMENTS["m16n8k16.c"], library.distributed((16, 8), register=[(16, (1, 0)), (8, (0, 1))])
        )
    with pytest.raises(LayoutError, match="does not hold"):
        algebra.convert(library.distributed((4,), lane=[(2, (1,))]), library.distributed((4,), lane=[(2, (2,))]))
