"""Owns the errors for a valid kernel that asks its target for what it has no code (TW0902) or no place (TW0611) for.

Or for more than the target has (TW0612).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.span import Span
from tilewright.compiler.language.typed import TypedKernel
from tilewright.dialect.faults import ExceedsTarget, Unsupported
from tilewright.passes.tile.written import Setting

CODE = "TW0902"
REMEDY = "`--target cpu` compiles it, and `--device reference` evaluates it"
_PLACE = re.compile(r'"?([^"(\s]+)"?:(\d+):(\d+)')


def refusal(lacking: Unsupported, kernel: TypedKernel, target: str) -> SourceErrors:
    """The error at the place that asked for it, or at the kernel where the place lies in another file."""
    message = f"{lacking.what} is not compiled for {target} yet: {REMEDY}"
    return SourceErrors([Diagnostic(CODE, _span(lacking.place, kernel.span), message)])


def unused(settings: Sequence[Setting], kernel: TypedKernel, target: str) -> SourceErrors:
    """The errors at the settings of the schedule block for ``target`` that no launch has a place for."""
    written = [item for name, block in kernel.schedules if name == target for item in block]
    lost = [item for item in written if Setting(item.key, item.value) in settings]
    message = f"no launch for {target} has a place for this setting"
    return SourceErrors([Diagnostic("TW0611", item.span, message) for item in lost])


def oversized(excess: ExceedsTarget, kernel: TypedKernel, target: str) -> SourceErrors | None:
    """The error at the setting that most likely asks for too much; None where no schedule block was written."""
    written = [item for name, block in kernel.schedules if name == target for item in block]
    if not written:
        return None
    asked = next((item for item in written if (item.key[0] == "warps") == (excess.what == "threads")), written[0])
    expected, found = f"at most {excess.most:,} {excess.what}", f"{excess.needed:,}"
    message = f"this schedule asks for more than {target} has"
    return SourceErrors([Diagnostic("TW0612", asked.span, message, expected, found)])


def _span(place: str, kernel: Span) -> Span:
    for file, line, column in _PLACE.findall(place):
        if file == kernel.source.name:
            return Span(kernel.source, int(line), int(column), int(line), int(column) + 1)
    return kernel
