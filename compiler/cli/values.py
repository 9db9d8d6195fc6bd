"""Owns what ``--arg`` takes: generators such as ``randn:f32[4096,1024]``, NumPy files, and plain scalars."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime.dtypes import DTYPES, numpy_dtype
from tilewright.runtime.errors import CallError

Generator = np.random.Generator
Array = np.ndarray[Any, Any]
ELEMENT_LIMIT = 1 << 31  # elements that one generated tensor may have

GENERATORS: Mapping[str, Callable[[Generator, tuple[int, ...]], Array]] = {
    "randn": lambda generator, shape: generator.standard_normal(shape),
    "rand": lambda generator, shape: generator.random(shape),
    "randint": lambda generator, shape: generator.integers(-8, 9, shape),
    "index": lambda generator, shape: generator.integers(0, max(1, shape[-1] if shape else 1), shape),
    "zeros": lambda generator, shape: np.zeros(shape),
    "ones": lambda generator, shape: np.ones(shape),
    "arange": lambda generator, shape: np.arange(int(np.prod(shape))).reshape(shape),
}
_TENSOR = re.compile(r"(\w+)(?:\((-?\d+),\s*(-?\d+)\))?:(\w+)\[([\d,\s]*)\]")


def parse_arguments(texts: Sequence[str], seed: int) -> dict[str, Any]:
    """Name to value of ``NAME=VALUE`` texts (TW1208 for one that cannot be read).

    Generated data depends on ``seed`` and on the argument's name alone.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise _bad(text, "NAME=VALUE")
        values[name] = parse_value(value, np.random.default_rng([seed, zlib.crc32(name.encode())]), text)
    return values


def parse_value(value: str, generator: Generator, text: str) -> Any:
    """A tensor (generator or file), a number, a bool, or a word (a type)."""
    if match := _TENSOR.fullmatch(value):
        return _generated(match, generator, text)
    if value.partition(":")[0].endswith((".npy", ".npz")):
        return _from_file(value, text)
    if value in ("true", "false", "True", "False"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    if value.isidentifier():
        return value
    raise _bad(text, "a generator like randn:f32[64,128], a .npy or .npz file, or a number")


def _generated(match: re.Match[str], generator: Generator, text: str) -> Array:
    name, low, high, dtype, sizes = match.groups()
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    if dtype not in DTYPES or name not in GENERATORS or (low is not None and name != "randint"):
        raise _bad(text, f"one of {', '.join(GENERATORS)} and one of {', '.join(DTYPES)}")
    count = 1
    for extent in shape:
        count *= extent
    if count > ELEMENT_LIMIT:
        raise _bad(text, f"at most {ELEMENT_LIMIT} elements")
    data = generator.integers(int(low), int(high), shape) if low is not None else GENERATORS[name](generator, shape)
    bound = DTYPES[dtype].bound
    if bound is not None:
        data = np.clip(data, *bound)
    return np.asarray(data).astype(numpy_dtype(dtype))


def _from_file(value: str, text: str) -> Array:
    """``x.npy``, ``x.npz:name``, or ``x.npz`` with one array; pickled data is refused."""
    path, _, member = value.partition(":")
    try:
        loaded = np.load(Path(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        names = list(loaded.files)
        if not member and len(names) == 1:
            member = names[0]
        if member not in names:
            raise _bad(text, f"{path}:NAME with NAME one of {', '.join(names)}")
        return np.asarray(loaded[member])
    except (OSError, ValueError, EOFError) as cause:
        raise CallError("TW1208", f"cannot read {path}: {cause}", argument=text) from cause


def parse_pairs(texts: Sequence[str], what: str) -> dict[str, str]:
    """Name to text of ``NAME=VALUE`` options such as ``--type T=f32``."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise _bad(text, f"{what} NAME=VALUE")
        pairs[name] = value
    return pairs


def parse_dims(texts: Sequence[str]) -> dict[str, int]:
    """``N=1024``: a size, not negative."""
    dims = {}
    for name, value in parse_pairs(texts, "--dim").items():
        if not value.isdecimal():
            raise _bad(f"{name}={value}", "--dim NAME=SIZE")
        dims[name] = int(value)
    return dims


def parse_consts(texts: Sequence[str]) -> dict[str, Any]:
    return {
        name: parse_value(value, np.random.default_rng(0), f"{name}={value}")
        for name, value in parse_pairs(texts, "--const").items()
    }


def _bad(text: str, expected: str) -> CallError:
    return CallError("TW1208", f"cannot read {text!r}", argument=text, expected=expected)
