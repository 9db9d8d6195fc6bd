"""Slips of one token: errors point at them, and nothing crashes or hangs."""

from __future__ import annotations

import random
import resource
import time
from pathlib import Path

import pytest
from tests.unit.mutate_source import Mutation, mutate, mutate_alike
from tests.unit.sources import SOURCES, items

from tilewright.compiler.language.errors import Diagnostic, SourceErrors, outermost, render
from tilewright.compiler.language.frontend import load_module
from tilewright.compiler.language.parse import parse_items
from tilewright.compiler.language.span import Source

SMALL_TEXTS = items()
TEXTS = (*SOURCES.values(), *SMALL_TEXTS)
LIBRARY = Path(__file__).parents[2] / "compiler" / "library"
LIBRARY_TEXTS = tuple(path.read_text(encoding="utf-8") for path in sorted(LIBRARY.glob("*.tw")))
MOST_KILOBYTES = 2 * 2**20
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
    span = outermost(error.span)
    return span.source.text == mutation.text and span.start <= mutation.end and span.end >= mutation.start


def test_errors_point_at_the_mutated_token() -> None:
    pointed = [points_at(error, m) for m in mutations(300) for error in errors_of(m.text)]
    assert len(pointed) >= 200
    assert sum(pointed) >= 0.8 * len(pointed)


def test_the_first_error_is_nearly_always_the_cause() -> None:
    firsts = [(m, min(errors, key=Diagnostic.order)) for m in mutations(150, 1_000) if (errors := errors_of(m.text))]
    assert sum(points_at(error, m) for m, error in firsts) >= 0.9 * len(firsts)


def checked(text: str) -> tuple[Diagnostic, ...]:
    """All errors of a source, those of its meaning too."""
    started = time.process_time()
    try:
        load_module(Source("mutated.tw", text), LIBRARY)
    except SourceErrors as errors:
        assert str(errors)
        return errors.diagnostics
    finally:
        assert time.process_time() - started < LONGEST_SECONDS
    return ()


def share_of_errors_that_point_at_mutations(count: int) -> float:
    pointed = []
    for seed in range(count):
        random_ = random.Random(seed)
        mutation = mutate(random_.choice(LIBRARY_TEXTS), random_)
        pointed += [points_at(error, mutation) for error in checked(mutation.text)]
    assert len(pointed) >= count // 2
    return sum(pointed) / len(pointed)


def test_errors_of_the_library_point_at_the_mutated_token() -> None:
    assert share_of_errors_that_point_at_mutations(80) >= 0.8


@pytest.mark.soak
def test_a_thousand_mutations_of_the_library() -> None:
    assert share_of_errors_that_point_at_mutations(1_000) >= 0.8


@pytest.mark.soak
def test_many_mutated_sources() -> None:
    """100,000 sources, of which at least 30 % are sentences of the language and reach the checker."""
    sound = 0
    for seed in range(100_000):
        random_ = random.Random(seed)
        text = random_.choice(SMALL_TEXTS)
        mutation = mutate(text, random_) if seed % 2 else mutate_alike(text, random_)
        sound += all(not error.code.startswith("TW01") for error in checked(mutation.text))
    assert sound >= 30_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MOST_KILOBYTES
