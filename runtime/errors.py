"""Owns the errors of running a compiled kernel: what is wrong with a call, with an artifact, or with a device.

A ``CallError`` is the caller's to repair and is raised before anything runs. ``DeviceError`` and ``RuntimeFault`` are
not: the first names a machine that cannot run the code, the second a broken promise inside this package.
"""

from __future__ import annotations


class TilewrightError(Exception):
    """Base of every error with a code; ``str()`` gives code, message, expected, found and remedy on lines of their own.

    The parts are attributes, so that a program can act on them. Instances survive pickling (they cross processes).
    """

    def __init__(self, code: str, message: str, *, expected: str = "", found: str = "", remedy: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.expected = expected
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.code}: {self.message}"]
        named = (("expected", self.expected), ("found", self.found), ("remedy", self.remedy))
        return "\n".join(parts + [f"  {name}: {text}" for name, text in named if text])

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (type(self), self.code, self.message, self.__dict__)


class CallError(TilewrightError, ValueError):
    """A call that cannot be made; ``argument`` names the one at fault ("" for the call as a whole)."""

    def __init__(
        self, code: str, message: str, *, argument: str = "", expected: str = "", found: str = "", remedy: str = ""
    ) -> None:
        super().__init__(code, message, expected=expected, found=found, remedy=remedy)
        self.argument = argument


class RunError(TilewrightError, IndexError):
    """A check inside the running kernel failed: a gather left its tensor; ``site`` says which one."""

    def __init__(self, code: str, message: str, *, site: str = "", remedy: str = "") -> None:
        super().__init__(code, message, remedy=remedy)
        self.site = site


class ArtifactError(TilewrightError):
    """A ``.twk`` file that cannot be used: damaged, of another version, or for another machine."""


class DeviceError(TilewrightError):
    """The device or its driver is missing, or refused."""


class DeviceLost(DeviceError):
    """The device's context is poisoned: every later call in this process would fail, so none is made."""


class RuntimeFault(RuntimeError):
    """A broken promise inside the run-time part: never the caller's fault, always worth a report."""


def rebuild(kind: type[TilewrightError], code: str, message: str, state: dict[str, object]) -> TilewrightError:
    """An error as it was before it was pickled."""
    error = kind(code, message)
    error.__dict__.update(state)
    return error
