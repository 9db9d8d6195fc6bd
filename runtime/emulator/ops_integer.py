"""Integer, logic and bit instructions (PTX ISA, "Integer Arithmetic", "Extended-Precision", "Logic and Shift")."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tilewright.runtime.emulator import numerics_bits as bits
from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    destination,
    operands,
    pure,
    simple,
    source,
)
from tilewright.runtime.emulator.scalar_types import PRED, SIGNED, TYPES, U32, UNSIGNED, Array, ScalarType
from tilewright.runtime.emulator.syntax import Immediate, Instruction

BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "div": bits.divide,
    "rem": bits.remainder,
}
UNARY: dict[str, Callable[..., Any]] = {"neg": np.negative, "abs": np.abs, "not": np.invert}
PAIRS = ("u16x2", "s16x2")


def binary(context: Context, instruction: Instruction) -> Action:
    """``add sub min max and or xor div rem`` on integers and predicates (PTX ISA, sections of these names)."""
    m = Modifiers(instruction)
    kind = m.last_type()
    saturate = m.flag("sat")
    relu = m.flag("relu")
    m.finish()
    name = instruction.mnemonic
    function = BINARY[name]
    if kind.name in PAIRS:
        function = partial(_packed, function, kind.name == "s16x2", relu)
    elif saturate or relu:
        if kind.name != "s32":
            raise m.fault("needs .s32")
        function = _saturating(name, saturate, relu)
    return simple(context, instruction, function, kind, [kind, kind])


@lru_cache(maxsize=16)
def _saturating(name: str, clamp: bool, relu: bool) -> Callable[..., Array]:
    def compute(a: Array, b: Array) -> Array:
        wide = BINARY[name](np.asarray(a).astype(np.int64), np.asarray(b).astype(np.int64))
        wide = np.clip(wide, -(2**31), 2**31 - 1) if clamp else wide
        return np.asarray((np.maximum(wide, 0) if relu else wide).astype(np.int32))

    return compute


def _packed(function: Callable[..., Any], signed: bool, relu: bool, a: Array, b: Array) -> Array:
    kind = np.int16 if signed else np.uint16
    halves = []
    for shift in (0, 16):
        x, y = ((np.asarray(v) >> np.uint32(shift)).astype(np.uint16).view(kind) for v in (a, b))
        value = function(x, y)
        halves.append((np.maximum(value, 0) if relu else value).astype(kind).view(np.uint16).astype(np.uint32))
    return np.asarray(halves[0] | (halves[1] << np.uint32(16)))


def unary(context: Context, instruction: Instruction) -> Action:
    """``not`` of bits and predicates (PTX ISA, "not")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    function = np.logical_not if kind is PRED else UNARY[instruction.mnemonic]
    return simple(context, instruction, function, kind, [kind])


def cnot(context: Context, instruction: Instruction) -> Action:
    """1 where the operand is 0 (PTX ISA, "cnot")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, lambda x: (np.asarray(x) == 0).astype(kind.dtype), kind, [kind])


def _wide(kind: ScalarType) -> ScalarType:
    return TYPES[f"{kind.kind}{kind.bits * 2}"]


@lru_cache(maxsize=64)
def _product(part: str, name: str) -> Callable[[Array, Array], Array]:
    kind = TYPES[name]
    if part == "lo":
        return np.multiply
    if part == "hi":
        return partial(bits.multiply_high, bits=kind.bits)
    wide = (SIGNED if kind.signed else UNSIGNED)[kind.bits * 2]
    return lambda a, b: np.multiply(np.asarray(a).astype(wide), np.asarray(b).astype(wide))


@lru_cache(maxsize=64)
def _multiply_add(part: str, name: str) -> Callable[[Array, Array, Array], Array]:
    product = _product(part, name)
    return lambda a, b, c: product(a, b) + c


def _multiply_high_add_clamped(a: Array, b: Array, c: Array) -> Array:
    """``mad.hi.sat.s32``: the sum of the upper product half and c, clamped to 32 bits."""
    total = (np.asarray(a).astype(np.int64) * b >> 32) + c
    return np.asarray(np.clip(total, -(2**31), 2**31 - 1)).astype(np.int32)


def multiply(context: Context, instruction: Instruction) -> Action:
    """``mul`` and ``mad`` with ``.lo``, ``.hi``, ``.wide``."""
    m = Modifiers(instruction)
    kind = m.last_type()
    part = m.choice("lo", "hi", "wide")
    if part is None:
        raise m.fault("needs .lo, .hi or .wide")
    saturates = m.flag("sat")
    m.finish()
    if saturates and (instruction.mnemonic, part, kind.name) != ("mad", "hi", "s32"):
        raise m.fault(".sat exists for mad.hi.s32 alone")
    if saturates:
        return simple(context, instruction, _multiply_high_add_clamped, kind, [kind, kind, kind])
    result = _wide(kind) if part == "wide" else kind
    if instruction.mnemonic == "mul":
        return simple(context, instruction, _product(part, kind.name), result, [kind, kind])
    return simple(context, instruction, _multiply_add(part, kind.name), result, [kind, kind, result])


def multiply24(context: Context, instruction: Instruction) -> Action:
    """``mul24``/``mad24``: 24-bit factors of the low or high 32 bits of the 48-bit product.

    PTX ISA, "mul24", "mad24".
    """
    m = Modifiers(instruction)
    kind = m.last_type()
    high = m.need("lo", "hi") == "hi"
    m.finish()

    def product(a: Array, b: Array, c: Array | None = None) -> Array:
        x, y = (((np.asarray(v).astype(np.int64) & 0xFFFFFF) ^ sign) - sign for v in (a, b))
        value = ((x * y) >> (16 if high else 0)).astype(kind.dtype)
        return value if c is None else value + c

    sign = 0x800000 if kind.signed else 0
    return simple(context, instruction, product, kind, [kind] * (2 if instruction.mnemonic == "mul24" else 3))


def shift(context: Context, instruction: Instruction) -> Action:
    """``shl`` and ``shr``; a constant amount below the width is one NumPy call (PTX ISA, "shl", "shr")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    amount = operands(instruction, 3)[2]
    left = instruction.mnemonic == "shl"
    if isinstance(amount, Immediate) and 0 <= int(amount.value) < kind.bits:
        return simple(context, instruction, np.left_shift if left else np.right_shift, kind, [kind, kind])
    function = bits.shift_left if left else bits.shift_right
    return simple(context, instruction, partial(function, bits=kind.bits), kind, [kind, U32])


