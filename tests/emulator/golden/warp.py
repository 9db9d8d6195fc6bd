"""Instructions in which the lanes of a warp meet: shuffles, votes, reductions, atomics, and the matrix instructions.

Matrix fragments are drawn as whole registers, so every element takes part. Each product is there twice: with quarters
up to one, whose sums are exact in any order, and with normal values, whose sums may differ by what a block of additions
in another order can.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from tests.emulator.golden.case import LANES, Case, width

ALL_LANES = "0xffffffff"
VALUES = ("exact", "normal")
NEAR = {"f32": (2.0**-20, 2.0**-16), "f16": (2.0**-9, 2.0**-5), "f64": (2.0**-48, 2.0**-48)}
"""Relative and absolute error of sums of normal products, by the type of the sum."""
NEAR_EIGHT_BITS = (2.0**-9, 2.0**-5)
"""The same for 8-bit floats, whose products Hopper aligns to 14 bits before it adds them."""
PER_REGISTER = {"f16": "f16x2", "bf16": "bf16x2", "tf32": "tf32", "e4m3": "e4m3x4", "e5m2": "e5m2x4", "s8": "b32",
                "u8": "b32", "f64": "f64", "f32": "f32", "s32": "s32"}  # fmt: skip


def exchanges() -> Iterator[Case]:
    """PTX ISA, "shfl.sync", "vote.sync", "match.sync", "redux.sync", "activemask", "elect.sync"."""
    for mode, clamp in product(("up", "down", "bfly", "idx"), ("0x1f", "0x81f", "0x1807", "0")):
        body = f"shfl.sync.{mode}.b32 o0|o1, a0, a1, {clamp}, {ALL_LANES};"
        yield Case(f"shfl.sync.{mode}.b32 {clamp}", ("b32", "u32:lane"), ("b32", "pred"), body)
    for op in ("all", "any", "uni"):
        body = f"setp.gt.u32 %q, a0, 0; vote.sync.{op}.pred o0, %q, {ALL_LANES};"
        yield Case(f"vote.sync.{op}", ("u32:few",), ("pred",), body)
    body = f"setp.gt.u32 %q, a0, 1; vote.sync.ballot.b32 o0, %q, {ALL_LANES};"
    yield Case("vote.sync.ballot", ("u32:few",), ("b32",), body)
    for bits in (32, 64):
        yield Case(
            f"match.any.sync.b{bits}", (f"u{bits}:few",), ("b32",), f"match.any.sync.b{bits} o0, a0, {ALL_LANES};"
        )
        body = f"match.all.sync.b{bits} o0|o1, a0, {ALL_LANES};"
        yield Case(f"match.all.sync.b{bits}", (f"u{bits}:few",), ("b32", "pred"), body)
    for op, t in [*product(("add", "min", "max"), ("u32", "s32")), *product(("and", "or", "xor"), ("b32",))]:
        yield Case(f"redux.sync.{op}.{t}", (t,), (t,), f"redux.sync.{op}.{t} o0, a0, {ALL_LANES};")
    yield Case("activemask.b32", (), ("b32",), "activemask.b32 o0;")
    body = f"""setp.gt.u32 %q, a0, 1; mov.u32 o0, 0; vote.sync.ballot.b32 %x, %q, {ALL_LANES};
