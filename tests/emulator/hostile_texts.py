"""PTX that is built to hurt: huge, deep, endless. Run as a program it reads all of it and prints what that cost.

The cost is measured in a process of its own, so that nothing else adds to the peak of memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from random import Random

import numpy as np

from tilewright.runtime.emulator import Module, launch
from tilewright.runtime.emulator.errors import EmulatorError

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
REGISTERS = ".reg .b32 %r<9>; .reg .b64 %d<9>; .reg .pred %p<3>;\n"


def kernel(body: str, before: str = "") -> str:
    return f"{HEAD}{before}.visible .entry k(.param .u64 p)\n{{\n{REGISTERS}{body}\nret;\n}}\n"


def calls(depth: int, each: int) -> str:
    """Functions that call the next one several times."""
    lines = [f".func f{n}() {{ {f'call f{n - 1};' * each} ret; }}" for n in range(1, depth)]
    return kernel(f"call f{depth - 1};", "\n".join([".func f0() { ret; }", *lines, ""]))


MILLION = 10**6
DIGITS = "9" * 5000
HOSTILE: dict[str, Callable[[], str]] = {
    # size
    "forty megabytes": lambda: kernel("add.s32 %r1, %r2, %r3;\n" * 2 * MILLION),
    "seventy megabytes of blanks": lambda: kernel(" " * (70 << 20)),
    "a kernel too long": lambda: kernel("add.s32 %r1, %r2, %r3;\n" * 101_000),
    "calls that multiply": lambda: calls(15, 4),
    "calls without end": lambda: kernel("call f;", ".func f() { call f; ret; }\n"),
    "modifiers": lambda: kernel(f"add{'.s32' * MILLION} %r1, %r2, %r3;"),
    "operands": lambda: kernel(f"add.s32 {','.join(['%r1'] * MILLION)};"),
    "a vector": lambda: kernel(f"mov.b32 {{{','.join(['%r1'] * MILLION)}}}, %r2;"),
    "results": lambda: kernel(f"setp.eq.u32 {'|'.join(['%p1'] * MILLION)}, %r1, %r2;"),
    "offsets": lambda: kernel(f"ld.global.b32 %r1, [%d1{'+1' * MILLION}];"),
    "a name": lambda: kernel(f"add.s32 %{'a' * 10 * MILLION}, %r1, %r2;"),
    "random bytes": lambda: Random(0).randbytes(5 * MILLION).decode("latin1"),
    "zero bytes": lambda: "\0" * 10 * MILLION,
    # depth
    "scopes": lambda: kernel("{" * 100_000 + "}" * 100_000),
    "scopes left open": lambda: kernel("{\n" * 100_000),
    "braces in an operand": lambda: kernel(f"mov.b32 {'{' * 100_000}%r1{'}' * 100_000}, %r2;"),
    "brackets": lambda: kernel(f"ld.global.b32 %r1, {'[' * MILLION};"),
    "parentheses": lambda: kernel(f"call {'(' * MILLION};"),
    "comments left open": lambda: kernel("/*" * MILLION),
    # declarations
    "shared memory": lambda: kernel("", ".shared .b8 s[1099511627776];\n"),
    "shared memory that may exist elsewhere": lambda: kernel("mov.u32 %r1, s;", ".shared .b8 s[1000000];\n"),
    "local memory": lambda: kernel(".local .b8 s[99999999999];"),
    "local memory of one thread": lambda: kernel(".local .b8 s[1000000]; mov.u64 %d1, s;"),
    "parameters": lambda: f"{HEAD}.visible .entry k(.param .b8 p[99999999999])\n{{ ret; }}",
    "constants": lambda: f"{HEAD}.const .b8 x[99999999999];",
    "many variables": lambda: kernel("", "".join(f".global .b8 x{n}[100000000];\n" for n in range(100))),
    "dimensions": lambda: f"{HEAD}.global .b8 x{'[1000]' * 100_000};",
    "initial values": lambda: f"{HEAD}.global .b8 x[10] = {{{'1,' * 2 * MILLION}1}};",
    "a bad initial value": lambda: f"{HEAD}.global .f32 x = 1.2.3;",
    "an initial value too large": lambda: f"{HEAD}.global .f32 x = 1e50;",
    # numbers
    "a literal": lambda: kernel(f"mov.u32 %r1, {'9' * MILLION};"),
    "a register count": lambda: kernel(f".reg .b32 %z<{DIGITS}>;"),
    "an extent": lambda: f"{HEAD}.global .b8 x[{DIGITS}];",
    "an alignment": lambda: f"{HEAD}.global .align {DIGITS} .b8 x[4];",
    "an alignment of a parameter": lambda: f"{HEAD}.entry k(.param .align {DIGITS} .b8 p[4]) {{ ret; }}",
    "a version": lambda: f".version {DIGITS}.0\n",
    "a block size": lambda: f"{HEAD}.entry k() .reqntid {DIGITS}\n{{ ret; }}",
}
"""Each must be refused."""
HARMLESS: dict[str, Callable[[], str]] = {
    "ten million registers": lambda: kernel(".reg .b32 %z<10000000>; mov.u32 %z9999999, 1;"),
    "a million labels": lambda: kernel("".join(f"L{n}:\n" for n in range(MILLION))),
    "branch targets behind many labels": lambda: kernel(
        "".join(f"L{n}:\n" for n in range(3000)) + "".join(f"T{n}: .branchtargets L1;\n" for n in range(3000))
    ),
    "many small scopes": lambda: kernel("{ .reg .b32 %z; mov.u32 %z, 1; }\n" * 20_000),
    "a place of five thousand digits": lambda: kernel(f".loc {DIGITS} 1 1"),
    "a file of five thousand digits": lambda: kernel("", f'.file {DIGITS} "x"\n'),
    "blank lines": lambda: kernel("\n" * 10 * MILLION),
    "empty statements": lambda: kernel(";" * 200_000),
    "registers by name": lambda: kernel(f".reg .b32 {','.join(f'%a{n}' for n in range(300_000))};"),
    "attributes": lambda: f"{HEAD}.visible .entry {'.attribute(x) ' * 10_000}k(.param .u64 p) {{ ret; }}",
}
"""Each runs, although it looks as bad."""


def cost(make: Callable[[], str]) -> dict[str, object]:
    """What came of a text: the error class and message, CPU seconds, and the peak of memory so far in MiB."""
    text = make()
    start = time.process_time()
    error, message = "", ""
    try:
        launch(Module.parse(text), "k", (1,), (32,), args=[np.zeros(64, np.uint32)], max_steps=10_000)
    except EmulatorError as caught:
        error, message = type(caught).__name__, str(caught)
    seconds = time.process_time() - start
    return {"error": error, "message": message, "seconds": seconds, "characters": len(text), "peak": peak()}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    table = {"hostile": HOSTILE, "harmless": HARMLESS}[sys.argv[1]]
    print(json.dumps({"": {"peak": peak()}, **{name: cost(make) for name, make in table.items()}}))
