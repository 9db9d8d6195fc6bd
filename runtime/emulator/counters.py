"""What ran: instructions by opcode, bytes, memory requests, bank conflicts, block coverage.

Instruction counts are kept per block and expanded when they are read. Coalescing and bank conflicts cost time and are
only counted when the launch asks for the check ``"performance"``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.approximations import error_bound
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.action import Site
    from tilewright.runtime.emulator.memory import Access
    from tilewright.runtime.emulator.program import Program

WARP = 32
SECTOR = 32
BANK_BYTES = 4
BANKS = 32


MOST = 20
"""Rows of a table that are shown."""


@dataclass(frozen=True, slots=True)
class Table:
    """Counts to be shown: title, names of the columns, rows from the largest down."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]

    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [[_cell(value) for value in row] for row in self.rows]

    def __str__(self) -> str:
        lines = [list(self.header), *self.cells()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        right = [not isinstance(value, str) for value in self.rows[0]]
        shown = [
            "  ".join(
                text.rjust(width) if number else text.ljust(width)
                for text, width, number in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *(f"  {line}" for line in shown)])


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Basic blocks that ran, and the PTX lines where the others start."""

    executed: int
    total: int
    missed_lines: tuple[int, ...]

    @property
    def share(self) -> float:
        return self.executed / self.total if self.total else 1.0

    def __str__(self) -> str:
        return f"coverage: {self.executed} of {self.total} blocks"


class Counters:
    """Counts of one launch.

    Attributes:
        bytes_read, bytes_written: bytes per memory space asked for by threads.
        requests, sectors: warp-level global accesses and the 32-byte sectors they touch.
        shared_requests, shared_passes: warp-level shared accesses and the bank passes they need.
        barrier_waits: threads that arrived at CTA barriers.
    """

    def __init__(self, program: Program, detailed: bool) -> None:
        self.program = program
        self.detailed = detailed
        self.lanes_per_block = np.zeros(len(program.blocks), np.int64)
        self.bytes_read: Counter[str] = Counter()
        self.bytes_written: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self.sectors: Counter[int] = Counter()
        self.shared_requests: Counter[int] = Counter()
        self.shared_passes: Counter[int] = Counter()
        self.barrier_waits = 0

    def block(self, index: int, mask: Array) -> None:
        self.lanes_per_block[index] += np.count_nonzero(mask)

    def memory(self, site: Site, access: Access, write: bool) -> None:
        total = len(access.offsets) * access.size
        (self.bytes_written if write else self.bytes_read)[access.arena.name] += total
        if not self.detailed:
            return
        if access.arena.name == "global":
            self._coalescing(site, access)
        elif access.arena.name == "shared":
            self._banks(site, access)

    def _coalescing(self, site: Site, access: Access) -> None:
        rows, warps = access.rows(), access.lanes() // WARP
        group = rows * 65536 + warps
        first, last = access.offsets // SECTOR, (access.offsets + access.size - 1) // SECTOR
        pairs = np.unique(np.concatenate([np.stack([group, first]), np.stack([group, last])], axis=1), axis=1)
        for row in np.unique(rows):
            line = site.line(int(row))
            self.requests[line] += len(np.unique(warps[rows == row]))
            self.sectors[line] += int(np.count_nonzero(pairs[0] // 65536 == row))

    def _banks(self, site: Site, access: Access) -> None:
        """Passes of a request: lanes go in phases of 128 bytes; distinct words of one bank need one pass each."""
        rows, lanes = access.rows(), access.lanes()
        per_phase = max(128 // max(access.size, 4), 1)
        phase = (lanes % WARP) // min(per_phase, WARP)
        group = (rows * 65536 + lanes // WARP) * WARP + phase
        words = np.arange(max(access.size // BANK_BYTES, 1))
        word = (access.offsets[:, None] // BANK_BYTES + words).reshape(-1)
        owner = np.repeat(group, len(words))
        unique = np.unique(np.stack([owner, word]), axis=1)
        bank = unique[0] * BANKS + unique[1] % BANKS
        banks, counts = np.unique(bank, return_counts=True)
        owners = banks // BANKS
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        passes = np.maximum.reduceat(counts, starts)
        for key, count in zip(owners[starts], passes, strict=True):
            line = site.line(int(key) // WARP // 65536)
            self.shared_requests[line] += 1
            self.shared_passes[line] += int(count)

    @property
    def instructions(self) -> Counter[str]:
        """Thread-level executions by opcode; guarded instructions count for every thread that reaches them."""
        found: Counter[str] = Counter()
        for block, lanes in zip(self.program.blocks, self.lanes_per_block, strict=True):
            if lanes:
                for instruction in block.instructions:
                    found[instruction.opcode] += int(lanes)
        return found

    @property
    def sectors_per_request(self) -> float:
        requests = sum(self.requests.values())
        return sum(self.sectors.values()) / requests if requests else 0.0

    @property
    def bank_conflict_factor(self) -> float:
        """Passes per shared-memory phase; 1.0 is free of conflicts."""
        requests = sum(self.shared_requests.values())
        return sum(self.shared_passes.values()) / requests if requests else 0.0

    def coverage(self) -> Coverage:
        ran = self.lanes_per_block > 0
        missed = tuple(
            block.instructions[0].line for block in self.program.blocks if not ran[block.index] and block.instructions
        )
        return Coverage(int(np.count_nonzero(ran)), len(self.program.blocks), missed)

    @property
    def lines(self) -> Counter[int]:
        """Thread-level executions by PTX line; 0 for lines that never ran."""
        found: Counter[int] = Counter()
        for block, lanes in zip(self.program.blocks, self.lanes_per_block, strict=True):
            for instruction in block.instructions:
                found[instruction.line] += int(lanes)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "instructions": dict(self.instructions),
            "bytes_read": dict(self.bytes_read),
            "bytes_written": dict(self.bytes_written),
            "barrier_waits": self.barrier_waits,
            "approximations": {opcode: bound for opcode, bound, _ in self._approximations()},
            "sectors_per_request": self.sectors_per_request,
            "bank_conflict_factor": self.bank_conflict_factor,
            "lines": dict(self.lines),
            "global_accesses": _pairs(self.requests, self.sectors, "requests", "sectors"),
            "shared_accesses": _pairs(self.shared_requests, self.shared_passes, "phases", "passes"),
        }

    def tables(self) -> list[Table]:
        """What there is to show; access tables only after the check ``"performance"``."""
        opcodes = tuple(self.instructions.most_common(MOST))
        spaces = sorted(set(self.bytes_read) | set(self.bytes_written))
        traffic = tuple((space, self.bytes_read[space], self.bytes_written[space]) for space in spaces)
        found = [
            Table("instructions", ("opcode", "threads"), opcodes),
            Table("approximate functions", ("opcode", "documented error", "threads"), self._approximations()),
            Table("memory", ("space", "bytes read", "bytes written"), traffic),
            Table(
                "barriers", ("kind", "arrivals"), (("CTA barrier", self.barrier_waits),) if self.barrier_waits else ()
            ),
            self._accesses("global accesses", ("requests", "sectors", "sectors/request"), self.requests, self.sectors),
            self._accesses(
                "shared accesses", ("phases", "bank passes", "passes/phase"), self.shared_requests, self.shared_passes
            ),
        ]
        return [table for table in found if table.rows]

    def _approximations(self) -> tuple[tuple[str, str, int], ...]:
        bounds = {opcode: error_bound(opcode) for opcode in self.instructions}
        return tuple((opcode, str(bound), self.instructions[opcode]) for opcode, bound in bounds.items() if bound)

    def _accesses(self, title: str, names: tuple[str, ...], asked: Counter[int], needed: Counter[int]) -> Table:
        opcodes = {i.line: i.opcode for block in self.program.blocks for i in block.instructions}
        rows = tuple(
            (f"line {line}", opcodes.get(line, ""), asked[line], needed[line], needed[line] / asked[line])
            for line, _ in needed.most_common(MOST)
        )
        return Table(title, ("PTX", "opcode", *names), rows)

    def __str__(self) -> str:
        return "\n".join(str(table) for table in self.tables())


def _pairs(asked: Counter[int], needed: Counter[int], first: str, second: str) -> dict[int, dict[str, int]]:
    return {line: {first: asked[line], second: needed[line]} for line in sorted(asked)}
