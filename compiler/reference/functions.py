"""Owns the scalar built-ins: their values in float64 and how errors pass through them.

A monotone function takes an interval to the interval between its end points, so its error is exact; the others use a
bound on their slope. Each built-in adds four units in the last place, ``approx`` what the hardware instructions need.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tilewright.compiler.reference import philox
from tilewright.compiler.reference.arithmetic import binary, extreme
from tilewright.compiler.reference.numerics import is_float, wrap
from tilewright.compiler.reference.rounding import BASIC, BUILTIN, TINY, Rules, hull, settle
from tilewright.compiler.reference.values import Array, Value, dense, either, some, total, worst

_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """The error function, correct to a few units of float64."""
    return np.asarray(_erf(x), dtype=np.float64)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


MONOTONE: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log2": np.log2,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "erf": erf,
}

# Correctly rounded by nature: their results are representable whenever their operands are.
STEPWISE: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sign": lambda x: np.where(np.isnan(x), x, np.sign(x)),
}

LEAST_TF32 = 2.0**-136
"""The least positive TF32 number: ten bits below the least normal one."""
PERIODIC: dict[str, Callable[[Array], Array]] = {"sin": np.sin, "cos": np.cos}


def call(rules: Rules, function: str, operands: tuple[Value, ...], approximate: bool = False) -> Value:
    """A scalar built-in on evaluated operands (``segment`` reads a tensor and is not one of them)."""
    first = operands[0]
    if function in ("detach", "extent"):
        return first
    if function in ("min", "max"):
        return _fold_extreme(rules, function, operands)
    if function == "abs":
        return _absolute(first)
    if function == "rand":
        return _rand(*operands)
    if function == "pow" and not is_float(first.dtype):
        return binary(rules, "**", first, operands[1])
    if function == "pow":
        return power(rules, operands[0], operands[1], approximate)
    if function == "fma":
        return _fma(rules, *operands)
    if function == "tf32":
        return _tf32(rules, first)
    if function in STEPWISE:
        return _stepwise(STEPWISE[function], first)
    if function in PERIODIC:
        return _periodic(rules, function, first, approximate)
    return _monotone(rules, function, first, approximate)


def _monotone(rules: Rules, function: str, value: Value, approximate: bool) -> Value:
    evaluate = MONOTONE[function]
    data = evaluate(value.data)
    error, unsure = None, value.unsure
    if value.error is not None:
        ends = evaluate(value.data - value.error), evaluate(value.data + value.error)
        error = np.maximum(np.abs(ends[0] - data), np.abs(ends[1] - data))
        error = np.where(value.error > 0, error, 0.0)
        escapes = (value.error > 0) & (np.isnan(error) | np.isinf(data)) & ~np.isnan(value.data)
        unsure = either(unsure, some(escapes & ~np.isinf(value.data)))
    own = _approximation(function, value.dtype, value.data, data) if approximate and rules.bound else None
    return settle(rules, value.dtype, data, error, unsure, value.fault, units=BUILTIN, own=own)


def _periodic(rules: Rules, function: str, value: Value, approximate: bool) -> Value:
    data = PERIODIC[function](value.data)
    error = None if value.error is None else np.minimum(value.error, 2.0)
    own = _approximation(function, value.dtype, value.data, data) if approximate and rules.bound else None
    return settle(rules, value.dtype, data, error, value.unsure, value.fault, units=BUILTIN, own=own)


def _approximation(function: str, dtype: str, operand: Array, data: Array) -> Array:
    """What the approximate instructions may be off by (PTX ISA: tanh.approx 2^-11 relative, sin/cos.approx 2^-20.5
    absolute in [-pi, pi], ex2.approx 2 ulp after a scaled operand, lg2.approx 2^-22 absolute, with slack), and some
    units of the least number where a result is next to none."""
    size = np.where(np.isfinite(operand), np.abs(operand), 0.0)
    relative = np.where(np.isfinite(data), np.abs(data), 0.0)
    if function in ("tanh", "sigmoid", "erf"):
        return 2.0**-10 * relative + 2.0**-20
    if function in ("sin", "cos"):
        return 2.0**-19 * (1.0 + size)
    if function in ("log", "log2", "log1p"):
        return 2.0**-20 * (1.0 + relative)
    return 2.0**-20 * (relative * (1.0 + size)) + BUILTIN * TINY[dtype if dtype in TINY else "f32"]


def _stepwise(evaluate: Callable[[Array], Array], value: Value) -> Value:
    data = evaluate(value.data)
    if not is_float(value.dtype):
        data = data.astype(np.int64)
    error = None
    if value.error is not None:
        error = hull(data, evaluate(value.data - value.error), evaluate(value.data + value.error))
        error = some(np.where(np.isnan(error), 0, error).astype(data.dtype))
    return Value(value.dtype, data, error, value.unsure, value.fault)


def _absolute(value: Value) -> Value:
    data = np.abs(value.data)
    return Value(
        value.dtype, data if is_float(value.dtype) else wrap(data, value.dtype), value.error, value.unsure, value.fault
    )


def _fold_extreme(rules: Rules, function: str, operands: tuple[Value, ...]) -> Value:
    result = operands[0]
    for operand in operands[1:]:
        result = extreme(rules, function, result, operand)
    return result


def _fma(rules: Rules, left: Value, right: Value, addend: Value) -> Value:
    if not is_float(left.dtype):
        return binary(rules, "+", binary(rules, "*", left, right), addend)
    product = binary(Rules(bound=False), "*", left, right)
    spread = binary(rules, "*", left, right) if left.error is not None or right.error is not None else product
    error = total(spread.error, addend.error)
    unsure = either(spread.unsure, left.unsure, right.unsure, addend.unsure)
    fault = worst(left.fault, right.fault, addend.fault)
    return settle(rules, left.dtype, left.data * right.data + addend.data, error, unsure, fault, units=BASIC)


def _tf32(rules: Rules, value: Value) -> Value:
    """TF32 keeps 11 significant bits, and fewer of what is subnormal in f32; hardware may truncate instead of rounding,
    so a whole unit is allowed."""
    data = value.data
    own = np.where(np.isfinite(data), np.maximum(np.abs(data) * 2.0**-10, LEAST_TF32), 0.0)
    unit = np.maximum(np.ldexp(1.0, np.frexp(data)[1] - 11), LEAST_TF32)
    kept = data == np.rint(data / unit) * unit
    return settle(rules, value.dtype, data, value.error, value.unsure, value.fault, own=np.where(kept, 0.0, own))


def power(rules: Rules, base: Value, exponent: Value, approximate: bool = False, units: float = BUILTIN) -> Value:
    """``pow(base, exponent)`` and ``base ** exponent`` on floats."""
    data = np.power(base.data, exponent.data)
    error, unsure = None, either(base.unsure, exponent.unsure)
    if base.error is not None or exponent.error is not None:
        error, lost = _power_error(base, exponent, data)
        unsure = either(unsure, lost)
    own = None
    if approximate and rules.bound:
        own = _approximation("pow", base.dtype, exponent.data * np.log(np.abs(base.data)), data)
    fault = worst(base.fault, exponent.fault)
    return settle(rules, base.dtype, data, error, unsure, fault, units=units, own=own)


def _power_error(base: Value, exponent: Value, data: Array) -> tuple[Array, Array | None]:
    """Distance to the corners: a power is monotone in each operand where the base keeps its sign."""
    be, ee = dense(base.error, data), dense(exponent.error, data)
    corners = [np.power(base.data + i * be, exponent.data + j * ee) for i in (-1, 1) for j in (-1, 1)]
    error = np.maximum.reduce([np.broadcast_to(np.abs(corner - data), data.shape) for corner in corners])
    crosses = (np.abs(base.data) <= be) & (be > 0)
    whole = (exponent.data > 0) & (exponent.data == np.rint(exponent.data)) & (ee == 0)
    # Across zero a whole power stays below its value at the far end.
    error = np.where(crosses & whole, np.power(np.abs(base.data) + be, exponent.data) + np.abs(data), error)
    known = (be == 0) & (ee == 0)
    lost = ~known & ((crosses & ~whole) | ((base.data < 0) & (ee > 0)))
    return np.where(known, 0.0, error), some(lost)


def _rand(seed: Value, count: Value) -> Value:
    inexact = [None if v.error is None else v.error > 0 for v in (seed, count)]
    unsure = either(seed.unsure, count.unsure, *inexact)
    return Value("f32", philox.uniform(seed.data, count.data), None, unsure, worst(seed.fault, count.fault))
