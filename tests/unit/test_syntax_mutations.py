"""Slips of one token: errors point at them, and nothing crashes or hangs."""

from __future__ import annotations

import random
import time

import pytest
from tests.unit.mutate_source import Mutation, mutate, mutate_alike
from tests.unit.sources import SOURCES, items

from tilewright.compiler.language.errors import Diagnostic, render
from tilewright.compiler.language.parse import parse_items
from tilewright.compiler.language.span import Source

TEXTS = (*SOURCES.values(), *items())
LONGEST_SECONDS = 10


def mutations(count: int, first_seed: int = 0) -> list[Mutation]:
    made = []
    for seed in range(first_seed, first_seed + count):
        random_ = random.Random(seed)
        made.append(mutate(random_.choice(TEXTS), random_))
    return made


def errors_of(text: str) -> tuple[Diagnostic, ...]:
    started = time.process_time()
    errors = parse_items(Source("mutated.tw", text)).errors
    assert time.process_time() - started < LONGEST_SECONDS
    assert render(errors) is not None
    return errors


def points_at(error: Diagnostic, mutation: Mutation) -> bool:
    return error.span.start <= mutation.end and error.span.end >= mutation.start


def test_errors_point_at_the_mutated_token() -> None:
    pointed = [points_at(error, m) for m in mutations(300) for error in errors_of(m.text)]
    assert len(pointed) >= 200
    assert sum(pointed) >= 0.8 * len(pointed)


def test_the_first_error_is_nearly_always_the_cause() -> None:
    firsts = [(m, min(errors, key=Diagnostic.order)) for m in mutations(150, 1_000) if (errors := errors_of(m.text))]
    assert sum(points_at(error, m) for m, error in firsts) >= 0.9 * len(firsts)


@pytest.mark.soak
def test_many_mutated_sources() -> None:
    """100,000 sources, of which at least 30 % are sentences of the language and reach the checker."""
    sound = 0
    for seed in range(100_000):
        random_ = random.Random(seed)
        text = random_.choice(TEXTS)
        mutation = mutate(text, random_) if seed % 2 else mutate_alike(text, random_)
        sound += not errors_of(mutation.text)
    assert sound >= 30_000
