"""Owns keeping compiled kernels: in memory (one compilation per key, whatever the threads) and on disk.

A disk entry is one self-describing file: magic, lengths, a SHA-256 over key and payload, the full key text, payload.
It is written beside its place and moved there in one step, and everything is verified on each load; an entry that does
not verify is removed and counts as absent. There are no locks on disk, so no dead process can hold one. A folder that
others could write to is not used, and a disk that is full or read-only only means that nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import struct
import time
import warnings
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

MAGIC = b"tilewright cache 1\n"
SUFFIX = ".entry"
STALE_TEMPORARY_SECONDS = 3600
_HEADER = struct.Struct("<QQ32s")  # length of the key, length of the payload, digest

Made = TypeVar("Made")


class CacheWarning(UserWarning):
    """The disk cache is not used, and why."""


class Memo(Generic[Made]):
    """Results by key; threads that ask for a key that is being made wait for it instead of making it again.

    There is no lock: ``dict.setdefault`` is atomic. A maker that vanished in a fork is told apart by its process id.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[int, Future[Made]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get_or_make(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The result for ``key``; an exception of ``make`` reaches all who wait, and the next call tries again."""
        mine: tuple[int, Future[Made]] = (os.getpid(), Future())
        entry = self._entries.setdefault(key, mine)
        if entry is not mine and entry[0] != os.getpid() and not entry[1].done():
            self._entries[key] = entry = mine
        if entry is not mine:
            return entry[1].result()
        return self._make(key, mine[1], make)

    def _make(self, key: Hashable, future: Future[Made], make: Callable[[], Made]) -> Made:
        try:
            result = make()
        except BaseException as error:
            self._entries.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(result)
        return result


@dataclass(frozen=True)
class DiskCache:
    """Entries in ``folder``, at most about ``limit`` bytes of them; the least recently used ones go first."""

    folder: Path
    limit: int = 1 << 30

    def load(self, key: str) -> bytes | None:
        """The payload stored for ``key``, or None."""
        path = self._path(key)
        if not self._folder_is_safe():
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        payload = unpack(data, key)
        if payload is None:
            _remove(path)
            return None
        _touch(path)
        return payload

    def store(self, key: str, payload: bytes) -> bool:
        """Keep ``payload`` under ``key``; False if the disk does not let us."""
        if not self._folder_exists() or not self._folder_is_safe():
            return False
        path = self._path(key)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        try:
            _write_private(temporary, pack(key, payload))
            os.replace(temporary, path)
        except OSError:
            _remove(temporary)
            return False
        self._tidy()
        return True

    def entries(self) -> list[Path]:
        """The entry files, least recently used first."""
        try:
            found = [(item.stat().st_mtime, item) for item in self.folder.glob(f"*{SUFFIX}")]
        except OSError:
            return []
        return [item for _, item in sorted(found)]

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + SUFFIX)

    def _folder_exists(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return False
        return True

    def _folder_is_safe(self) -> bool:
        """Whether nobody else can put code there: an entry is code that we run."""
        try:
            status = self.folder.stat()
        except OSError:
            return False
        shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or shared):
            warnings.warn(
                f"compiled kernels are not kept: {self.folder} belongs to someone else or others may write to it "
                "(chmod 700, or set TILEWRIGHT_CACHE_DIR)",
                CacheWarning,
                stacklevel=2,
            )
            return False
        return True

    def _tidy(self) -> None:
        """Drop temporary files that a killed process left, and entries beyond the limit."""
        now = time.time()
        for temporary in self.folder.glob(".*.tmp"):
            if now - _modified(temporary, now) > STALE_TEMPORARY_SECONDS:
                _remove(temporary)
        sizes = [(path, _size(path)) for path in self.entries()]
        excess = sum(size for _, size in sizes) - self.limit
        for path, size in sizes[:-1]:
            if excess <= 0:
                return
            _remove(path)
            excess -= size


def pack(key: str, payload: bytes) -> bytes:
    """The bytes of an entry."""
    text = key.encode()
    return MAGIC + _HEADER.pack(len(text), len(payload), _digest(text, payload)) + text + payload


def unpack(data: bytes, key: str) -> bytes | None:
    """The payload of an entry for ``key``; None if one bit of it is not as ``pack`` wrote it."""
    start = len(MAGIC) + _HEADER.size
    if len(data) < start or not data.startswith(MAGIC):
        return None
    key_size, payload_size, digest = _HEADER.unpack(data[len(MAGIC) : start])
    text, payload = data[start : start + key_size], data[start + key_size :]
    if len(payload) != payload_size or text != key.encode() or digest != _digest(text, payload):
        return None
    return payload


def _digest(text: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<Q", len(text)) + text + payload).digest()


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return


def _modified(path: Path, otherwise: float) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return otherwise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
