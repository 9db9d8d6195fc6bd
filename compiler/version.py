"""Owns what identifies this compiler: its version, a digest of its own files, and the versions of the tools it uses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from importlib import metadata

import tilewright

SOURCE_FOLDERS = ("compiler", "dialect", "passes", "runtime")
LEFT_OUT = frozenset({"emulator", "cli", "reference", "catalogue", "mistakes", "__pycache__"})
"""Folders that say what code means, or what is wrong with a text, and never change what is made of it."""
SOURCE_SUFFIXES = (".py", ".lark", ".tw")
TOOLS = ("numba-cuda-mlir", "llvmlite", "lark", "nvidia-cuda-nvcc")
VERSION = "Version: "
"""How a package states its version. (``metadata.version`` parses all that it states, as if it were an e-mail.)"""


@cache
def source_digest() -> str:
    """SHA-256 over the files that code depends on: a change of the compiler is a change of every cache key."""
    root = os.path.dirname(tilewright.__file__)
    stream = bytearray()
    for path in _sources(root):
        with open(path, "rb", buffering=0) as file:
            stream += f"{path.removeprefix(root)}\0".encode() + file.read() + b"\0"
    return hashlib.sha256(stream).hexdigest()


def _sources(root: str) -> Iterator[str]:
    """The files that code depends on, in one order. (``pathlib`` takes twice as long, in every process.)"""
    for folder in SOURCE_FOLDERS:
        for at, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            yield from (os.path.join(at, name) for name in sorted(names) if name.endswith(SOURCE_SUFFIXES))


@cache
def versions() -> dict[str, str]:
    """Name to version of this package and of the tools; ``absent`` where one is not installed."""
    return {
        "tilewright": tilewright.__version__,
        "sources": source_digest()[:16],
        **{tool: _tool(tool) for tool in TOOLS},
    }


def _tool(name: str) -> str:
    try:
        lines = (metadata.distribution(name).read_text("METADATA") or "").splitlines()
    except metadata.PackageNotFoundError:
        return "absent"
    stated = (line.removeprefix(VERSION) for line in lines if line.startswith(VERSION))
    return next(stated, None) or metadata.version(name)
