"""Comparison, selection, conversion and moves (PTX ISA, "Comparison and Selection", "Data Movement and Conversion")."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tilewright.runtime.emulator import numerics_float as fp
from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    destination,
    elements,
    operands,
    pure,
    raw_source,
    simple,
    source,
)
from tilewright.runtime.emulator.ops_float import HALVES
from tilewright.runtime.emulator.scalar_types import PRED, TYPES, UNSIGNED, Array, ScalarType, bits_type
from tilewright.runtime.emulator.spaces import LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW
from tilewright.runtime.emulator.syntax import Instruction, Pair, Vector

Function = Callable[..., Any]
ORDERED: dict[str, Function] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
UNORDERED = {name + "u": name for name in ("eq", "ne", "lt", "le", "gt", "ge")}
LOGIC: dict[str, Function] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


@lru_cache(maxsize=256)
def comparison(name: str, kind_name: str, ftz: bool) -> Function:
    """The predicate of one comparison on arrays of the type; packed halves are not handled here."""
    if kind_name in HALVES:
        inner = comparison(name, "f32", False)
        return lambda a, b: inner(formats.decode(a, kind_name), formats.decode(b, kind_name))
    function = _float_comparison(name) if kind_name in ("f32", "f64", "f16") else ORDERED[name]
    if not ftz:
        return function
    return lambda a, b: function(fp.flush(a), fp.flush(b))


def _float_comparison(name: str) -> Function:
    if name == "num":
        return lambda a, b: ~(np.isnan(a) | np.isnan(b))
    if name == "nan":
        return lambda a, b: np.isnan(a) | np.isnan(b)
    if name in UNORDERED:
        inner = ORDERED[UNORDERED[name]]
        return lambda a, b: inner(a, b) | np.isnan(a) | np.isnan(b)
    if name == "ne":
        return lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b)
    return ORDERED[name]


def setp(context: Context, instruction: Instruction) -> Action:
    """``setp`` with an optional second destination and boolean combination (PTX ISA, "setp")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    name = m.need(*ORDERED, *UNORDERED, "num", "nan")
    logic = m.choice(*LOGIC)
    ftz = m.flag("ftz") and kind.name == "f32"
    m.finish()
    items = operands(instruction, 4 if logic else 3)
    first, second = (items[0].first, items[0].second) if isinstance(items[0], Pair) else (items[0], None)
    if kind.name in ("f16x2", "bf16x2"):
        return _packed_setp(context, instruction, kind, name)
    test = comparison(name, kind.name, ftz)
    results = [destination(instruction, first, PRED)]
    results += [destination(instruction, second, PRED)] if second is not None else []
    inputs = [source(context, instruction, item, kind) for item in items[1:3]]
    inputs += [source(context, instruction, items[3], PRED)] if logic else []
    return pure(instruction, _combined(test, logic, second is not None), results, inputs)


@lru_cache(maxsize=256)
def _combined(test: Function, logic: str | None, double: bool) -> Function:
    if logic is None and not double:
        return test

    def compute(a: Array, b: Array, c: Any = True) -> Any:
        true = test(a, b)
        join: Function = LOGIC[logic] if logic else (lambda x, _: x)
        return (join(true, c), join(~true, c)) if double else join(true, c)

    return compute


def _packed_setp(context: Context, instruction: Instruction, kind: ScalarType, name: str) -> Action:
    items = operands(instruction, 3)
    if not isinstance(items[0], Pair):
        raise Modifiers(instruction).fault("a packed comparison needs two destinations")
    test = comparison(name, HALVES[kind.name], False)

    def compute(a: Array, b: Array) -> tuple[Array, Array]:
        low = test(*((np.asarray(v) & np.uint32(0xFFFF)).astype(np.uint16) for v in (a, b)))
        high = test(*((np.asarray(v) >> np.uint32(16)).astype(np.uint16) for v in (a, b)))
        return low, high

    results = [destination(instruction, part, PRED) for part in (items[0].first, items[0].second)]
    return pure(instruction, compute, results, [source(context, instruction, item, kind) for item in items[1:]])


