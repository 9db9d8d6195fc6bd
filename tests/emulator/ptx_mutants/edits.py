"""The single-line mistakes that are made in a kernel: one function per family, each from a statement to its variants.

Families whose name starts with ``sync`` are mistakes of synchronisation. An edit that could not change anything by its
form (a swap of equal or commutative operands, a shuffle whose set of distances still spans the warp) is not made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

STATEMENT = re.compile(r"^(?P<guard>@!?[%\w$]+\s+)?(?P<opcode>[a-z][\w.:]*)\s*(?P<rest>[^;]*);\s*(//.*)?$")
INTEGER = re.compile(r"^-?\d+$")
FLOAT = re.compile(r"^0f([0-9A-Fa-f]{8})$")
Edit = tuple[str, str]
"""Family of the mistake and the statement that replaces the original."""


@dataclass(frozen=True)
class Statement:
    """One PTX statement: guard with its ``@`` or empty, opcode with modifiers, operands as written."""

    guard: str
    opcode: str
    operands: tuple[str, ...]

    @property
    def root(self) -> str:
        return self.opcode.split(".")[0]

    def having(self, opcode: str | None = None, operands: tuple[str, ...] | None = None) -> str:
        """The statement as text with another opcode or other operands."""
        shown = ", ".join(self.operands if operands is None else operands)
        return f"{self.guard} {opcode or self.opcode} {shown};".lstrip()

    def with_operand(self, index: int, text: str) -> str:
        changed = list(self.operands)
        changed[index] = text
        return self.having(operands=tuple(changed))


def parse_statement(code: str) -> Statement | None:
    """A line that holds exactly one statement, else None."""
    found = STATEMENT.match(code)
    if found is None:
        return None
    return Statement((found["guard"] or "").strip(), found["opcode"], tuple(split_operands(found["rest"])))


def split_operands(text: str) -> list[str]:
    """Operands at the top level: commas inside braces and brackets do not count."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "{[") - (character in "}]")
        if character == "," and not depth:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()] if current.strip() else parts


def edits(code: str) -> Iterator[Edit]:
    """All mistakes in one line of PTX."""
    statement = parse_statement(code.strip())
    if statement is None:
        return
    for family in FAMILIES:
        yield from family(statement)


# -- synchronisation --------------------------------------------------------------------------------------------------

BARRIERS = re.compile(r"^(bar|barrier)(\.cta)?\.(sync|arrive|red|warp|cluster)")
WAITS = re.compile(r"^(cp\.async\.(bulk\.)?wait_|wgmma\.wait_group|griddepcontrol\.wait)")
COMMITS = re.compile(r"^(cp\.async\.(bulk\.)?commit_group|wgmma\.commit_group)")
ARRIVES = re.compile(r"^(mbarrier\.arrive|cp\.async\.mbarrier\.arrive)")
FENCES = re.compile(r"^(fence|membar|wgmma\.fence)")
WEAKER = (
    (".gl", ".cta"), (".sys", ".cta"), (".gpu", ".cta"), (".acq_rel", ".relaxed"), (".acquire", ".relaxed"),
    (".release", ".relaxed"), (".volatile", ""),
)  # fmt: skip


def deleted_synchronisation(s: Statement) -> Iterator[Edit]:
    for name, pattern in (
        ("barrier", BARRIERS), ("wait", WAITS), ("commit", COMMITS), ("arrive", ARRIVES), ("fence", FENCES),
    ):  # fmt: skip
        if pattern.match(s.opcode):
            yield f"sync-{name}-delete", ";"
    if s.opcode.startswith(("mbarrier.try_wait", "mbarrier.test_wait")):
        yield "sync-wait-delete", f"{s.guard} setp.eq.u32 {s.operands[0]}, 0, 0;"
    if s.opcode.startswith(("mbarrier.init", "mbarrier.expect_tx")):
        yield "sync-object-delete", ";"


def altered_wait(s: Statement) -> Iterator[Edit]:
    """One group too few is waited for; the other phase of an mbarrier is waited for."""
    if WAITS.match(s.opcode) and s.operands:
        yield "sync-wait-count", s.with_operand(0, str(int(s.operands[0]) + 1))
    if "_wait.parity" in s.opcode:
        flipped = "{ .reg .b32 flipped; xor.b32 flipped, " + s.operands[2] + ", 1; "
        yield "sync-parity", flipped + s.with_operand(2, "flipped") + " }"