@!%q bra OUT; redux.sync.add.u32 o0, a1, %x; OUT: bar.warp.sync {ALL_LANES};"""
    yield Case("redux.sync.add.u32 of some lanes", ("u32:few", "u32"), ("u32",), body)


def atomics() -> Iterator[Case]:
    """Each thread has a place of its own in shared memory: the old value and the new one (PTX ISA, "atom")."""
    found = [*product(("add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"), ("u32",))]
    found += [
        *product(("min", "max", "add"), ("s32",)),
        *product(("add", "exch", "cas", "min", "max", "and"), ("u64",)),
    ]
    found += [
        ("min", "s64"),
        ("max", "s64"),
        ("add", "f32"),
        ("add", "f64"),
        ("add.noftz", "f16"),
        ("add.noftz", "f16x2"),
    ]
    for op, t in found:
        bits = max(width(t), 16)
        shown = f"b{bits}" if op in ("exch", "cas", "and", "or", "xor") else t
        inputs = (t, t, t) if op == "cas" else (t, t)
        body = (
            f"mov.u32 %x, tile; mad.lo.u32 %x, %t, 16, %x; st.shared.b{bits} [%x], a0; "
            f"atom.shared.{op}.{shown} o0, [%x], {', '.join(f'a{n}' for n in range(1, len(inputs)))}; "
            f"ld.shared.b{bits} o1, [%x];"
        )
        yield Case(f"atom.shared.{op}.{t}", inputs, (t, t), body)


def transfers() -> Iterator[Case]:
    """``ldmatrix``, ``stmatrix``, ``movmatrix``: each warp has a piece of the tile, filled by its own lanes."""
    own = "mov.u32 %x, tile; mad.lo.u32 %x, %t, 16, %x;"
    fill = f"{own} st.shared.v4.b32 [%x], {{a0, a1, a2, a3}}; bar.warp.sync {ALL_LANES};"
    for count, trans in product((1, 2, 4), ("", ".trans")):
        names = ", ".join(f"o{n}" for n in range(count))
        body = f"{fill} ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{names}}}, [%x];"
        yield Case(f"ldmatrix.x{count}{trans}", ("b32",) * 4, ("b32",) * count, body)
        names = ", ".join(f"a{n}" for n in range(count))
        body = (
            f"{fill} stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%x], {{{names}}}; "
            f"bar.warp.sync {ALL_LANES}; ld.shared.v4.b32 {{o0, o1, o2, o3}}, [%x];"
        )
        yield Case(f"stmatrix.x{count}{trans}", ("b32",) * 4, ("b32",) * 4, body, "sm_90")
    yield Case("movmatrix.trans", ("b32",), ("b32",), "movmatrix.sync.aligned.m8n8.trans.b16 o0, a0;")


class Product(NamedTuple):
    """Shape and types of one ``mma``; the least architecture."""

    m: int
    n: int
    k: int
    left: str
    right: str
    total: str
    chip: str = "sm_80"

    def registers(self, rows: int, columns: int, kind: str) -> tuple[str, ...]:
        """Kinds of the registers of a thread that hold its share of a matrix."""
        held = "f16x2" if kind == "f16" else PER_REGISTER[kind]
        bits = {"tf32": 32, "s8": 8, "u8": 8}.get(kind, width(kind))
        per_register = 32 // bits if bits < 32 else 1
        return (held,) * (rows * columns // 32 // per_register)


def products() -> list[Product]:
    """PTX ISA, "Matrix multiply-accumulate operation using mma instruction"."""
    found = [Product(16, 8, k, "f16", "f16", total) for k in (8, 16) for total in ("f32", "f16")]
    found += [Product(16, 8, k, "bf16", "bf16", "f32") for k in (8, 16)]
    found += [Product(16, 8, k, "tf32", "tf32", "f32") for k in (4, 8)]
    found += [Product(8, 8, 4, "f64", "f64", "f64")]
    found += [Product(16, 8, k, "f64", "f64", "f64", "sm_90") for k in (4, 8, 16)]
    for left, right in product(("s8", "u8"), repeat=2):
        found += [Product(m, 8, k, left, right, "s32") for m, k in ((8, 16), (16, 16), (16, 32))]
    for left, right in product(("e4m3", "e5m2"), repeat=2):
        found += [Product(16, 8, k, left, right, total, "sm_89") for k in (16, 32) for total in ("f32", "f16")]
    return found


def matrix() -> Iterator[Case]:
    for p, values in product(products(), VALUES):
        integer = p.total == "s32"
        if integer and values == "normal":
            continue
        drawn = "" if integer else f":{values}"
        left = tuple(kind + drawn for kind in p.registers(p.m, p.k, p.left))
        right = tuple(kind + drawn for kind in p.registers(p.k, p.n, p.right))
        total = tuple(kind + drawn for kind in p.registers(p.m, p.n, p.total))
        first, second = len(left), len(left) + len(right)
        lists = [_list("o", 0, len(total)), _list("a", 0, first), _list("a", first, second)]
        lists.append(_list("a", second, second + len(total)))
        opcode = f"mma.sync.aligned.m{p.m}n{p.n}k{p.k}.row.col.{p.total}.{p.left}.{p.right}.{p.total}"
        found = Case(f"{opcode} {values}", left + right + total, p.registers(p.m, p.n, p.total),
                     f"{opcode} {', '.join(lists)};", p.chip)  # fmt: skip
        yield found.within(*_near(p.left, p.total)) if values == "normal" else found


def _near(factor: str, total: str) -> tuple[float, float]:
    return NEAR_EIGHT_BITS if width(factor) == 8 else NEAR[total]


def _list(letter: str, start: int, end: int) -> str:
    return "{" + ", ".join(f"{letter}{n}" for n in range(start, end)) + "}"


# -- wgmma ------------------------------------------------------------------------------------------------------------

DEPTH = {"f16": 16, "bf16": 16, "tf32": 8, "e4m3": 32, "e5m2": 32, "s8": 32, "u8": 32}
COLUMNS = (8, 64)


def warpgroup() -> Iterator[Case]:
    """PTX ISA, "Asynchronous warpgroup level matrix instructions": A from shared memory or registers, B from shared."""
    types = [("f16", "f16", "f32"), ("f16", "f16", "f16"), ("bf16", "bf16", "f32"), ("tf32", "tf32", "f32")]
    types += [(left, right, total) for left, right in product(("e4m3", "e5m2"), repeat=2) for total in ("f32", "f16")]
    types += [(left, right, "s32") for left, right in product(("s8", "u8"), repeat=2)]
    for (left, right, total), n, registers, values in product(types, COLUMNS, (False, True), VALUES):
        if total == "s32" and values == "normal":
            continue
        yield _warpgroup(left, right, total, n, registers, values)


def _warpgroup(left: str, right: str, total: str, n: int, registers: bool, values: str) -> Case:
    """A is 64 by k and B k by n, both with k contiguous and no swizzle: core matrices of 8 rows by 16 bytes."""
    drawn = "" if total == "s32" else f":{values}"
    outputs = (PER_REGISTER["f16" if total == "f16" else total],) * (n // 4 if total == "f16" else n // 2)
    sums = len(outputs)
    held = 4  # the words of A and of B that a thread brings: 64 rows of 32 bytes are four a thread
    inputs = (
        *(kind + drawn for kind in outputs),
        *(PER_REGISTER[left] + drawn,) * held,
        *(PER_REGISTER[right] + drawn,) * held,
    )
    stores = [
        "mov.u32 %x, tile; mad.lo.u32 %x, %t, 4, %x; "
        + " ".join(f"st.shared.b32 [%x+{place}], a{sums + number};" for number, place in enumerate(_places()))
    ]
    first = _list("a", sums, sums + held) if registers else "da"
    flags = "" if total == "s32" else ", 1, 1"
    transposed = (", 0" if registers else ", 0, 0") if left in ("f16", "bf16") else ""
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k{DEPTH[left]}.{total}.{left}.{right}"
    body = "\n".join([
        ".reg .b64 da, db;",
        *stores,
        "fence.proxy.async; bar.sync 0;",
        *(f"mov.b32 o{number}, a{number};" for number in range(sums)),
        f"mov.u32 %x, tile; shr.u32 %x, %x, 4; cvt.u64.u32 da, %x; or.b64 da, da, {_descriptor()};",
        "add.u64 db, da, 128;",
        "wgmma.fence.sync.aligned;",
        f"{opcode} {_list('o', 0, sums)}, {first}, db, 1{flags}{transposed};",
        "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;",
    ])  # fmt: skip
    name = f"{opcode} {'registers' if registers else 'shared'} {values}"
    found = Case(name, inputs, outputs, body, "sm_90a")
    return found.within(*_near(left, total)) if values == "normal" else found


def _places() -> list[int]:
    """Byte offsets of a thread's words: A fills the first 2 KiB of the tile, B the second."""
    return [4 * LANES * step for step in range(8)]


def _descriptor() -> int:
    """Without the address: 128 bytes between core matrices along k, 256 between those along the rows."""
    return 128 >> 4 << 16 | 256 >> 4 << 32


def warp_cases() -> list[Case]:
    """All of this file."""
    families = (exchanges, atomics, transfers, matrix, warpgroup)
    return [found for family in families for found in family()]
