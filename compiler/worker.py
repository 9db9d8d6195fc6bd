"""Owns compiling apart: a child process that is kept warm, with limits on time and memory.

MLIR, LLVM and ptxas can end a process; here they end a child, and the caller gets an error. The child is started fresh
(never forked) and speaks over its pipes: a job goes in, an artifact or an error comes back. What comes back is decoded
by an unpickler that knows a short list of classes, so a child that was taken over cannot reach further.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import io
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
from typing import Any, BinaryIO

from tilewright.compiler.jobs import Job, artifact_of
from tilewright.compiler.sources import from_text
from tilewright.runtime import artifact as artifacts
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.errors import TilewrightError, rebuild
from tilewright.runtime.switches import Switches

SECONDS = 120.0
MEMORY_BYTES = 4 << 30
REQUESTS = 200  # jobs after which a child is replaced
_SIZE = struct.Struct("<Q")
_TRUSTED = ("tilewright.compiler.language.", "tilewright.runtime.errors", "tilewright.compiler.jobs",
            "tilewright.dialect.faults", "tilewright.compiler.worker")  # fmt: skip
_PLAIN = {("builtins", name) for name in ("dict", "list", "tuple", "str", "int", "float", "bool", "set", "frozenset")}
_PATHS = {("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath")}


class WorkerFailed(TilewrightError):
    """The child died, or used more time or memory than it may: TW1205."""


def compile_apart(job: Job, switches: Switches, seconds: float = SECONDS) -> Artifact:
    """``jobs.artifact_of`` in the child; the same errors, and ``WorkerFailed``."""
    answer = shared().ask(
        (job.program.source.text, job.program.source.name, job.program.folder, _bare(job), switches), seconds
    )
    if isinstance(answer, BaseException):
        raise answer
    return artifacts.from_bytes(answer)


def _bare(job: Job) -> dict[str, Any]:
    """The job without its loaded module: the child reads the text again."""
    names = ("kernel", "instance", "target", "layouts", "dims", "settings")
    return {name: getattr(job, name) for name in names}


class Worker:
    """One child at a time; requests from several threads wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def ask(self, request: Any, seconds: float) -> Any:
        """The child's answer; the child is replaced where it fails."""
        with self._lock:
            child = self._running()
            try:
                _write(child.stdin, pickle.dumps(request))
                return _decode(_read_within(child, seconds))
            except (OSError, EOFError, TimeoutError) as cause:
                reason = str(cause) or f"it ended with status {child.wait(5)}"
                self.stop()
                raise WorkerFailed("TW1205", f"the compiler process failed: {reason}",
                                   remedy="make the kernel smaller, or report this source") from cause  # fmt: skip

    def _running(self) -> subprocess.Popen[bytes]:
        self._asked += 1
        if self._child is not None and (self._child.poll() is not None or self._asked > REQUESTS):
            self.stop()
        if self._child is None:
            self._child = _start()
        return self._child

    def stop(self) -> None:
        """End the child, if there is one."""
        child, self._child, self._asked = self._child, None, 0
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        child.wait()


def _start() -> subprocess.Popen[bytes]:
    """A fresh interpreter; ``-P`` keeps the current folder off its module path."""
    command = [sys.executable, "-P", "-m", "tilewright.compiler.worker"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _read_within(child: subprocess.Popen[bytes], seconds: float) -> bytes:
    """One message of the child; ``TimeoutError`` where it takes longer, ``EOFError`` where it died."""
    stream = child.stdout
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], seconds)
    if not ready:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return _read(stream)


def _write(stream: Any, data: bytes) -> None:
    stream.write(_SIZE.pack(len(data)) + data)
    stream.flush()


def _read(stream: Any) -> bytes:
    header = stream.read(_SIZE.size)
    if len(header) < _SIZE.size:
        raise EOFError
    (size,) = _SIZE.unpack(header)
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


class _Unpickler(pickle.Unpickler):
    """Knows plain values, and this package's own records and errors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN | _PATHS:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith(_TRUSTED) and name.isidentifier() else None
        if found is rebuild or _is_record(found, module):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not expected from the compiler process")


def _is_record(found: Any, module: str) -> bool:
    if not isinstance(found, type) or found.__module__ != module:
        return False
    return issubclass(found, BaseException) or dataclasses.is_dataclass(found)


def _decode(data: bytes) -> Any:
    return _Unpickler(io.BytesIO(data)).load()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """The child: answer until the pipe is closed."""
    _limit_memory()
    while True:
        try:
            request = pickle.loads(_read(requests))
        except EOFError:
            return
        _write(answers, _answer(request))


def _answer(request: Any) -> bytes:
    text, name, folder, parts, switches = request
    try:
        result: Any = artifact_of(Job(from_text(text, name, folder), **parts), switches).to_bytes()
    except MemoryError:
        result = WorkerFailed("TW1205", f"the compiler needs more than {MEMORY_BYTES >> 30} GiB")
    except Exception as error:
        result = _sendable(error)
    return pickle.dumps(result)


def _sendable(error: Exception) -> Exception:
    """The error itself where the parent can decode it, else one that tells of it."""
    try:
        _decode(pickle.dumps(error))
        return error
    except Exception:
        return WorkerFailed("TW1205", f"{type(error).__name__}: {error}")


@functools.cache
def shared() -> Worker:
    """The process's worker; its child ends with the process."""
    worker = Worker()
    atexit.register(worker.stop)
    return worker


if __name__ == "__main__":
    # The answers go out on the real stdout; whatever else is printed goes to stderr.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, pipe)
