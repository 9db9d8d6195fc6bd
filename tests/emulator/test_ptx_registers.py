"""setmaxnreg: the pool of a CTA, who waits for it, and how it may be misused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.register_pool import registers_at_entry

ROLES = """
setp.lt.u32 %p1, %t, 128;
@%p1 bra PRODUCER;
@CONSUMER@
bra.uni END;
PRODUCER:
@PRODUCER@
END:
mad.wide.u32 %d1, %t, 4, %q0;
st.global.u32 [%d1], %t;
"""
BOUNDS = ".maxntid 384, 1, 1\n.minnctapersm 1"


def text(producer: str, consumer: str, directives: str = BOUNDS) -> str:
    return kernel(
        ROLES.replace("@PRODUCER@", producer).replace("@CONSUMER@", consumer), pointers=1, directives=directives
    )


def change(verb: str, count: int) -> str:
    return f"setmaxnreg.{verb}.sync.aligned.u32 {count};"


def run(source: str, threads: int = 384, **options: Any) -> tuple[Any, Report]:
    out = np.full(threads, -1, np.int32)
    return out, launch(Module.parse(source), "k", (1,), (threads,), args=[out], **options)


@pytest.mark.parametrize(("schedule", "seed"), [("in-order", 0), ("reverse", 0), ("random", 1), ("random", 2)])
def test_consumers_wait_for_the_producer(schedule: str, seed: int) -> None:
    source = text(change("dec", 40), change("inc", 232))
    assert assembler_error(source) is None
    out, report = run(source, schedule=schedule, seed=seed)
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out, np.arange(384))


def test_registers_at_entry_follow_the_directives() -> None:
    def entry(directives: str) -> int | None:
        module = Module.parse(kernel("", directives=directives))
        return registers_at_entry(module.parsed.functions["k"])

    assert entry(".maxntid 384, 1, 1") == 168
    assert entry(".reqntid 128, 2, 1") == 256
    assert entry(".maxntid 128, 1, 1\n.minnctapersm 4") == 128
    assert entry(".maxntid 384, 1, 1\n.maxnreg 100") == 96
    assert entry("") is None


def test_a_pool_that_never_holds_enough_is_a_deadlock() -> None:
    _, report = run(text(change("dec", 40), change("inc", 240)))
    waits = [f for f in report.findings if f.kind == "deadlock"]
    assert not report.completed and re.search(r"needs 72 more registers .* holds \d+", str(waits[0].other))
    _, report = run(text(change("dec", 40), change("inc", 240)), assume={"register_pool": "unlimited"})
    assert report.findings == []


def test_nobody_releases() -> None:
    _, report = run(text("", change("inc", 176)))
    assert "deadlock" in {f.kind for f in report.findings}


WRONG = [
    (change("dec", 240), "", "decreases the registers of a thread from 168 to 240"),
    (change("inc", 40), "", "increases the registers of a thread from 168 to 40"),
    (change("dec", 40) + change("inc", 40), "", "does not synchronise between"),
]


@pytest.mark.parametrize(("producer", "consumer", "message"), WRONG)
def test_misuse_is_found(producer: str, consumer: str, message: str) -> None:
    _, report = run(text(producer, consumer), schedule="random", seed=5)
    found = [f for f in report.findings if f.kind == "setmaxnreg"]
    assert found and message in found[0].message


def test_a_barrier_between_two_is_enough() -> None:
    producer = change("dec", 40) + "bar.sync 1, 128;" + change("inc", 48)
    _, report = run(text(producer, ""))
    assert report.findings == []


SPLIT = """
setp.lt.u32 %p2, %t, 64;
@%p2 bra HALF;
setmaxnreg.dec.sync.aligned.u32 40;
@REST@
bra.uni END;
HALF:
@HALF@
"""


@pytest.mark.parametrize(
    ("half", "message"), [(change("dec", 40), "other warps"), ("", "never execute")], ids=["another", "none"]
)
def test_a_divergent_warpgroup_is_found(half: str, message: str) -> None:
    _, report = run(text(SPLIT.replace("@HALF@", half).replace("@REST@", ""), ""))
    assert any(f.kind == "setmaxnreg" and message in f.message for f in report.findings)


def test_without_a_declared_count_it_is_ignored() -> None:
    source = text(change("dec", 40), change("inc", 232), directives="")
    _, report = run(source)
    assert {(f.kind, f.severity) for f in report.findings} == {("setmaxnreg-ignored", "warning")}
    assert run(source, strict=False)[1].findings == []


@pytest.mark.parametrize("count", [16, 28, 264])
def test_counts_that_do_not_exist_are_refused(count: int) -> None:
    source = text(change("dec", count), "")
    assert assembler_error(source) is not None
    with pytest.raises(UnsupportedInstruction, match="multiple of 8 from 24 to 256"):
        run(source)


def test_the_pool_belongs_to_one_cta() -> None:
    """Two CTAs run together; what one releases does not help the other."""
    body = ROLES.replace(
        "@PRODUCER@", "mov.u32 %r1, %ctaid.x; setp.eq.u32 %p3, %r1, 1; @%p3 bra END;" + change("dec", 40)
    )
    body = body.replace("@CONSUMER@", change("inc", 232)).replace("st.global.u32 [%d1], %t;", "")
    out = np.zeros(384, np.int32)
    report = launch(Module.parse(kernel(body, pointers=1, directives=BOUNDS)), "k", (2,), (384,), args=[out])
    waits = [f for f in report.findings if f.kind == "deadlock"]
    assert waits and all(f.cta == (1, 0, 0) for f in waits)