def funnel(context: Context, instruction: Instruction) -> Action:
    """``shf``: a shift of two registers side by side (PTX ISA, "shf")."""
    m = Modifiers(instruction)
    left = m.need("l", "r") == "l"
    wrap = m.need("wrap", "clamp") == "wrap"
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, partial(bits.funnel_shift, left=left, wrap=wrap), kind, [kind, kind, U32])


def lop3(context: Context, instruction: Instruction) -> Action:
    """Any logical function of three operands, by its table (PTX ISA, "lop3")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    items = operands(instruction, 5)
    table = items[4]
    if not isinstance(table, Immediate):
        raise m.fault("the truth table must be a literal")
    function = partial(bits.logic3, table=int(table.value) & 255)
    return pure_packed_by(
        instruction,
        function,
        destination(instruction, items[0], kind),
        [source(context, instruction, item, kind) for item in items[1:4]],
    )


def pure_packed_by(instruction: Instruction, function: Callable[..., Any], result: Any, inputs: list[Any]) -> Action:
    """A pure action whose function depends on an operand, so equal opcodes must not share a call."""
    action = pure(instruction, function, [result], inputs)
    action.packable = False
    return action


def bit_field(context: Context, instruction: Instruction) -> Action:
    """``bfe`` and ``bfi`` (PTX ISA, "bfe", "bfi")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    if instruction.mnemonic == "bfe":
        return simple(context, instruction, partial(bits.extract_field, bits=kind.bits), kind, [kind, U32, U32])
    return simple(context, instruction, partial(bits.insert_field, bits=kind.bits), kind, [kind, kind, U32, U32])


def bit_count(context: Context, instruction: Instruction) -> Action:
    """``popc clz brev bfind`` (PTX ISA, "popc", "clz", "brev", "bfind")."""
    m = Modifiers(instruction)
    amount = m.flag("shiftamt")
    kind = m.last_type()
    m.finish()
    name, width = instruction.mnemonic, kind.bits
    if name == "brev":
        return simple(context, instruction, partial(bits.reverse_bits, bits=width), kind, [kind])
    table: dict[str, Callable[..., Any]] = {
        "popc": lambda x: np.bitwise_count(x).astype(np.uint32),
        "clz": partial(bits.count_leading_zeros, bits=width),
        "bfind": partial(bits.find_most_significant, bits=width, shift_amount=amount),
    }
    return simple(context, instruction, table[name], U32, [kind])


