"""Owns the kernels around the short examples of the catalogue."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry, Stage

HEADER = "kernel f[M, N](x: f32[M, N], v: f32[N], id: i32[M]; a: f32, const n: int = 2) -> (y: f32[M, N]):\n"
"""A matrix, a vector, integers, a run-time scalar and a compile-time value."""


def body_entry(code: str, title: str, explanation: str, bad: str, good: str, before: str = "") -> Entry:
    """An entry whose examples are bodies of one kernel; ``before`` stands above the kernel."""
    return Entry(code, title, explanation, before + _kernel(bad), before + _kernel(good))


def _kernel(body: str) -> str:
    return HEADER + "".join(f"    {line}\n" for line in body.split("\n"))


def file_entry(code: str, title: str, explanation: str, bad: str, good: str, stage: Stage = "check") -> Entry:
    """An entry whose examples are whole files, calls or commands."""
    return Entry(code, title, explanation, bad, good, stage)
