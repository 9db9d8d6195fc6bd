"""Floating-point instructions of every width (PTX ISA, "Floating-Point Instructions", "Half Precision ...").

Approximate functions return the correctly rounded value; the hardware's documented error is not imitated.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tilewright.runtime.emulator import numerics_float as fp
from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.decode import Context, Decoder, Modifiers, operands, simple
from tilewright.runtime.emulator.scalar_types import PRED, Array, ScalarType
from tilewright.runtime.emulator.syntax import Instruction

F8 = np.float64
ROUNDINGS = ("rn", "rz", "rm", "rp")
HALVES = {"f16": "f16", "bf16": "bf16", "f16x2": "f16", "bf16x2": "bf16"}
Function = Callable[..., Any]


def is_float(kind: ScalarType) -> bool:
    return kind.kind == "f" or kind.name in HALVES or kind.name == "f32x2"


def _sub(a: Any, b: Any) -> Any:
    return a - b


def _only_infinite(c: Any, *factors: Any) -> bool:
    """Whether an infinite term meets finite factors, whose product may overflow but is no infinity."""
    return isinstance(c, F8) and bool(np.isinf(c) and np.isfinite(factors).all())


EXACT: dict[str, Function] = {
    "add": lambda a, b: a + b,
    "sub": _sub,
    "mul": lambda a, b: a * b,
    "fma": lambda a, b, c: c if _only_infinite(c, a, b) else a * b + c,
    "div": lambda a, b: a / b,
    "rcp": lambda a: (Fraction(1) if isinstance(a, Fraction) else F8(1)) / a,
}
ADDENDS: dict[str, fp.Signs] = {
    "add": lambda a, b: (a, b),
    "sub": lambda a, b: (a, -b),
    "fma": lambda a, b, c: (a * b, c),
}
NEAREST: dict[str, Function] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "sqrt": np.sqrt,
    "neg": np.negative,
    "abs": np.abs,
    "min": fp.minimum,
    "max": fp.maximum,
}


@lru_cache(maxsize=256)
def core(name: str, bits: int, mode: str) -> Function:
    """The rounding-correct function of one operation on float32 or float64 arrays."""
    if mode == "rn" and name in NEAREST:
        return NEAREST[name]
    if bits == 64:
        return _double(name, mode)
    if mode != "rn":
        return _directed_single(name, mode)
    single: dict[str, Function] = {
        "fma": fp.fma32,
        "rcp": lambda a: np.divide(np.float32(1), a),
        "rsqrt": lambda a: (1 / np.sqrt(np.asarray(a).astype(F8))).astype(np.float32),
        "ex2": _through_double(np.exp2),
        "lg2": _through_double(np.log2),
        "sin": _through_double(np.sin),
        "cos": _through_double(np.cos),
        "tanh": _through_double(np.tanh),
    }
    return single[name]


def _through_double(function: Function) -> Function:
    return lambda a: function(np.asarray(a).astype(F8)).astype(np.float32)


def _double(name: str, mode: str) -> Function:
    if name == "fma" and mode == "rn":
        return fp.fma64
    if name == "rsqrt":
        return lambda a: 1 / np.sqrt(a)
    if name == "rcp" and mode == "rn":
        return lambda a: np.divide(F8(1), a)
    if name == "sqrt":
        return partial(fp.root_directed, mode=mode)
    return fp.exact_double(EXACT[name], mode, ADDENDS.get(name))


def _directed_single(name: str, mode: str) -> Function:
    def wide(*values: Any) -> list[Array]:
        return [np.asarray(value).astype(F8) for value in values]

    exact: dict[str, Function] = {
        "add": lambda a, b: fp.add_odd(*wide(a, b), mode=mode),
        "sub": lambda a, b: fp.add_odd(*wide(a, -np.asarray(b)), mode=mode),
        "mul": lambda a, b: np.multiply(*wide(a, b)),
        "div": fp.quotient_odd,
        "sqrt": fp.root_odd,
        "rcp": lambda a: fp.quotient_odd(np.asarray(np.float32(1)), a),
        "fma": lambda a, b, c: fp.add_odd(np.multiply(*wide(a, b)), np.asarray(c).astype(F8), mode=mode),
    }
    return lambda *values: fp.round_directed(exact[name](*values), mode)


def wrap(function: Function, ftz: bool, saturate: bool) -> Function:
    """Flush the inputs and the result, clamp the result."""
    if not ftz and not saturate:
        return function

    def compute(*values: Any) -> Array:
        inputs = [fp.flush(value) for value in values] if ftz else list(values)
        result = function(*inputs)
        result = fp.flush(result) if ftz else result
        return fp.saturate(result) if saturate else result

    return compute


@lru_cache(maxsize=512)
def _half(
    name: str, form: str, packed: bool, ftz: bool, saturate: bool, relu: bool, nan: bool, xorsign: bool
) -> Function:
    """16-bit arithmetic: through float32 (or a float64 rounded to odd for fma), then one rounding."""

    def one(*bits_: Array) -> Array:
        inputs = [formats.decode(value, form) for value in bits_]
        inputs = [_flush_half(value) for value in inputs] if ftz and form == "f16" else inputs
        value = by_magnitude(partial(_half_value, name, nan))(*inputs) if xorsign else _half_value(name, nan, *inputs)
        if saturate:
            value = fp.saturate(value)
        code = formats.encode(value, form, relu=relu)
        if not (ftz and form == "f16"):
            return code
        subnormal = (code & np.uint16(0x7C00)) == 0
        return np.where(subnormal, code & np.uint16(0x8000), code)

    def two(*words: Array) -> Array:
        low = one(*((np.asarray(w) & np.uint32(0xFFFF)).astype(np.uint16) for w in words))
        high = one(*((np.asarray(w) >> np.uint32(16)).astype(np.uint16) for w in words))
        return np.asarray(low.astype(np.uint32) | (high.astype(np.uint32) << np.uint32(16)))

    return two if packed else one


def _flush_half(value: Array) -> Array:
    return np.where(np.abs(value) < np.float32(2.0**-14), np.copysign(np.float32(0), value), value)


def _half_value(name: str, nan: bool, *inputs: Array) -> Array:
    if name in ("neg", "abs", "add", "sub", "mul"):
        wide = [value.astype(F8) for value in inputs]
        return np.asarray(NEAREST[name](*wide))
    if name == "fma":
        a, b, c = (value.astype(F8) for value in inputs)
        return fp.add_odd(a * b, c)
    if name in ("min", "max"):
        value = NEAREST[name](*inputs)
        return np.where(np.isnan(inputs[0]) | np.isnan(inputs[1]), np.float32(np.nan), value) if nan else value
    function = {"ex2": np.exp2, "tanh": np.tanh}[name]
    return np.asarray(function(inputs[0].astype(F8)))


ARITY = {"add": 2, "sub": 2, "mul": 2, "div": 2, "min": 2, "max": 2, "fma": 3, "mad": 3}
APPROXIMATE = ("ex2", "lg2", "sin", "cos", "tanh", "rsqrt")


def arithmetic(context: Context, instruction: Instruction) -> Action:
    """Every arithmetic instruction with a floating-point type (PTX ISA, "Floating Point Instructions")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    if not is_float(kind):
        raise m.fault("needs a floating-point type")
    name = "fma" if instruction.mnemonic == "mad" else instruction.mnemonic
    mode = m.choice(*ROUNDINGS) or "rn"
    approximate = m.choice("approx", "full")
    ftz, saturate, relu, nan = m.flag("ftz"), m.flag("sat"), m.flag("relu"), m.flag("NaN")
    xorsign = m.flag("xorsign")
    if xorsign:
        m.flag("abs")
    m.finish()
    if approximate is None and name in APPROXIMATE and kind.bits != 64 and name != "rsqrt":
        raise m.fault("exists only with .approx")
    count = ARITY.get(name, 1)
    if kind.name in HALVES:
        function = _half(name, HALVES[kind.name], kind.name.endswith("x2"), ftz, saturate, relu, nan, xorsign)
        if kind.name == "f16":
            function = _viewed(function)
    elif kind.name == "f32x2":
        function = partial(_two_singles, core(name, 32, mode))
    else:
        function = wrap(_variant(name, kind, mode, nan, xorsign), ftz and kind.bits == 32, saturate)
    if (name in ("min", "max")) and len(operands(instruction, 3, 4)) == 4:
        return simple(context, instruction, _three(function), kind, [kind] * 3)
    return simple(context, instruction, function, kind, [kind] * count)