def set_value(context: Context, instruction: Instruction) -> Action:
    """``set``: all ones or 1.0 where the comparison holds (PTX ISA, "set")."""
    m = Modifiers(instruction)
    kind, result = m.last_type(), m.last_type()
    name = m.need(*ORDERED, *UNORDERED, "num", "nan")
    logic = m.choice(*LOGIC)
    ftz = m.flag("ftz")
    m.finish()
    test = _combined(comparison(name, kind.name, ftz), logic, False)
    one: Any = {"f32": np.float32(1), "f16": np.float16(1), "bf16": np.uint16(0x3F80)}.get(
        result.name, result.dtype.type(0) if result.kind == "f" else np.array(-1).astype(result.dtype)[()]
    )

    def compute(*values: Any) -> Array:
        return np.asarray(np.where(test(*values), one, result.dtype.type(0)))

    return simple(context, instruction, compute, result, [kind, kind, PRED] if logic else [kind, kind])


def selp(context: Context, instruction: Instruction) -> Action:
    """One of two values by a predicate (PTX ISA, "selp")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, _select, kind, [kind, kind, PRED])


def _select(a: Array, b: Array, choose: Array) -> Array:
    return np.where(choose, a, b)


def slct(context: Context, instruction: Instruction) -> Action:
    """``slct``: the first value when the third operand is not negative (PTX ISA, "slct")."""
    m = Modifiers(instruction)
    control, kind = m.last_type(), m.last_type()
    m.flag("ftz")
    m.finish()
    return simple(context, instruction, lambda a, b, c: np.where(c >= 0, a, b), kind, [kind, kind, control])


def mov(context: Context, instruction: Instruction) -> Action:
    """``mov`` of a register, literal, address, or between a vector and a wide register (PTX ISA, "mov")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    items = operands(instruction, 2)
    if isinstance(items[0], Vector):
        return _unpack(context, instruction, kind)
    if isinstance(items[1], Vector):
        return _pack(context, instruction, kind)
    if kind.bits == 128:
        raise m.fault("128-bit moves between registers are not modelled")
    kind = kind if kind is PRED else bits_type(kind.bits) if kind.kind != "f" else kind
    result = destination(instruction, items[0], kind)
    return pure(instruction, _identity, [result], [source(context, instruction, items[1], kind)])


def _identity(x: Any) -> Any:
    return x