def altered_barrier(s: Statement) -> Iterator[Edit]:
    """Half the threads, or a barrier of another number where several are in use."""
    if s.opcode.startswith(("bar.sync", "barrier.sync")):
        if len(s.operands) == 1:
            yield "sync-barrier-count", s.having(operands=(s.operands[0], "32"))
        elif INTEGER.match(s.operands[1]):
            yield "sync-barrier-count", s.with_operand(1, str(int(s.operands[1]) + 32))
            if INTEGER.match(s.operands[0]):
                yield "sync-barrier-number", s.with_operand(0, str((int(s.operands[0]) + 1) % 16))


def altered_object(s: Statement) -> Iterator[Edit]:
    """Wrong arrival counts and wrong transaction bytes."""
    if s.opcode.startswith("mbarrier.init") and INTEGER.match(s.operands[1]):
        count = int(s.operands[1])
        yield "sync-init-count", s.with_operand(1, str(count + 1))
        if count > 1:
            yield "sync-init-count", s.with_operand(1, str(count - 1))
    if "expect_tx" in s.opcode and INTEGER.match(s.operands[-1]):
        for change in (16, -16):
            yield "sync-expect-bytes", s.with_operand(len(s.operands) - 1, str(int(s.operands[-1]) + change))
    if s.opcode.startswith("mbarrier.arrive.expect_tx"):
        yield "sync-expect-delete", s.having(s.opcode.replace(".expect_tx", ""), s.operands[:-1])
    elif s.opcode.startswith("mbarrier.arrive.shared"):
        yield "sync-arrive-count", s.having(operands=(*s.operands[:2], "2"))


def weakened_order(s: Statement) -> Iterator[Edit]:
    """A narrower scope, less order, a plain access in place of a strong one or of an atomic."""
    if s.root in ("fence", "membar", "ld", "st", "atom", "red") or s.opcode.startswith("barrier.cluster"):
        for old, new in WEAKER:
            changed = re.sub(re.escape(old) + r"(?=\.|$)", new, s.opcode)
            plain = new == ".relaxed" and s.root in ("fence", "membar")
            if changed != s.opcode and not plain:
                yield "sync-weaker", s.having(changed)
    if s.root in ("atom", "red") and ".add" in s.opcode and "x2" not in s.opcode:
        yield "sync-atomic-split", _split_atomic(s)


def _split_atomic(s: Statement) -> str:
    kind = s.opcode.split(".")[-1]
    width = kind[1:]
    space = ".global" if ".global" in s.opcode else ".shared" if ".shared" in s.opcode else ""
    place, value = s.operands[-2], s.operands[-1]
    body = f".reg .b{width} was, now; ld{space}.b{width} was, {place}; add.{kind} now, was, {value}; "
    result = f"mov.b{width} {s.operands[0]}, was; " if s.root == "atom" else ""
    if s.guard:
        return (
            "{ " + body.replace("; ", f"; {s.guard} ", 1) + f"{s.guard} st{space}.b{width} {place}, now; {result}" + "}"
        )
    return "{ " + body + f"st{space}.b{width} {place}, now; " + result + "}"


def altered_members(s: Statement) -> Iterator[Edit]:
    """The last lane of a full warp is left out of the lanes that take part."""
    if s.root in ("shfl", "vote", "match", "redux", "bar") and ".sync" in s.opcode:
        for index, operand in enumerate(s.operands):
            if operand in ("-1", "0xffffffff", "4294967295"):
                yield "sync-members", s.with_operand(index, "2147483647")


# -- predicates -------------------------------------------------------------------------------------------------------


def guards(s: Statement) -> Iterator[Edit]:
    """The other case, always, or never."""
    if not s.guard:
        return
    plain = s.having()[len(s.guard) + 1 :]
    turned = s.guard.replace("@!", "@") if s.guard.startswith("@!") else s.guard.replace("@", "@!")
    yield "guard-negate", f"{turned} {plain}"
    yield "guard-drop", plain
    yield "guard-never", ";"


BOUNDARY = {
    "lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "lo": "ls", "ls": "lo", "hi": "hs", "hs": "hi", "eq": "ne",
    "ne": "eq", "ltu": "leu", "leu": "ltu", "gtu": "geu", "geu": "gtu", "equ": "neu", "neu": "equ",
}  # fmt: skip
OPPOSITE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "ltu": "geu", "geu": "ltu", "gtu": "leu", "leu": "gtu"}


