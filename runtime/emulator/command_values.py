"""What ``tilewright emulate --arg`` takes: arrays, scalars, NumPy files and tensor maps written as text."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator.arguments import Uninitialised
from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.tensormap import TensorMap

HELP = """\
arguments, one --arg per kernel parameter, in order:
  f32[64,128]=random   an array behind a pointer; after = stands random (seeded), arange, zeros, ones, a number,
                       or empty (reading what the kernel did not write is a fault)
  f32[64,128]@x.npy    an array from a NumPy file, converted and reshaped; bf16 and fp8 have no .npy type of their own
  x.npy                the same, with the type and shape of the file
  i32=7  f32=0.5       a scalar
  null                 a null pointer
  hex:00ff10           the bytes of a parameter that is passed by value
  map:f16[128,64]=random:box=64x64:swizzle=128:fill=nan:steps=1x1
                       a tensor map (TMA) over such an array; the box is inner-first, as in cuTensorMapEncodeTiled
types: {types}"""

DTYPES: dict[str, Any] = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "bf16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
}
ARGUMENT = re.compile(r"(?P<type>[a-z]\w*)(?:\[(?P<shape>\d+(?:,\d+)*)\])?(?:=(?P<value>[^@]+)|@(?P<file>.+))?$")
BYTES_LIMIT = 1 << 34
MAP_OPTIONS = ("box", "swizzle", "fill", "steps")
Array = np.ndarray[Any, Any]


def parse_argument(text: str, seed: int) -> Any:
    """One ``--arg`` as an array, a scalar, bytes, None or a tensor map.

    Raises:
        LaunchError: saying what is wrong with the text.
    """
    try:
        return _parse(text, seed)
    except (ValueError, OverflowError, OSError) as error:
        raise LaunchError(f"argument `{text}`: {error}") from None


def _parse(text: str, seed: int) -> Any:
    if text == "null":
        return None
    if text.startswith("map:"):
        return _tensor_map(text[4:], seed)
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    if text.endswith(".npy") and "@" not in text:
        return _loaded(text)
    match = ARGUMENT.match(text)
    if match is None or match["type"] not in DTYPES:
        raise ValueError(f"expected TYPE=NUMBER, TYPE[SHAPE]=FILL, TYPE[SHAPE]@FILE or FILE.npy; types are {types()}")
    kind = np.dtype(DTYPES[match["type"]])
    if match["shape"] is None:
        if match["value"] is None:
            raise ValueError("a scalar needs a value, as in i32=7; an array needs a shape, as in f32[16]=zeros")
        return _number(match["value"], kind)
    shape = tuple(int(extent) for extent in match["shape"].split(","))
    if math.prod(shape) * kind.itemsize > BYTES_LIMIT:
        raise ValueError(f"more than {BYTES_LIMIT >> 30} GiB")
    if match["file"]:
        return np.ascontiguousarray(_loaded(match["file"]).astype(kind).reshape(shape))
    return _filled(match["value"] or "zeros", shape, kind, seed)


def types() -> str:
    """The names of the element types, for messages."""
    return ", ".join(DTYPES)


def _loaded(name: str) -> Array:
    return np.ascontiguousarray(np.load(Path(name), allow_pickle=False))


def _number(text: str, kind: np.dtype[Any]) -> Any:
    if kind.kind not in "iu":
        return kind.type(float(text))
    value, limits = int(text, 0), np.iinfo(kind)
    if not limits.min <= value <= limits.max:
        raise ValueError(f"{value} does not fit {limits.bits} bits")
    return kind.type(value)


def _filled(fill: str, shape: tuple[int, ...], kind: np.dtype[Any], seed: int) -> Any:
    """A new array; ``random`` is normal for floats, 0 to 99 for integers."""
    if fill == "empty":
        return Uninitialised(np.zeros(shape, kind))
    if fill == "random":
        rng = np.random.default_rng(seed)
        return (rng.integers(0, 100, shape) if kind.kind in "iu" else rng.normal(size=shape)).astype(kind)
    if fill == "arange":
        return np.arange(math.prod(shape)).reshape(shape).astype(kind)
    words = {"zeros": "0", "ones": "1"}
    try:
        return np.full(shape, _number(words.get(fill, fill), kind), kind)
    except ValueError:
        raise ValueError(f"`{fill}` is not random, arange, zeros, ones, empty or a number that fits") from None


def _tensor_map(text: str, seed: int) -> TensorMap:
    description, *rest = text.split(":")
    options: dict[str, str] = {}
    for piece in rest:
        name, _, value = piece.partition("=")
        options[name] = value
    unknown = set(options) - set(MAP_OPTIONS)
    if unknown or "box" not in options:
        raise ValueError(f"a tensor map needs :box=AxB and may have {', '.join(MAP_OPTIONS[1:])}")
    array = _parse(description, seed)
    if not isinstance(array, np.ndarray):
        raise ValueError("a tensor map needs an array with a shape and contents")
    fills = {"nan": 1, "zeros": 0, "1": 1, "0": 0}
    if options.get("fill", "0") not in fills:
        raise ValueError("fill is zeros or nan")
    return TensorMap.tiled(
        array,
        _extents(options["box"]),
        swizzle=int(options.get("swizzle", 0)),
        element_strides=_extents(options["steps"]) if "steps" in options else None,
        fill=fills[options.get("fill", "0")],
    )


def _extents(text: str) -> tuple[int, ...]:
    return tuple(int(extent) for extent in text.split("x"))


def array_of(argument: Any) -> Array | None:
    """The array of an argument that has one: what a kernel may have written."""
    inner = argument.array if isinstance(argument, TensorMap | Uninitialised) else argument
    return inner if isinstance(inner, np.ndarray) else None
