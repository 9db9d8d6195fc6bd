"""Survivors that change nothing a program may rely on, each class with the argument and the pattern that recognises it.

What never makes a difference to the registers is recognised by ``infection``; here is what does, and does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """Equivalent mutants of some kernels: patterns of the class, of the original statement and of the changed one.

    ``nth`` picks one of several equal statements of a kernel, counted from 1; 0 stands for all of them.
    """

    subjects: str
    kind: str
    original: str
    reason: str
    changed: str = ""
    nth: int = 0

    def covers(self, subject: str, kind: str, original: str, changed: str, nth: int) -> bool:
        return (
            subject in self.subjects.split()
            and self.nth in (0, nth)
            and re.fullmatch(self.kind, kind) is not None
            and re.search(self.original, original) is not None
            and re.search(self.changed, changed) is not None
        )


RULES = (
    # -- synchronisation that something else gives as well
    Rule(
        "specialised", "sync-fence-delete", r"fence\.(mbarrier_init|proxy\.async)",
        "two fences follow the same writes to the mbarriers; either orders them",
    ),
    Rule(
        "specialised", "sync-fence-delete", r"wgmma\.fence",
        "between two products of a loop only wgmma itself touches the accumulators",
    ),
    Rule(
        "split_sum", "sync-barrier-delete", r"bar\.sync",
        "the last step of the tree belongs to thread 0, which alone reads its result",
        nth=8,
    ),
    Rule(
        "own_softmax",
        "sync-barrier-delete",
        r"bar\.sync",
        "shared memory has not been used before the first barrier",
        nth=1,
    ),
    Rule(
        "own_matmul",
        "sync-barrier-delete",
        r"bar\.sync",
        "shared memory is not used again after the last barrier",
        nth=2,
    ),
    Rule(
        "own_matmul",
        "sync-wait-(delete|count)",
        r"cp\.async\.wait_group\s+0",
        "after the loop only copies of no bytes are in flight, and shared memory is not used again",
    ),
    Rule("grid_barrier", "sync-barrier-delete", r"bar\.sync", "thread 0 alone waits for the grid and reads"),
    Rule(
        "split_sum", "sync-weaker", r"ld\.volatile",
        "ticket and fence already order the loads after the stores they read",
    ),
    Rule(
        "specialised",
        "sync-(arrive-delete|arrive-count|object-address)|guard-drop|comparison-opposite",
        r"(mbarrier\.arrive\.shared::cta\.b64 _, \[%r198\]|^@%p9 bra|setp\.ne\.s32\s+%p9, )",
        "the arrival of the last step, for which nobody waits",
    ),
    Rule(
        "specialised",
        "sync-object-address",
        r"mbarrier\.try_wait.*\[%r(221|257)\]",
        "waits for the next slot of the ring, which is freed after the one that is meant",
    ),
    # -- one thread as good as another, or all of them
    Rule(
        "cluster_sum grid_barrier", "immediate|comparison-opposite", r"setp\.ne\.s32\s+%p[189], %r\w+, 0",
        "another thread, or each of them, stores the same values at the same places",
    ),
    Rule(
        "cluster_sum grid_barrier", "guard-(never|negate)", r"^@%p[189] bra",
        "another thread, or each of them, stores the same values at the same places",
    ),
    Rule(
        "specialised",
        "immediate",
        r"setp\.ne\.s32\s+%p(1, %r1|5, %r77), 0",
        "thread 1 prepares the mbarriers, or lane 1 arrives for its warp, as thread and lane 0 did",
    ),
    Rule("tile_add", "immediate", r"setp\.ne\.s32\s+%p1, %r45, 0", "thread 1 does what thread 0 did"),
    # -- butterflies
    Rule(
        "row_softmax cluster_sum", "immediate", r"mov\.u32\s+%r\d+, (16|8|4|2)",
        "with one odd distance more the butterfly still joins each lane with every other once",
    ),
    # -- neutral starts and fillers
    Rule("row_softmax own_softmax", "immediate", r"mov\.(f32|b32)\s+%\w+, 0fFF800000", "less than every datum as well"),
    Rule(
        "tiled_matmul", "immediate", r"mov\.f32\s+%f19[46], 0f00000000",
        "a filler beyond K meets the other factor's zero; one beyond M or N gives results that are not stored",
    ),
    Rule(
        "mma_pipeline own_matmul", "immediate", r"selp\.b32\s+%r\d+, 16, 0",
        "a filler beyond K meets the other factor's zero; one beyond M or N gives results that are not stored",
    ),
    Rule("split_sum", "immediate", r"mov\.f32\s+%f54, 0f00000000", "the value of a grid without CTAs"),
    Rule("split_sum", "immediate", r"selp\.u16\s+%rs1, 1, 0", "any byte but zero is true"),
    # -- steps past the end
    Rule(
        "tiled_matmul", "comparison-boundary", r"setp\.(gt|lt)\.s32\s+%p(1|51), ",
        "a step past K adds products of zeros",
    ),
    Rule(
        "mma_pipeline specialised", "immediate", r"add\.s32\s+%r\d+, %r(93|59), (31|63)",
        "a step past K adds products of zeros",
    ),
    Rule(
        "mma_pipeline specialised", "operator", r"shr\.s32\s+%r(103|61), %r(102|60), 31",
        "rounds up to a step past K, which adds products of zeros",
    ),
    Rule("tiled_matmul", "guard-drop", r"^@%p1 bra", "with K = 0 the loop body adds products of zeros"),
    Rule(
        "mma_pipeline", "guard-never|comparison-boundary", r"(^@%p(13|38) bra|setp\.ge\.s32\s+%p(13|38), )",
        "a copy past the last step moves no bytes, into a slot that nobody reads again",
    ),
    # -- values that are only compared, and loops whose work another one takes
    Rule("mma_pipeline", "operator|immediate", r"and\.b32\s+%r(6|13|239|275), %r\w+, -?128", "only compared with zero"),
    Rule(
        "specialised", "immediate", r"mov\.f32\s+%f1249, 0f00000000",
        "the accumulators of K = 0, which no tensor map describes",
    ),
    Rule(
        "mma_pipeline",
        "guard-never",
        r"^@%p(25|28|31|34|50|53|56|59) bra",
        "only forms an address that a copy of no bytes does not read",
    ),
    Rule(
        "mma_pipeline",
        "immediate|operator",
        r"add\.s32\s+%r8[1-8], %r80, \d+",
        "columns come in pairs and N is a multiple of eight, so both of a pair are inside or none",
    ),
    Rule(
        "own_matmul",
        "immediate",
        r"(or\.b64\s+%rd\d+, %rd(41|11), \d+|min\.s64\s+%rd[79], %rd\d+, 128)",
        "columns come in pairs and N is a multiple of sixteen; no row or column of a tile is beyond 128",
    ),
    Rule(
        "own_matmul",
        "operand-swap|guard-never",
        r"(setp\.lt\.u64\s+%p1, |^@%p1 bra)",
        "the division that the branch avoids gives the same quotient",
    ),
    # -- bits that are dropped
    Rule(
        "own_matmul",
        "immediate",
        r"or\.b32\s+%r\d+, %r\d+, 4194304",
        "only the upper half of a NaN is stored",
    ),
    Rule(
        "specialised",
        "immediate",
        r"(mul\.lo\.s32\s+%r\d+, %r\d+, 24576|add\.s32\s+%r\d+, %r\d+, (16[34]\d\d|25[34]\d\d\d))",
        "a matrix descriptor has no room for the low four bits of an address",
    ),
    Rule(
        "mma_pipeline",
        "operator",
        r"shr\.u32\s+%r122, %r121, 17",
        "the prologue has steps 0 and 1 only, whose quotient by three is zero",
    ),
    Rule(
        "specialised",
        "swizzle",
        r"or\.b64\s+%rd\d+, %rd\d+, 4611686293305360384",
        "a swizzled operand with its rows along K does not use the leading stride",
        changed=r"4611686293305294848",
    ),
    Rule(
        "mma_pipeline",
        "operator",
        r"add\.s32\s+%r(210, %r203, 16|219, %r205, 2|224, %r45, 16)",
        "only the bits that the swizzle takes from the row or chunk are used, and they are the same",
    ),
    Rule(
        "mma_pipeline",
        "immediate|comparison-boundary",
        r"setp\.lt\.u32\s+%p36, %r511, 2",
        "the prologue fetches tile 2, and the first step fetches it again into the same slot",
    ),
    Rule(
        "own_softmax",
        "operator",
        r"max\.s64\s+%rd2, ",
        "without whole vectors the loop over the rest of the row takes all of it",
    ),
    # -- corrections of signed divisions
    Rule(
        "tiled_matmul mma_pipeline specialised", "operand-swap|immediate|operator",
        r"shr\.(s32\s+%r\d+, %r\d+, 31|u32\s+%r\d+, %r\d+, (2[6-9]|3[01]))",
        "corrects the division of a negative number: here small numbers whose upper bits are zero",
    ),
    # -- the exponential of CUDA's library
    Rule(
        "row_softmax own_softmax",
        "operator",
        r"neg\.f32",
        "the operand is never positive: only the sign of a zero differs",
    ),
    Rule(
        "row_softmax", "immediate", r"mov\.f32\s+%f\d+, 0f3BBB989D",
        "splits the exponent differently between ex2 and the shift; the product is the same",
    ),
)  # fmt: skip


def argument(subject: str, kind: str, original: str, changed: str, nth: int) -> str | None:
    """The argument that a survivor is equivalent, or None."""
    return next((rule.reason for rule in RULES if rule.covers(subject, kind, original, changed, nth)), None)
