"""Owns reading a source from a file: bounded, UTF-8 only, with the same structured errors as its syntax."""

from __future__ import annotations

from pathlib import Path

from tilewright.compiler.language import limits
from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.span import Source

BYTES_PER_CHARACTER = 4
CODE = "TW0128"


def read_source(path: str | Path) -> Source:
    """The source in the file ``path``.

    Raises:
        OSError: there is no such file, or it may not be read. SourceErrors: it is no regular file of UTF-8 text.
    """
    name, place = str(path), Path(path)
    if place.exists() and not place.is_file():  # never opened: a pipe would block
        raise _refused(name, "this is no regular file")
    with place.open("rb") as stream:
        raw = stream.read(limits.SOURCE_CHARACTERS * BYTES_PER_CHARACTER + 1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > limits.SOURCE_CHARACTERS:  # cut in the middle of a character: too long in any case
            return Source(name, raw.decode("utf-8", "replace"))
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refused(name, f"the file is not UTF-8 text: byte {raw[error.start]:#04x} in line {line}") from error
    return Source(name, text)


def _refused(name: str, message: str) -> SourceErrors:
    return SourceErrors([Diagnostic(CODE, Source(name, "").span(0, 0), message)])