def comparisons(s: Statement) -> Iterator[Edit]:
    if s.root not in ("setp", "set", "slct"):
        return
    parts = s.opcode.split(".")
    for table, family in ((BOUNDARY, "comparison-boundary"), (OPPOSITE, "comparison-opposite")):
        if parts[1] in table:
            name = "comparison-opposite" if parts[1] in ("eq", "ne", "equ", "neu") else family
            yield name, s.having(".".join([parts[0], table[parts[1]], *parts[2:]]))


# -- values -----------------------------------------------------------------------------------------------------------

ARITHMETIC = (
    "add", "sub", "mul", "mad", "fma", "shl", "shr", "and", "or", "xor", "bfe", "bfi", "min", "max", "selp", "setp",
    "mov", "div", "rem", "mul24", "shf", "prmt", "lop3", "neg", "not", "st",
)  # fmt: skip


def immediates(s: Statement) -> Iterator[Edit]:
    """An integer one larger; a float of another size."""
    if s.root not in ARITHMETIC:
        return
    for index, operand in enumerate(s.operands):
        if INTEGER.match(operand):
            yield "immediate", s.with_operand(index, str(int(operand) + 1))
        found = FLOAT.match(operand)
        if found is not None:
            bits = int(found[1], 16)
            yield "immediate", s.with_operand(index, f"0f{bits ^ 0x00800000 if bits else 0x3F800000:08X}")


SIZED = re.compile(r"(?:\.v(\d))?\.[busf](\d+)$")


def addresses(s: Statement) -> Iterator[Edit]:
    """The access goes to the next element, row of a matrix or chunk of a copy."""
    if s.root not in ("ld", "st", "atom", "red", "ldmatrix", "stmatrix", "cp", "mbarrier"):
        return
    found = SIZED.search(s.opcode)
    step = 16 if s.root in ("ldmatrix", "stmatrix", "cp") or found is None else int(found[2]) // 8 * int(found[1] or 1)
    for index, operand in enumerate(s.operands):
        place = re.match(r"^\[([%\w$]+)(?:\s*\+\s*(-?\d+))?(.*)\]$", operand)
        if place is not None:
            moved = f"[{place[1]}+{int(place[2] or 0) + step}{place[3]}]"
            family = "sync-object-address" if s.root == "mbarrier" else "address"
            yield family, s.with_operand(index, moved)


SWAPPED_PAIRS = {
    "sub": (1, 2), "div": (1, 2), "rem": (1, 2), "setp": (1, 2), "selp": (1, 2), "shl": (1, 2), "shr": (1, 2),
    "fma": (2, 3), "mad": (2, 3), "prmt": (1, 2), "shf": (1, 2), "bfi": (1, 2),
}  # fmt: skip


def operand_swaps(s: Statement) -> Iterator[Edit]:
    pair = SWAPPED_PAIRS.get(s.root)
    same_type = not s.opcode.startswith("mad.wide")
    if pair is not None and same_type and len(s.operands) > pair[1] and not _symmetric(s):
        left, right = (s.operands[i] for i in pair)
        if left != right and not (INTEGER.match(left) and INTEGER.match(right)):
            changed = list(s.operands)
            changed[pair[0]], changed[pair[1]] = right, left
            yield "operand-swap", s.having(operands=tuple(changed))
    for index, operand in enumerate(s.operands):
        if operand.startswith("{") and s.root in ("mma", "ldmatrix", "ld", "st"):
            items = split_operands(operand[1:-1])
            if len(items) > 1 and items[0] != items[1]:
                yield "operand-swap", s.with_operand(index, "{" + ", ".join([items[1], items[0], *items[2:]]) + "}")


def _symmetric(s: Statement) -> bool:
    return s.root == "setp" and s.opcode.split(".")[1] in ("eq", "ne", "equ", "neu", "nan", "num")


OPERATORS = {
    "add": "sub", "sub": "add", "min": "max", "max": "min", "and": "or", "or": "and", "xor": "or", "shl": "shr",
    "shr": "shl", "ex2": "lg2", "neg": "abs", "abs": "neg", "mul": "add", "rcp": "sqrt",
}  # fmt: skip


