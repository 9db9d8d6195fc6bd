"""Schedules print and parse, and refuse what does not fit a nest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.passes.schedule import Block, Limit, Nest, Operand, Schedule, Stage, Where, check_nest, parse_schedule

names = st.sampled_from(["i", "j", "k", "n.1"])
blocks = st.builds(Block, names, st.integers(1, 512), st.sampled_from(Where))
stages = st.builds(Stage, st.sampled_from(Operand), st.integers(0, 9), st.booleans())
nest_names = st.sampled_from(["y", "y/fold", "s.2"])
nests = st.builds(Nest, nest_names, st.lists(blocks).map(tuple), st.lists(stages).map(tuple))
schedules = st.builds(
    Schedule,
    st.just("k_0"),
    st.lists(nests, unique_by=lambda n: n.name).map(tuple),
    warps=st.integers(0, 16),
    stages=st.integers(0, 8),
    order=st.sampled_from(["row", "grouped"]),
    when=st.lists(st.builds(Limit, names, st.integers(0, 64))).map(tuple),
)


@given(schedules)
def test_a_schedule_reads_back_what_it_prints(schedule: Schedule) -> None:
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "starts with"),
        ("launch k\n  speed 3", "unknown schedule option 'speed'"),
        ("launch k\n  y: tile i=four", "cannot read 'tile i=four'"),
        ("launch k\n  when i < 4", "cannot read the limit 'i < 4'"),
    ],
)
def test_bad_text_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_schedule(text)


def test_blocks_must_divide() -> None:
    nest = Nest("y", (Block("i", 96, Where.GRID), Block("i", 36, Where.TILE)))
    with pytest.raises(ValueError, match="does not divide the block of 96"):
        check_nest(nest, ["i"])


def test_unknown_indices_are_named() -> None:
    with pytest.raises(ValueError, match="has no index 'q'; it has i, j"):
        check_nest(Nest("y", (Block("q", 4, Where.LOOP),)), ["j", "i"])