def _unpack(context: Context, instruction: Instruction, kind: ScalarType) -> Action:
    items = elements(instruction.operands[0])
    part = bits_type(kind.bits // len(items))

    def compute(value: Array) -> tuple[Array, ...]:
        wide = np.asarray(value)
        return tuple((wide >> wide.dtype.type(part.bits * i)).astype(part.dtype) for i in range(len(items)))

    results = [destination(instruction, item, part) for item in items]
    inputs = [raw_source(context, instruction, instruction.operands[1], kind.bits)]
    action = pure(instruction, compute if len(items) > 1 else (lambda v: (v,)), results, inputs)
    action.packable = False
    return action


def _pack(context: Context, instruction: Instruction, kind: ScalarType) -> Action:
    items = elements(instruction.operands[1])
    part = bits_type(kind.bits // len(items))
    wide = UNSIGNED[kind.bits]

    def compute(*values: Array) -> Array:
        result = np.asarray(values[0]).astype(wide)
        for i, value in enumerate(values[1:], 1):
            result = result | (np.asarray(value).astype(wide) << wide.type(part.bits * i))
        return result

    results = [destination(instruction, instruction.operands[0], bits_type(kind.bits))]
    inputs = [source(context, instruction, item, part) for item in items]
    return pure(instruction, compute, results, inputs)


WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW, "param": PARAM_WINDOW}


def cvta(context: Context, instruction: Instruction) -> Action:
    """Between an address in a space and a generic address; global and const addresses are already generic.

    PTX ISA, "cvta".
    """
    m = Modifiers(instruction)
    kind = m.last_type()
    to_space = m.flag("to")
    space = m.need("global", "shared", "local", "const", "param", "shared::cta", "shared::cluster", "param::entry")
    m.finish()
    window = WINDOWS.get(space.split("::")[0], 0)
    offset = kind.dtype.type(window)
    items = operands(instruction, 2)
    function: Function = _identity
    if window:
        function = (lambda x: x - offset) if to_space else (lambda x: x + offset)
    return pure(
        instruction,
        function,
        [destination(instruction, items[0], kind)],
        [source(context, instruction, items[1], kind)],
    )


def isspacep(context: Context, instruction: Instruction) -> Action:
    """Whether a generic address lies in the window of a space (PTX ISA, "isspacep")."""
    m = Modifiers(instruction)
    space = m.need("global", "shared", "local", "const", "param", "shared::cta", "shared::cluster", "param::entry")
    m.finish()
    limits = {
        "shared": (SHARED_WINDOW, LOCAL_WINDOW),
        "local": (LOCAL_WINDOW, PARAM_WINDOW),
        "param": (PARAM_WINDOW, 1 << 44),
        "global": (1 << 44, 1 << 63),
    }
    low, high = limits.get(space.split("::")[0], (1 << 63, 1 << 63))
    return simple(context, instruction, lambda a: (a >= np.uint64(low)) & (a < np.uint64(high)), PRED, [TYPES["u64"]])


def cvt(context: Context, instruction: Instruction) -> Action:
    """``cvt`` between all scalar types, with every rounding and saturation mode (PTX ISA, "cvt")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    result = m.last_type()
    mode = m.choice("rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna")
    ftz, sat, satfinite, relu = m.flag("ftz"), m.flag("sat"), m.flag("satfinite"), m.flag("relu")
    m.finish()
    if result.name in ("f16x2", "bf16x2") and kind.name == "f32":
        return _convert_pair(context, instruction, result, mode or "rn", satfinite, relu)
    if result.name in ("e4m3x2", "e5m2x2"):
        return _narrow_pair(context, instruction, result, kind, relu)
    if kind.name in ("e4m3x2", "e5m2x2"):
        return simple(context, instruction, partial(_widen_pair, kind.name[:4], relu), result, [TYPES["b16"]])
    key = (result.name, kind.name, mode, ftz, sat, satfinite, relu)
    return simple(context, instruction, _conversion(*key), result, [kind])


@lru_cache(maxsize=512)
def _conversion(
    result: str, kind: str, mode: str | None, ftz: bool, sat: bool, satfinite: bool, relu: bool
) -> Function:
    from_float = kind in ("f16", "f32", "f64", "bf16")
    to_float = result in ("f16", "f32", "f64", "bf16", "tf32")
    if from_float and to_float:
        return partial(_float_to_float, result, kind, mode, ftz, sat, satfinite, relu)
    if from_float:
        return partial(_float_to_integer, result, kind, mode or "rzi", ftz)
    if to_float:
        return partial(_integer_to_float, result, mode or "rn", sat)
    return partial(_integer_to_integer, result, sat)


def _values(x: Array, kind: str) -> Array:
    return formats.decode(x, "bf16") if kind == "bf16" else np.asarray(x)


def _float_to_float(
    result: str, kind: str, mode: str | None, ftz: bool, sat: bool, satfinite: bool, relu: bool, x: Array
) -> Array:
    value = _values(x, kind)
    if ftz and value.dtype == np.float32:
        value = fp.flush(value)
    if mode in ("rni", "rzi", "rmi", "rpi"):
        value = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[mode](value)
        mode = "rn"
    value = fp.saturate(value) if sat else value
    if result == "f64":
        return np.asarray(value).astype(np.float64)
    if result == "f32":
        wide = np.asarray(value)
        single = _to_single(wide, mode or "rn") if wide.dtype == np.float64 else wide.astype(np.float32)
        return fp.flush(single) if ftz else single
    code = formats.encode(value, result, mode or "rn", satfinite, relu)
    return code.view(np.float16) if result == "f16" else code


def _to_single(value: Array, mode: str) -> Array:
    """float64 to float32; NaN becomes the canonical one."""
    single = fp.round_directed(value, mode)
    canonical = np.array(formats.FORMATS["f32"].nan, np.uint32).view(np.float32)
    return np.where(np.isnan(single), canonical, single)


def _float_to_integer(result: str, kind: str, mode: str, ftz: bool, x: Array) -> Array:
    value = _values(x, kind)
    value = fp.flush(value) if ftz and value.dtype == np.float32 else value
    return formats.float_to_integer(value, TYPES[result].dtype, mode)


def _integer_to_float(result: str, mode: str, sat: bool, x: Array) -> Array:
    x = np.asarray(x)
    if result == "f64" or (result == "f32" and mode == "rn"):
        value = x.astype(TYPES[result].dtype)
        return _directed_integer(x, value, mode) if result == "f64" and mode != "rn" else value
    wide = _odd_double(x)
    if result == "f32":
        return fp.round_directed(wide, mode)
    wide = fp.saturate(wide) if sat else wide
    code = formats.encode(wide, result, mode)
    return code.view(np.float16) if result == "f16" else code


def _halves(x: Array) -> tuple[Array, Array]:
    """A 64-bit integer as the sum of two float64 values."""
    high = (x >> x.dtype.type(32)).astype(np.float64) * 2.0**32
    return high, (x & x.dtype.type(0xFFFFFFFF)).astype(np.float64)


def _odd_double(x: Array) -> Array:
    """An integer as a float64 rounded to odd (exact below 2^53)."""
    return x.astype(np.float64) if x.dtype.itemsize < 8 else fp.add_odd(*_halves(x))


def _directed_integer(x: Array, nearest: Array, mode: str) -> Array:
    if x.dtype.itemsize < 8:
        return nearest
    error = fp.two_sum_error(*_halves(x), nearest)
    if mode == "rz":
        return np.where(error * np.sign(nearest) < 0, np.nextafter(nearest, 0.0), nearest)
    if mode == "rm":
        return np.where(error < 0, np.nextafter(nearest, -np.inf), nearest)
    return np.where(error > 0, np.nextafter(nearest, np.inf), nearest)


def _integer_to_integer(result: str, sat: bool, x: Array) -> Array:
    target = TYPES[result].dtype
    x = np.asarray(x)
    if not sat:
        return x.astype(target)
    limits = np.iinfo(target)
    low = x < limits.min if x.dtype.kind == "i" else np.zeros(x.shape, bool)
    wide = x.astype(np.int64) if x.dtype.kind == "i" else x.astype(np.uint64)
    high = (wide > limits.max) if x.dtype.kind == "u" or limits.max < 2**63 else np.zeros(x.shape, bool)
    return np.where(low, limits.min, np.where(high, limits.max, x.astype(target))).astype(target)


def _convert_pair(
    context: Context, instruction: Instruction, result: ScalarType, mode: str, satfinite: bool, relu: bool
) -> Action:
    """Two float32 to one packed register; the first source is the upper half."""
    form = HALVES[result.name]

    def compute(high: Array, low: Array) -> Array:
        upper, lower = (formats.encode(value, form, mode, satfinite, relu).astype(np.uint32) for value in (high, low))
        return np.asarray((upper << np.uint32(16)) | lower)

    single = TYPES["f32"]
    return simple(context, instruction, compute, result, [single, single])


def _narrow_pair(
    context: Context, instruction: Instruction, result: ScalarType, kind: ScalarType, relu: bool
) -> Action:
    """Two values to two 8-bit floats in 16 bits; always ``.satfinite``."""
    form = result.name[:4]

    def join(upper: Array, lower: Array) -> Array:
        high, low = (formats.encode(value, form, "rn", True, relu).astype(np.uint16) for value in (upper, lower))
        return np.asarray((high << np.uint16(8)) | low)

    def from_pair(word: Array) -> Array:
        inner = HALVES[kind.name]
        low = formats.decode((np.asarray(word) & np.uint32(0xFFFF)).astype(np.uint16), inner)
        return join(formats.decode((np.asarray(word) >> np.uint32(16)).astype(np.uint16), inner), low)

    target = TYPES["b16"]
    if kind.name == "f32":
        return simple(context, instruction, join, target, [kind, kind])
    return simple(context, instruction, from_pair, target, [kind])


def _widen_pair(form: str, relu: bool, word: Array) -> Array:
    low, high = ((np.asarray(word) >> np.uint16(shift)).astype(np.uint8) for shift in (0, 8))
    lower, upper = (formats.encode(formats.decode(v, form), "f16", relu=relu).astype(np.uint32) for v in (low, high))
    return np.asarray((upper << np.uint32(16)) | lower)


TABLE: dict[str, Decoder] = {
    "setp": setp,
    "set": set_value,
    "selp": selp,
    "slct": slct,
    "mov": mov,
    "cvta": cvta,
    "isspacep": isspacep,
    "cvt": cvt,
}