def operators(s: Statement) -> Iterator[Edit]:
    other = OPERATORS.get(s.root)
    if other is None:
        return
    rest = s.opcode.split(".")[1:]
    if s.root == "mul":
        if "wide" in rest or "hi" in rest:
            return
        rest = [part for part in rest if part != "lo"]
    if s.root == "shl":
        rest = [part.replace("b", "u") for part in rest]
    if s.root == "shr":
        rest = [part.replace("u", "b").replace("s", "b") for part in rest]
    if s.root == "rcp":
        rest = [part for part in rest if part != "approx"] if "rn" in rest else rest
    yield "operator", s.having(".".join([other, *rest]))


def shuffles(s: Statement) -> Iterator[Edit]:
    """Another distance, so that the set of distances no longer spans the warp; another direction; another segment."""
    if s.root != "shfl":
        return
    distance = s.operands[2]
    if INTEGER.match(distance):
        yield "shuffle", s.with_operand(2, str(int(distance) // 2 or 2))
    for old, new in ((".bfly", ".up"), (".down", ".up"), (".up", ".down"), (".idx", ".bfly")):
        if old in s.opcode:
            yield "shuffle", s.having(s.opcode.replace(old, new))
    if s.operands[3] == "31":
        yield "shuffle", s.with_operand(3, "7967")


# -- layouts ----------------------------------------------------------------------------------------------------------


def layouts(s: Statement) -> Iterator[Edit]:
    """Transposition, descriptor fields, swizzles by exclusive or, coordinates of tensor copies."""
    if s.root == "ldmatrix":
        yield "layout", s.having(s.opcode.replace(".trans", "") if ".trans" in s.opcode else _transposed(s.opcode))
    if s.opcode.startswith("wgmma.mma_async"):
        yield from _matrix_flags(s)
    if s.root == "xor":
        yield "swizzle", s.having(s.opcode.replace("xor", "mov"), s.operands[:2])
    if s.opcode in ("or.b64", "add.s64", "mov.b64", "mov.u64") and _field(s.operands[-1]):
        value = int(s.operands[-1])
        for bit in (16, 32, 62):
            yield "swizzle", s.with_operand(len(s.operands) - 1, str(_signed(value ^ 1 << bit)))
    for index, operand in enumerate(s.operands):
        found = re.match(r"^\[([^,\]]+), \{([^,]+), ([^,}]+)(.*)\}\]$", operand)
        if found is not None and "tensor" in s.opcode:
            yield "operand-swap", s.with_operand(index, f"[{found[1]}, {{{found[3]}, {found[2]}{found[4]}}}]")


def _transposed(opcode: str) -> str:
    return re.sub(r"\.(x[124])\.", r".\1.trans.", opcode)


def _matrix_flags(s: Statement) -> Iterator[Edit]:
    """Scale of the accumulator, signs, transpositions: the immediates after the two matrices."""
    for index in range(3, len(s.operands)):
        if s.operands[index] in ("0", "1", "-1"):
            other = {"0": "1", "1": "0" if index == 3 else "-1", "-1": "1"}[s.operands[index]]
            yield "layout", s.with_operand(index, other)
    if s.operands[1] != s.operands[2]:
        yield "operand-swap", s.having(operands=(s.operands[0], s.operands[2], s.operands[1], *s.operands[3:]))


def _field(text: str) -> bool:
    """A constant with fields above the address: a matrix descriptor."""
    return bool(INTEGER.match(text)) and abs(int(text)) >= 1 << 40


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def deletions(s: Statement) -> Iterator[Edit]:
    """Data that is not loaded, stored, copied or multiplied."""
    copies = (
        s.root == "cp" and "commit" not in s.opcode and "wait" not in s.opcode and "mbarrier.arrive" not in s.opcode
    )
    effect = s.root in ("ld", "st", "atom", "red", "mma", "ldmatrix", "stmatrix") or s.opcode.startswith("wgmma.mma")
    if (copies or effect) and not s.opcode.startswith("ld.param"):
        yield "delete", ";"


FAMILIES: tuple[Callable[[Statement], Iterator[Edit]], ...] = (
    deleted_synchronisation, altered_wait, altered_barrier, altered_object, weakened_order, altered_members,
    guards, comparisons, immediates, addresses, operand_swaps, operators, shuffles, layouts, deletions,
)  # fmt: skip
