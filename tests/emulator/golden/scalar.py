"""Scalar and packed instructions of the corpus: every opcode with each type and each rounding, flush and clamp."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.emulator.golden.case import Case, case

from tilewright.runtime.emulator.approximations import error_bound

INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")
ROUNDINGS = ("rn", "rz", "rm", "rp")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
UNORDERED = ("equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")
WIDER = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}


def integer() -> Iterator[Case]:
    """PTX ISA, "Integer Arithmetic Instructions"."""
    for op, t in product(("add", "sub", "min", "max", "mul.lo", "mul.hi"), INTEGERS):
        yield case(f"{op}.{t}", t, t, t)
    for op, t in product(("div", "rem"), INTEGERS):
        yield case(f"{op}.{t}", t, t, f"{t}:nonzero")
    for t in INTEGERS:
        yield case(f"mad.lo.{t}", t, t, t, t)
        yield case(f"mad.hi.{t}", t, t, t, t)
        yield case(f"sad.{t}", t, t, t, t)
    for t, wide in WIDER.items():
        yield case(f"mul.wide.{t}", wide, t, t)
        yield case(f"mad.wide.{t}", wide, t, t, wide)
    for op, t in product(("abs", "neg"), ("s16", "s32", "s64")):
        yield case(f"{op}.{t}", t, t)
    for op in ("add.sat.s32", "sub.sat.s32"):
        yield case(op, "s32", "s32", "s32")
    yield case("mad.hi.sat.s32", "s32", "s32", "s32", "s32")
    for op, t, part in product(("mul24", "mad24"), ("u32", "s32"), ("lo", "hi")):
        yield case(f"{op}.{part}.{t}", t, *[t] * (2 if op == "mul24" else 3))
    for t, u in product(("u32", "s32"), repeat=2):
        yield case(f"dp4a.{t}.{u}", "s32" if "s" in t + u else "u32", t, u, "s32" if "s" in t + u else "u32")
    yield from _packed_integer()
    yield from _carries()


def _packed_integer() -> Iterator[Case]:
    for op, t in product(("add", "min", "max"), ("u16x2", "s16x2")):
        yield case(f"{op}.{t}", t, t, t).at_least("sm_90")
    for op in ("min.relu.s16x2", "max.relu.s16x2"):
        yield case(op, "s16x2", "s16x2", "s16x2").at_least("sm_90")
    for op in ("min.relu.s32", "max.relu.s32"):
        yield case(op, "s32", "s32", "s32").at_least("sm_90")


def _carries() -> Iterator[Case]:
    """A carry through two words, read back by a third instruction."""
    kinds, outputs = ("u32",) * 4, ("u32",) * 3
    for first, second in (("add.cc", "addc.cc"), ("sub.cc", "subc.cc")):
        last = "addc.u32" if first[0] == "a" else "subc.u32"
        body = f"{first}.u32 o0, a0, a1; {second}.u32 o1, a2, a3; {last} o2, 0, 0;"
        yield Case(f"{first} {second}", kinds, outputs, body)
    body = "mad.lo.cc.u32 o0, a0, a1, a2; madc.hi.cc.u32 o1, a0, a1, a3; addc.u32 o2, 0, 0;"
    yield Case("mad.lo.cc madc.hi.cc", kinds, outputs, body)


def bits() -> Iterator[Case]:
    """PTX ISA, "Logic and Shift Instructions" and the bit-field instructions."""
    for op, t in product(("and", "or", "xor"), ("b16", "b32", "b64")):
        yield case(f"{op}.{t}", t, t, t)
    for op, t in product(("not", "cnot"), ("b16", "b32", "b64")):
        yield case(f"{op}.{t}", t, t)
    for t in ("b16", "b32", "b64"):
        yield case(f"shl.{t}", t, t, "u32:shift")
    for t in (*INTEGERS, "b16", "b32", "b64"):
        yield case(f"shr.{t}", t, t, "u32:shift")
    for side, mode in product("lr", ("wrap", "clamp")):
        yield case(f"shf.{side}.{mode}.b32", "b32", "b32", "b32", "u32:shift")
    for t in ("u32", "s32", "u64", "s64"):
        yield case(f"bfe.{t}", t, t, "u32:shift", "u32:shift")
        yield case(f"bfind.{t}", "u32", t)
        yield case(f"bfind.shiftamt.{t}", "u32", t)
    for t in ("b32", "b64"):
        yield case(f"bfi.{t}", t, t, t, "u32:shift", "u32:shift")
        yield case(f"brev.{t}", t, t)
        yield case(f"popc.{t}", "u32", t)
        yield case(f"clz.{t}", "u32", t)
    for mode in ("", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"):
        yield case(f"prmt.b32{mode}", "b32", "b32", "b32", "b32")
    for table in (0x80, 0x96, 0xE8, 0xCA, 0x1B, 0xFE, 0x3C):
        yield case("lop3.b32", "b32", "b32", "b32", "b32", more=f", {table:#x}")
    for mode in ("wrap", "clamp"):
        yield case(f"bmsk.{mode}.b32", "b32", "u32:shift", "u32:shift")
        for t in ("u32", "s32"):
            yield case(f"szext.{mode}.{t}", t, t, "u32:shift")


def floating() -> Iterator[Case]:
    """PTX ISA, "Floating Point Instructions": single and double precision."""
    counts = {"add": 2, "sub": 2, "mul": 2, "fma": 3, "div": 2, "rcp": 1, "sqrt": 1}
    for (op, count), mode in product(counts.items(), ROUNDINGS):
        yield case(f"{op}.{mode}.f64", "f64", *["f64"] * count)
        yield case(f"{op}.{mode}.f32", "f32", *["f32"] * count)
        yield case(f"{op}.{mode}.ftz.f32", "f32", *["f32"] * count)
        if op in ("add", "sub", "mul", "fma"):
            yield case(f"{op}.{mode}.sat.f32", "f32", *["f32"] * count)
    for op, t in product(("min", "max"), ("f32", "f64", "ftz.f32", "NaN.f32", "xorsign.abs.f32")):
        name = t.split(".")[-1]
        yield case(f"{op}.{t}", name, name, name).at_least("sm_86" if "xorsign" in t else "sm_80")
    for op, t in product(("abs", "neg"), ("f32", "f64", "ftz.f32")):
        yield case(f"{op}.{t}", t.split(".")[-1], t.split(".")[-1])
    for t in ("f32", "f64"):
        yield case(f"copysign.{t}", t, t, t)
        for test in ("finite", "infinite", "number", "notanumber", "normal", "subnormal"):
            yield case(f"testp.{test}.{t}", "pred", t)


def halves() -> Iterator[Case]:
    """PTX ISA, "Half Precision Floating Point Instructions", scalar and packed."""
    for t in ("f16", "f16x2"):
        for op, form in product(("add", "sub", "mul"), ("", ".rn", ".ftz", ".sat")):
            yield case(f"{op}{form}.{t}", t, t, t)
        for form in ("rn", "rn.ftz", "rn.sat", "rn.relu"):
            yield case(f"fma.{form}.{t}", t, t, t, t)
    for t in ("bf16", "bf16x2"):
        for op in ("add", "sub", "mul"):
            yield case(f"{op}.{t}", t, t, t).at_least("sm_90")
        for form in ("rn", "rn.relu"):
            yield case(f"fma.{form}.{t}", t, t, t, t)
    for t in ("f16", "f16x2", "bf16", "bf16x2"):
        for op, form in product(("min", "max"), ("", ".NaN")):
            yield case(f"{op}{form}.{t}", t, t, t)
        for op in ("abs", "neg"):
            yield case(f"{op}.{t}", t, t)


def comparisons() -> Iterator[Case]:
    """PTX ISA, "Comparison and Selection Instructions"."""
    for op, t in product(COMPARISONS, ("u16", "s16", "u32", "s32", "u64", "s64")):
        yield case(f"setp.{op}.{t}", "pred", t, t)
    for op, t in product(("eq", "ne"), ("b16", "b32", "b64")):
        yield case(f"setp.{op}.{t}", "pred", t, t)
    for op, t in product(("lo", "ls", "hi", "hs"), ("u32", "u64")):
        yield case(f"setp.{op}.{t}", "pred", t, t)
    for op, t in product(COMPARISONS + UNORDERED, ("f16", "f32", "f64", "bf16")):
        yield case(f"setp.{op}.{t}", "pred", t, t).at_least("sm_90" if t == "bf16" else "sm_80")
    for op, result in product(("lt", "geu", "num"), ("u32", "s32", "f32")):
        yield case(f"set.{op}.{result}.f32", result, "f32", "f32")
    for op in ("and", "or", "xor"):
        body = f"setp.ne.u32 %q, a2, 0; setp.lt.{op}.s32 o0|o1, a0, a1, %q;"
        yield Case(f"setp.lt.{op}.s32", ("s32", "s32", "u32:few"), ("pred", "pred"), body)
    for t in ("b16", "b32", "b64", "f32", "f64"):
        body = f"setp.ne.u32 %q, a2, 0; selp.{t} o0, a0, a1, %q;"
        yield Case(f"selp.{t}", (t, t, "u32:few"), (t,), body)
    for t, sign in product(("u32", "s64", "f32"), ("s32", "f32")):
        yield case(f"slct.{t}.{sign}", t, t, t, sign)


ROUNDED = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
SMALLEST = {"f32": 2.0**-149, "f16": 2.0**-24, "bf16": 2.0**-133}


def approximate() -> Iterator[Case]:
    """Functions with a documented error; to it comes the rounding of the emulator's own value."""
    drawn = {"sin": "f32:angle", "cos": "f32:angle", "lg2": "f32:positive", "div": "f32:normal"}
    forms = [f"{op}.approx.f32" for op in ("rcp", "div", "sqrt", "rsqrt", "sin", "cos", "lg2", "ex2", "tanh")]
    forms += ["div.full.f32", "rcp.approx.ftz.f32", "ex2.approx.ftz.f32"]
    forms += [f"{op}.approx.{t}" for op in ("ex2", "tanh") for t in ("f16", "f16x2")]
    forms += [f"ex2.approx.ftz.{t}" for t in ("bf16", "bf16x2")] + [f"tanh.approx.{t}" for t in ("bf16", "bf16x2")]
    for opcode in forms:
        op, kind = opcode.split(".")[0], opcode.split(".")[-1]
        base, bound = kind.removesuffix("x2"), error_bound(opcode)
        assert bound is not None, opcode
        found = case(opcode, kind, *[drawn.get(op, kind)] * (2 if op == "div" else 1))
        found = found.within(bound.relative + ROUNDED[base], bound.absolute + SMALLEST[base])
        yield found.at_least("sm_90") if base == "bf16" else found


def scalar_cases() -> list[Case]:
    """All of this file."""
    families = (integer, bits, floating, halves, comparisons, approximate)
    return [found for family in families for found in family()]
