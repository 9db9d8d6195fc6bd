"""Owns what identifies this compiler: its version, a digest of its own files, and the versions of the tools it uses."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

import tilewright

SOURCE_FOLDERS = ("compiler", "dialect", "passes", "runtime")
SOURCE_SUFFIXES = (".py", ".lark", ".tw")
TOOLS = ("numba-cuda-mlir", "llvmlite", "lark", "nvidia-cuda-nvcc")


@cache
def source_digest() -> str:
    """SHA-256 over the package's own files: a change of the compiler is a change of every cache key."""
    root = Path(tilewright.__file__).parent
    digest = hashlib.sha256()
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


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
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
