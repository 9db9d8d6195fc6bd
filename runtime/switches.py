"""Owns every environment switch: its name, type, default, meaning, and whether it changes generated code.

``read`` makes one frozen ``Switches`` from an environment; nothing else in the package looks at ``os.environ`` for a
switch of its own. (``dialect/mlir.py`` reads ``TILEWRIGHT_MLIR`` itself, because the dialects import none of our
packages; the row here documents it and puts it into the cache key.) ``docs/switches.md`` is this table as a page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tilewright.runtime.errors import CallError


def _flag(text: str) -> bool:
    values = {"1": True, "on": True, "true": True, "yes": True, "0": False, "off": False, "false": False, "no": False}
    return values[text.lower()]


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _mlir(text: str) -> str:
    if text not in ("", "mlir"):
        raise ValueError(text)
    return text


@dataclass(frozen=True)
class Switch:
    """What is known of one switch; ``parse`` raises ``KeyError`` or ``ValueError`` on a bad text."""

    variable: str
    parse: Callable[[str], Any]
    values: str
    meaning: str
    in_cache_key: bool


def _switch(
    default: Any, variable: str, parse: Callable[[str], Any], values: str, meaning: str, *, in_cache_key: bool = False
) -> Any:
    row = Switch(f"TILEWRIGHT_{variable}", parse, values, meaning, in_cache_key)
    return field(default=default, metadata={"switch": row})


@dataclass(frozen=True)
class Switches:
    """The switches of one process or one compilation; the defaults are what an empty environment means."""

    cache: bool = _switch(True, "CACHE", _flag, "on, off", "keep compiled kernels on disk")
    cache_dir: Path | None = _switch(
        None, "CACHE_DIR", Path, "a folder", "where they are kept; default: the user's cache folder"
    )
    cache_bytes: int = _switch(
        1 << 30, "CACHE_BYTES", _count, "bytes", "size at which the least recently used entries are dropped"
    )
    threads: int = _switch(
        0, "THREADS", _count, "a count", "threads that run the cells of a CPU launch; 0: as many as there are cores"
    )
    crash_dir: Path | None = _switch(
        None, "CRASH_DIR", Path, "a folder", "where internal faults leave their folder; default: beside the cache"
    )
    verify_passes: bool = _switch(
        False, "VERIFY_PASSES", _flag, "on, off", "run the IR before and after each pass on small data and compare"
    )
    check: bool = _switch(False, "CHECK", _flag, "on, off", "check gathers on the GPU as well", in_cache_key=True)
    cpu: str = _switch(
        "", "CPU", str, "an LLVM CPU name", "generate for this CPU instead of the host's", in_cache_key=True
    )
    cpu_features: str = _switch(
        "", "CPU_FEATURES", str, "LLVM features", "with CPU: the features, as `+avx2,-avx512f`", in_cache_key=True
    )
    ptxas: Path | None = _switch(
        None, "PTXAS", Path, "a path", "the PTX assembler; default: the installed wheel's, then PATH", in_cache_key=True
    )
    mlir: str = _switch(
        "",
        "MLIR",
        _mlir,
        "mlir",
        "take MLIR from the official wheel, not the pinned one (`dialect/mlir.py`)",
        in_cache_key=True,
    )

    def cache_key(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each switch that changes generated code."""
        rows = ((row.variable, getattr(self, name)) for name, row in table().items() if row.in_cache_key)
        return tuple((variable, str(value)) for variable, value in rows)


def table() -> dict[str, Switch]:
    """Field name to row, in the order of the documentation."""
    return {item.name: item.metadata["switch"] for item in fields(Switches)}


def read(environ: Mapping[str, str] = os.environ) -> Switches:
    """The switches that ``environ`` sets; a bad value or an unknown ``TILEWRIGHT_`` name is a ``CallError`` TW1204."""
    rows = table()
    unknown = {name for name in environ if name.startswith("TILEWRIGHT_")} - {row.variable for row in rows.values()}
    if unknown:
        raise CallError(
            "TW1204", f"unknown switch {min(unknown)}", expected=", ".join(row.variable for row in rows.values())
        )
    return Switches(
        **{name: _value(row, environ[row.variable]) for name, row in rows.items() if row.variable in environ}
    )


def _value(row: Switch, text: str) -> Any:
    try:
        return row.parse(text)
    except (KeyError, ValueError) as cause:
        raise CallError("TW1204", f"bad value for {row.variable}", expected=row.values, found=repr(text)) from cause


def documentation() -> str:
    """The page ``docs/switches.md``."""
    defaults = Switches()
    lines = [
        "# Environment switches",
        "",
        "Written by `python -m tilewright.runtime.switches > docs/switches.md`; the source is `runtime/switches.py`.",
        "A switch that changes generated code is part of the cache key, so that no stale code is ever loaded.",
        "",
        "| variable | values | default | meaning | in the cache key |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in table().items():
        default, key = _shown(getattr(defaults, name)), "yes" if row.in_cache_key else "no"
        lines.append(f"| `{row.variable}` | {row.values} | {default} | {row.meaning} | {key} |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value in (None, "") else str(value)


if __name__ == "__main__":
    print(documentation(), end="")
