"""The matrix of ``cvt`` (PTX ISA, "Data Movement and Conversion Instructions: cvt"), 8- and 16-bit floats included."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.emulator.golden.case import Case, case

INTEGERS = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
ROUNDINGS = ("rn", "rz", "rm", "rp")
WHOLE = ("rni", "rzi", "rmi", "rpi")
ORDER = {"f16": 16, "f32": 32, "f64": 64}


def held(kind: str) -> str:
    """The register kind of an integer: 8-bit values live in wider registers."""
    return {"u8": "u32", "s8": "s32"}.get(kind, kind)


def fits(source: str, result: str) -> bool:
    """Whether a type holds every value of another; ``.sat`` is then not allowed."""
    wider = int(result[1:]) - int(source[1:])
    return wider > 0 if result[0] == "s" and source[0] == "u" else wider >= 0 and result[0] == source[0]


def between_integers() -> Iterator[Case]:
    for result, source in product(INTEGERS, repeat=2):
        if result != source:
            yield case(f"cvt.{result}.{source}", held(result), held(source))
        if not fits(source, result):
            yield case(f"cvt.sat.{result}.{source}", held(result), held(source))


def integers_and_floats() -> Iterator[Case]:
    for mode, result, source in product(WHOLE, INTEGERS, ORDER):
        yield case(f"cvt.{mode}.{result}.{source}", held(result), source)
    for mode, result, source in product(ROUNDINGS, ORDER, INTEGERS):
        yield case(f"cvt.{mode}.{result}.{source}", result, held(source))
    for result in INTEGERS:
        yield case(f"cvt.rzi.ftz.{result}.f32", held(result), "f32")
    for mode, kind in product(("rni", "rzi"), ("u32", "s32", "s64")):
        yield case(f"cvt.{mode}.{kind}.bf16", kind, "bf16").at_least("sm_90")
    for kind in ("u32", "s32", "s64"):
        yield case(f"cvt.rn.bf16.{kind}", "bf16", kind).at_least("sm_90")


def between_floats() -> Iterator[Case]:
    for result, source in product(ORDER, repeat=2):
        if ORDER[result] < ORDER[source]:
            for mode in ROUNDINGS:
                yield case(f"cvt.{mode}.{result}.{source}", result, source)
                yield case(f"cvt.{mode}.sat.{result}.{source}", result, source)
        elif ORDER[result] > ORDER[source]:
            yield case(f"cvt.{result}.{source}", result, source)
            yield case(f"cvt.sat.{result}.{source}", result, source)
        else:
            for mode in WHOLE:
                yield case(f"cvt.{mode}.{result}.{source}", result, source)
    yield case("cvt.rn.ftz.f16.f32", "f16", "f32")
    yield case("cvt.ftz.f32.f16", "f32", "f16")
    yield case("cvt.rn.ftz.f32.f64", "f32", "f64")
    yield case("cvt.f32.bf16", "f32", "bf16").at_least("sm_90")
    yield case("cvt.rna.tf32.f32", "tf32", "f32")
    for mode in ("rn", "rz", "rn.relu", "rz.relu"):
        yield case(f"cvt.{mode}.tf32.f32", "tf32", "f32").at_least("sm_90")
        yield case(f"cvt.{mode}.bf16.f32", "bf16", "f32")
        if "relu" in mode:
            yield case(f"cvt.{mode}.f16.f32", "f16", "f32")
        for pair in ("f16x2", "bf16x2"):
            yield case(f"cvt.{mode}.{pair}.f32", pair, "f32", "f32")


def eight_bits() -> Iterator[Case]:
    for form, relu in product(("e4m3x2", "e5m2x2"), ("", ".relu")):
        yield case(f"cvt.rn.satfinite{relu}.{form}.f32", form, "f32", "f32").at_least("sm_89")
        yield case(f"cvt.rn.satfinite{relu}.{form}.f16x2", form, "f16x2").at_least("sm_89")
        yield case(f"cvt.rn{relu}.f16x2.{form}", "f16x2", form).at_least("sm_89")


def conversion_cases() -> list[Case]:
    """All of this file, each name once."""
    families = (between_integers, integers_and_floats, between_floats, eight_bits)
    return [found for family in families for found in family()]
