"""The emulator as an oracle: broken kernels are noticed, working ones are not complained about."""

from __future__ import annotations

import numpy as np
import pytest
from tests.emulator import mutate_ptx as tool
from tests.emulator.mutate_ptx import MODES, Mutant, Rates, Verdict, choose, judged, mutants
from tests.emulator.ptx_mutants.edits import edits
from tests.emulator.ptx_mutants.equivalent import RULES
from tests.emulator.ptx_mutants.infection import watched
from tests.emulator.ptx_mutants.subjects import SUBJECTS, Subject

from tilewright.runtime.emulator import Module

QUICK = ("tile_add", "cluster_sum", "split_sum", "grid_barrier")
each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def named(name: str) -> Subject:
    return next(subject for subject in SUBJECTS if subject.name == name)


@pytest.mark.parametrize("name", QUICK)
def test_synchronisation_mutants_are_killed(name: str) -> None:
    chosen = [mutant for mutant in mutants(named(name)) if mutant.synchronisation]
    assert chosen
    assert [str(v.mutant) for v in judged(chosen) if v.how is None and v.reason is None] == []


def test_a_sample_of_the_others_is_killed() -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    chosen = [m for name in QUICK for m in choose(12, seed, name)]
    survivors = [str(v.mutant) for v in judged(chosen) if v.how is None and v.reason is None]
    assert len(survivors) <= len(chosen) // 10, survivors


def clean(
    subject: Subject, seeds: list[int], modes: tuple[dict[str, str], ...], sizes: tuple[tuple[int, ...], ...]
) -> None:
    print("seeds", seeds)
    module = Module.parse(subject.text())
    for seed in seeds:
        for mode in modes:
            for size in sizes:
                report, right = subject.run(module, seed, size, **mode)
                assert report.findings == [], (seed, mode, size, [str(finding) for finding in report.findings])
                assert right, (seed, mode, size)


@each_subject
def test_originals_are_clean(subject: Subject) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    clean(subject, [seed], MODES[:3:2], subject.sizes[:2])


@pytest.mark.soak
@each_subject
def test_originals_are_clean_with_many_seeds(subject: Subject) -> None:
    seeds = np.random.default_rng().integers(2**31, size=8).tolist()
    every = tuple(
        {"schedule": schedule, "completion": completion}
        for schedule in ("in-order", "reverse", "random")
        for completion in ("eager", "lazy", "random")
    )
    clean(subject, seeds, every, subject.sizes)


@pytest.mark.soak
def test_kill_rates() -> None:
    """All mutants: at least 95 % of the synchronisation and 90 % of all are killed, at most 10 % are equivalent."""
    verdicts = list(judged(choose(None, 0)))
    print(tool.table(verdicts))
    rates = Rates.of(verdicts)
    assert rates.synchronisation >= 0.95 and rates.every >= 0.90 and rates.equivalent <= 0.10, rates
    stale = [rule.reason for rule in RULES if not any(v.reason == rule.reason for v in verdicts)]
    assert stale == []


def test_edits_of_known_statements() -> None:
    def kinds(code: str) -> dict[str, str]:
        return dict(edits(code))

    assert kinds("bar.sync \t0;") == {"sync-barrier-delete": ";", "sync-barrier-count": "bar.sync 0, 32;"}
    assert kinds("setp.lt.s32 %p1, %r1, %r2;") == {
        "comparison-boundary": "setp.le.s32 %p1, %r1, %r2;",
        "comparison-opposite": "setp.ge.s32 %p1, %r1, %r2;",
        "operand-swap": "setp.lt.s32 %p1, %r2, %r1;",
    }
    assert kinds("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 64;")["sync-expect-delete"] == (
        "mbarrier.arrive.shared::cta.b64 _, [%r1];"
    )
    assert kinds("membar.gl;")["sync-weaker"] == "membar.cta ;"
    assert kinds("add.s32 %r1, %r2, %r3;") == {"operator": "sub.s32 %r1, %r2, %r3;"}, "a swap would change nothing"
    assert kinds(".reg .b32 %r<4>;") == {} and kinds("$L1:") == {}


def test_watching_tells_what_makes_no_difference() -> None:
    assert watched("@%p1 bra L;", ";") == "@%p1 trap; @%p1 bra L;"
    assert watched("@%p1 bra L;", "@!%p1 bra L;") is None, "a negated guard always makes a difference"
    assert watched("st.global.b32 [%rd1], %r1;", ";") is None
    assert "xor.pred" in str(watched("setp.lt.s32 %p1, %r1, 3;", "setp.le.s32 %p1, %r1, 3;"))


def test_rates_leave_the_equivalent_out() -> None:
    subject = SUBJECTS[0]

    def verdict(kind: str, how: str | None, reason: str | None = None) -> Verdict:
        return Verdict(Mutant(subject, kind, 1, "", ""), how, reason)

    verdicts = [
        verdict("sync-x", "race"),
        verdict("sync-x", None),
        verdict("guard", "result"),
        verdict("guard", None, "same"),
    ]
    assert Rates.of(verdicts) == Rates(0.5, 2 / 3, 0.25)
