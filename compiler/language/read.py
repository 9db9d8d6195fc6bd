"""Owns reading a source from a file: bounded, UTF-8 only, with the same structured errors as its syntax."""

from __future__ import annotations

from pathlib import Path

from tilewright.compiler.language import limits
from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.span import Source

BYTES_PER_CHARACTER = 4
CODE = "TW0128"


def read_source(path: str | Path) -> Source:
    """The source in the file ``path``; raises ``SourceErrors`` for what is no regular file of UTF-8 text."""
    name = str(path)
    try:
        if not Path(path).is_file():
            raise _refused(name, "there is no such file" if not Path(path).exists() else "this is no regular file")
        with Path(path).open("rb") as stream:
            raw = stream.read(limits.SOURCE_CHARACTERS * BYTES_PER_CHARACTER + 1)
    except OSError as error:
        raise _refused(name, f"the file cannot be read: {error.strerror}") from error
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
