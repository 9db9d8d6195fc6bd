"""Owns the error for a valid kernel that needs what its target has no code for (TW0902)."""

from __future__ import annotations

import re

from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.span import Span
from tilewright.compiler.language.typed import TypedKernel
from tilewright.dialect.faults import Unsupported

CODE = "TW0902"
REMEDY = "`--target cpu` compiles it, and `--device reference` evaluates it"
_PLACE = re.compile(r'"?([^"(\s]+)"?:(\d+):(\d+)')


def refusal(lacking: Unsupported, kernel: TypedKernel, target: str) -> SourceErrors:
    """The error at the place that asked for it, or at the kernel where the place lies in another file."""
    message = f"{lacking.what} is not compiled for {target} yet: {REMEDY}"
    return SourceErrors([Diagnostic(CODE, _span(lacking.place, kernel.span), message)])


def _span(place: str, kernel: Span) -> Span:
    for file, line, column in _PLACE.findall(place):
        if file == kernel.source.name:
            return Span(kernel.source, int(line), int(column), int(line), int(column) + 1)
    return kernel
