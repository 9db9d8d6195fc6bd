"""The caches: one compilation per key, nothing invalid is ever loaded, a killed writer leaves no harm."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tilewright.runtime.cache import CacheWarning, DiskCache, Memo, pack, unpack

WRITER = """
import random, sys
from pathlib import Path
from tilewright.runtime.cache import DiskCache
cache = DiskCache(Path(sys.argv[1]))
generator = random.Random(int(sys.argv[2]))
while True:
    cache.store("key", bytes([generator.randrange(256)]) * generator.randrange(1, 400_000))
"""


def test_round_trip(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    assert cache.load("k") is None
    assert cache.store("k", b"payload") and cache.load("k") == b"payload"
    assert cache.load("other") is None
    assert cache.store("k", b"newer") and cache.load("k") == b"newer"
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_every_corruption_is_a_miss_and_removes_the_entry(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.store("key", b"payload" * 40)
    (path,) = cache.entries()
    good = path.read_bytes()
    generator = random.Random(5)
    bad = [good[:size] for size in range(0, len(good), 7)] + [bytes(len(good)), good + b"x", pack("other", b"x")]
    for _ in range(300):
        place = generator.randrange(len(good))
        bad.append(good[:place] + bytes([good[place] ^ 1 << generator.randrange(8)]) + good[place + 1 :])
    for data in bad:
        path.write_bytes(data)
        assert cache.load("key") is None
        assert not path.exists()


def test_key_and_payload_cannot_be_shifted_into_each_other() -> None:
    assert unpack(pack("ab", b"c"), "ab") == b"c"
    assert unpack(pack("a", b"bc"), "ab") is None


def test_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = DiskCache(folder)
    cache.store("k", b"v")
    folder.chmod(0o777)
    with pytest.warns(CacheWarning, match="others may write"):
        assert cache.load("k") is None
    with pytest.warns(CacheWarning):
        assert not cache.store("k", b"v")


def test_no_place_to_write_means_no_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    cache = DiskCache(blocked / "cache")
    assert not cache.store("k", b"v")
    assert cache.load("k") is None


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", limit=2500)
    for age, name in enumerate(["a", "b"]):
        cache.store(name, bytes(1000))
        os.utime(cache._path(name), (1000 + age, 1000 + age))
    cache.load("a")
    cache.store("c", bytes(1000))
    assert cache.load("b") is None and cache.load("a") and cache.load("c")


def test_stale_temporary_files_go_away(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.store("a", b"1")
    old, young = cache.folder / ".x.1.ab.tmp", cache.folder / ".y.1.ab.tmp"
    for path in (old, young):
        path.write_bytes(b"")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.store("b", b"2")
    assert not old.exists() and young.exists()


def test_killed_writers_never_leave_an_invalid_entry(tmp_path: Path) -> None:
    kill_writers_at_random(tmp_path, seconds=4)


@pytest.mark.soak
def test_killed_writers_for_long(tmp_path: Path, soak_seconds: float) -> None:
    kill_writers_at_random(tmp_path, soak_seconds)


def kill_writers_at_random(tmp_path: Path, seconds: float) -> None:
    """Two writers of one key, ended at random moments, while entries are read; at least one kill, none invalid."""
    folder = tmp_path / "cache"
    cache = DiskCache(folder)
    cache.store("key", b"\0")
    valid = kills = 0
    generator = random.Random(3)
    end = time.time() + seconds
    writers = [_writer(folder, seed) for seed in range(2)]
    while time.time() < end:
        payload = cache.load("key")
        assert payload is not None, "an entry was torn, mixed or lost"
        assert payload == payload[:1] * len(payload)
        valid += 1
        if generator.random() < 0.01:
            victim = generator.randrange(2)
            writers[victim].kill()
            writers[victim].wait()
            writers[victim] = _writer(folder, kills + 10)
            kills += 1
    for writer in writers:
        writer.kill()
        writer.wait()
    assert valid > 50 and kills >= 1, (valid, kills)


def _writer(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(seed)])


def test_memo_makes_once_for_all_threads() -> None:
    memo: Memo[object] = Memo()
    made: list[int] = []
    results: list[object] = []
    start = threading.Barrier(8)

    def make() -> object:
        made.append(1)
        time.sleep(0.05)
        return object()

    def work() -> None:
        start.wait()
        results.append(memo.get_or_make("key", make))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(set(map(id, results))) == 1 and len(results) == 8


def test_memo_tries_again_after_a_failure() -> None:
    memo: Memo[int] = Memo()
    with pytest.raises(ZeroDivisionError):
        memo.get_or_make("key", lambda: 1 // 0)
    assert memo.get_or_make("key", lambda: 3) == 3 and len(memo) == 1


def test_memo_does_not_wait_for_a_thread_that_a_fork_lost() -> None:
    memo: Memo[int] = Memo()
    hold, inside = threading.Event(), threading.Event()

    def slow() -> int:
        inside.set()
        hold.wait()
        return 1

    thread = threading.Thread(target=lambda: memo.get_or_make("key", slow))
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        os._exit(memo.get_or_make("key", lambda: 42))
    _, status = os.waitpid(child, 0)
    hold.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 42