def _viewed(function: Function) -> Function:
    return lambda *values: np.asarray(function(*values)).view(np.float16)


def _three(function: Function) -> Function:
    return lambda a, b, c: function(function(a, b), c)


def by_magnitude(function: Function) -> Function:
    """``.xorsign.abs``: of the magnitudes, with the product of the signs."""

    def compute(a: Array, b: Array) -> Array:
        sign = np.where(np.signbit(a) ^ np.signbit(b), -1, 1).astype(np.asarray(a).dtype)
        return np.asarray(np.copysign(function(np.abs(a), np.abs(b)), sign))

    return compute


def _variant(name: str, kind: ScalarType, mode: str, nan: bool, xorsign: bool) -> Function:
    function = core(name, kind.bits, mode)
    function = by_magnitude(function) if xorsign else function
    if nan and name in ("min", "max"):
        quiet = function
        function = lambda a, b: np.where(  # noqa: E731
            np.isnan(a) | np.isnan(b), kind.dtype.type(np.nan), quiet(a, b)
        )
    return function


def _two_singles(function: Function, *words: Array) -> Array:
    result = np.zeros(np.broadcast_shapes(*(np.shape(w) for w in words)), np.uint64)
    for shift in (0, 32):
        parts = [(np.asarray(w) >> np.uint64(shift)).astype(np.uint32).view(np.float32) for w in words]
        result |= function(*parts).view(np.uint32).astype(np.uint64) << np.uint64(shift)
    return result


def copysign(context: Context, instruction: Instruction) -> Action:
    """The second operand with the sign of the first (PTX ISA, "copysign")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, lambda sign, value: np.copysign(value, sign), kind, [kind, kind])


def testp(context: Context, instruction: Instruction) -> Action:
    """Whether a value is finite, a NaN, subnormal and the like (PTX ISA, "testp")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    test = m.need("finite", "infinite", "number", "notanumber", "normal", "subnormal")
    m.finish()
    tiny = fp.TINY.get(kind.dtype, F8(2.0**-1022))
    table: dict[str, Function] = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda x: ~np.isnan(x),
        "notanumber": np.isnan,
        "normal": lambda x: np.isfinite(x) & (np.abs(x) >= tiny),
        "subnormal": lambda x: (np.abs(x) < tiny) & (x != 0),
    }
    return simple(context, instruction, table[test], PRED, [kind])


TABLE: dict[str, Decoder] = {
    "fma": arithmetic,
    "rcp": arithmetic,
    "sqrt": arithmetic,
    "rsqrt": arithmetic,
    "ex2": arithmetic,
    "lg2": arithmetic,
    "sin": arithmetic,
    "cos": arithmetic,
    "tanh": arithmetic,
    "copysign": copysign,
    "testp": testp,
}
SHARED: dict[str, Decoder] = {
    name: arithmetic for name in ("add", "sub", "mul", "mad", "div", "min", "max", "neg", "abs")
}