def prmt(context: Context, instruction: Instruction) -> Action:
    """Bytes picked from two registers (PTX ISA, "prmt")."""
    m = Modifiers(instruction)
    mode = m.choice("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, partial(bits.permute_bytes, mode=mode), kind, [kind] * 3)


def sad(context: Context, instruction: Instruction) -> Action:
    """Absolute difference plus a third operand (PTX ISA, "sad")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.finish()
    return simple(context, instruction, lambda a, b, c: c + np.where(a < b, b - a, a - b), kind, [kind] * 3)


def dp4a(context: Context, instruction: Instruction) -> Action:
    """Products of four bytes each, added up (PTX ISA, "dp4a", "dp2a")."""
    m = Modifiers(instruction)
    second, first = m.last_type(), m.last_type()
    m.finish()
    function = partial(bits.dot_bytes, signed_a=first.signed, signed_b=second.signed)
    return simple(context, instruction, function, TYPES["b32"], [TYPES["b32"]] * 3)


def carry_arithmetic(context: Context, instruction: Instruction) -> Action:
    """``add.cc addc sub.cc subc``: the carry flag is one hidden predicate register (PTX ISA, "addc", "subc")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    writes_carry = m.flag("cc")
    m.finish()
    subtract = instruction.mnemonic.startswith("sub")
    reads_carry = instruction.mnemonic.endswith("c")
    items = operands(instruction, 3)
    unsigned = TYPES[f"u{kind.bits}"]
    inputs = [source(context, instruction, item, unsigned) for item in items[1:]]
    inputs += [source(context, instruction, context.carry, PRED)] if reads_carry else []
    results = [destination(instruction, items[0], unsigned)]
    results += [destination(instruction, context.carry, PRED)] if writes_carry else []

    def compute(a: Array, b: Array, carry: Any = False) -> Any:
        extra = np.asarray(carry).astype(unsigned.dtype)
        first = a - b if subtract else a + b
        value = first - extra if subtract else first + extra
        flag = (a < b) | (first < extra) if subtract else (first < a) | (value < first)
        return (value, flag) if writes_carry else value

    return pure(instruction, compute, results, inputs)


def add_or_carry(context: Context, instruction: Instruction) -> Action:
    if "cc" in instruction.parts:
        return carry_arithmetic(context, instruction)
    return binary(context, instruction)


def multiply_carry(context: Context, instruction: Instruction) -> Action:
    """``mad.cc`` and ``madc`` (PTX ISA, "madc")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    part = m.need("lo", "hi")
    writes_carry = m.flag("cc")
    m.finish()
    unsigned = TYPES[f"u{kind.bits}"]
    items = operands(instruction, 4)
    product = _product(part, kind.name)
    reads_carry = instruction.mnemonic == "madc"
    inputs = [source(context, instruction, item, kind) for item in items[1:]]
    inputs += [source(context, instruction, context.carry, PRED)] if reads_carry else []
    results = [destination(instruction, items[0], unsigned)]
    results += [destination(instruction, context.carry, PRED)] if writes_carry else []

    def compute(a: Array, b: Array, c: Array, carry: Any = False) -> Any:
        left = np.asarray(product(a, b)).view(unsigned.dtype)
        first = left + np.asarray(c).view(unsigned.dtype)
        value = first + np.asarray(carry).astype(unsigned.dtype)
        return (value, (first < left) | (value < first)) if writes_carry else value

    return pure(instruction, compute, results, inputs)


def multiply_or_carry(context: Context, instruction: Instruction) -> Action:
    if "cc" in instruction.parts or instruction.mnemonic == "madc":
        return multiply_carry(context, instruction)
    return multiply(context, instruction)


def szext(context: Context, instruction: Instruction) -> Action:
    """Sign- or zero-extend from a run-time bit position (PTX ISA, "szext")."""
    m = Modifiers(instruction)
    wrap = m.need("wrap", "clamp") == "wrap"
    kind = m.last_type()
    m.finish()

    def compute(x: Array, n: Array) -> Array:
        length = (n & np.uint32(31)) if wrap else np.minimum(n, np.uint32(32))
        return bits.extract_field(x, np.zeros_like(length), length, 32)

    return simple(context, instruction, compute, kind, [kind, U32])


def bmsk(context: Context, instruction: Instruction) -> Action:
    """A mask of ``b`` ones starting at bit ``a`` (PTX ISA, "bmsk")."""
    m = Modifiers(instruction)
    wrap = m.need("wrap", "clamp") == "wrap"
    kind = m.last_type()
    m.finish()

    def compute(a: Array, b: Array) -> Array:
        start = (a & np.uint32(31)) if wrap else np.minimum(a, np.uint32(32))
        count = (b & np.uint32(31)) if wrap else np.minimum(b, np.uint32(32))
        ones = (np.uint64(1) << count.astype(np.uint64)) - np.uint64(1)
        return (ones << start.astype(np.uint64)).astype(np.uint32)

    return simple(context, instruction, compute, kind, [kind, kind])


TABLE: dict[str, Decoder] = {
    "rem": binary,
    "and": binary,
    "or": binary,
    "xor": binary,
    "not": unary,
    "cnot": cnot,
    "addc": carry_arithmetic,
    "subc": carry_arithmetic,
    "madc": multiply_carry,
    "mul24": multiply24,
    "mad24": multiply24,
    "shl": shift,
    "shr": shift,
    "shf": funnel,
    "lop3": lop3,
    "bfe": bit_field,
    "bfi": bit_field,
    "popc": bit_count,
    "clz": bit_count,
    "brev": bit_count,
    "bfind": bit_count,
    "prmt": prmt,
    "sad": sad,
    "dp4a": dp4a,
    "szext": szext,
    "bmsk": bmsk,
}
"""Mnemonics that only take integers; ``ops_arithmetic`` splits the shared ones by type."""

SHARED: dict[str, Decoder] = {
    "add": add_or_carry,
    "sub": add_or_carry,
    "min": binary,
    "max": binary,
    "div": binary,
    "neg": unary,
    "abs": unary,
    "mul": multiply,
    "mad": multiply_or_carry,
}
