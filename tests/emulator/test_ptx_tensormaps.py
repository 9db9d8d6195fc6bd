"""TMA in im2col mode and with interleaved layouts, against loops over the definition in the ISA's words."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel

from tilewright.runtime.emulator import Module, Report, TensorMap, launch
from tilewright.runtime.emulator.errors import LaunchError, UnsupportedInstruction

COMPLETIONS = ["eager", "lazy", "random"]
LOAD = """
mov.u32 %r1, full;
mov.u32 %r2, memory;
setp.ne.u32 %p1, %t, 0;
@%p1 bra READY;
mbarrier.init.shared::cta.b64 [%r1], 1;
fence.proxy.async;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], {bytes};
{load}
READY:
bar.sync 0;
WAIT:
mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
@!%p2 bra WAIT;
mad.lo.u32 %r3, %t, {part}, %r2;
mad.wide.u32 %d1, %t, {part}, %q1;
{copy}
"""
STORE = """
mov.u32 %r2, memory;
mad.lo.u32 %r3, %t, {part}, %r2;
mad.wide.u32 %d1, %t, {part}, %q1;
{copy}
fence.proxy.async.shared::cta;
bar.sync 0;
setp.ne.u32 %p1, %t, 0;
@%p1 bra END;
{store}
cp.async.bulk.commit_group;
cp.async.bulk.wait_group.read 0;
END:
"""


def numbers(values: tuple[int, ...], kind: str = "s32") -> str:
    """Literal coordinates in registers are set first; TMA takes registers or literals."""
    return ", ".join(str(value) for value in values)


def load_text(rank: int, size: int, coordinates: tuple[int, ...], offsets: tuple[int, ...] | None) -> str:
    mode = "tile" if offsets is None else "im2col"
    tail = "" if offsets is None else f", {{{numbers(offsets)}}}"
    load = (
        f"cp.async.bulk.tensor.{rank}d.shared::cluster.global.{mode}.mbarrier::complete_tx::bytes "
        f"[%r2], [%q0, {{{numbers(coordinates)}}}], [%r1]{tail};"
    )
    part = size // 32
    copy = "\n".join(f"ld.shared.b8 %h1, [%r3+{i}]; st.global.b8 [%d1+{i}], %h1;" for i in range(part))
    return kernel(LOAD.format(bytes=size, load=load, part=part, copy=copy), pointers=1, maps=1)


def load_tile(
    tensor_map: TensorMap,
    size: int,
    coordinates: tuple[int, ...],
    offsets: tuple[int, ...] | None = None,
    **options: Any,
) -> tuple[Any, Report]:
    """The bytes of shared memory after one load."""
    raw = np.zeros(size, np.uint8)
    text = load_text(tensor_map.fields.rank, size, coordinates, offsets)
    return raw, launch(Module.parse(text), "k", (1,), (32,), args=[tensor_map, raw], **options)


def column(
    images: Any,
    lower: tuple[int, ...],
    upper: tuple[int, ...],
    channels: int,
    pixels: int,
    coordinates: tuple[int, ...],
    offsets: tuple[int, ...],
    steps: tuple[int, ...],
) -> Any:
    """The im2col definition, one pixel after the other: W fastest, back to the lower corner past the upper one."""
    spatial = len(lower)
    shape = images.shape[::-1]
    base, image = list(coordinates[1:-1]), coordinates[-1]
    out = np.zeros((pixels, channels), images.dtype)
    for pixel in range(pixels):
        place = [b + o for b, o in zip(base, offsets, strict=True)]
        inside = image < images.shape[0] and all(0 <= p < shape[1 + i] for i, p in enumerate(place))
        for c in range(channels):
            if inside and 0 <= coordinates[0] + c < shape[0]:
                out[pixel, c] = images[(image, *place[::-1], coordinates[0] + c)]
        axis = 0
        while axis < spatial:
            base[axis] += steps[axis]
            if base[axis] <= shape[1 + axis] - 1 + upper[axis]:
                break
            base[axis] = lower[axis]
            axis += 1
        image += axis == spatial
    return out


CASES = [
    ((3, 9, 16), (0,), (0,), 16, 12, (0, 2, 0), (0,), (1,)),
    ((3, 9, 16), (-1,), (-2,), 8, 24, (8, -1, 1), (3,), (1,)),
    ((2, 7, 6, 16), (-1, -1), (-1, -1), 16, 32, (0, 3, 5, 0), (1, 2), (1, 1)),
    ((2, 7, 6, 16), (-1, -1), (-1, -1), 8, 40, (8, -1, -1, 1), (2, 2), (2, 2)),
    ((2, 4, 5, 6, 8), (-1, -2, 0), (0, -1, -1), 8, 64, (0, 4, 1, 2, 0), (1, 2, 1), (1, 2, 1)),
    ((4, 8, 24), (0,), (0,), 16, 16, (16, 0, 3), (0,), (3,)),  # channels and images past the end
]


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_im2col_column(case: tuple[Any, ...], completion: str) -> None:
    shape, lower, upper, channels, pixels, coordinates, offsets, steps = case
    images = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint16).reshape(shape)
    made = TensorMap.im2col(images, lower, upper, channels, pixels, element_strides=(1, *steps, 1))
    raw, report = load_tile(made, pixels * channels * 2, coordinates, offsets, completion=completion)
    assert report.findings == [], [str(f) for f in report.findings]
    expected = column(images, lower, upper, channels, pixels, coordinates, offsets, steps)
    np.testing.assert_array_equal(raw.view(np.uint16).reshape(pixels, channels), expected)


def test_im2col_gives_a_convolution() -> None:
    """All filter taps of a padded 3x3 convolution, loaded tap by tap, multiply to the direct sum."""
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    images = rng.integers(-4, 5, (1, 6, 8, 8)).astype(np.float16)
    weights = rng.integers(-4, 5, (3, 3, 8)).astype(np.float64)
    made = TensorMap.im2col(images, (-1, -1), (-1, -1), 8, 48)
    total = np.zeros(48)
    for y in range(3):
        for x in range(3):
            raw, report = load_tile(made, 48 * 16, (0, -1, -1, 0), (x, y))
            assert report.findings == []
            total += raw.view(np.float16).reshape(48, 8).astype(np.float64) @ weights[y, x]
    padded = np.pad(images[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    direct = [(padded[y : y + 3, x : x + 3] * weights).sum() for y in range(6) for x in range(8)]
    np.testing.assert_array_equal(total, direct)


def test_im2col_fills_with_nan_and_swizzles() -> None:
    images = np.ones((1, 4, 4, 32), ml_dtypes.bfloat16)
    made = TensorMap.im2col(images, (-1, -1), (1, 1), 32, 32, fill=1, swizzle=64)
    raw, report = load_tile(made, 32 * 64, (0, -1, -1, 0), (0, 0))
    assert report.findings == []
    pixel = raw.view(np.uint16).reshape(32, 32)
    assert (pixel[0] == 0x7FFF).all()  # the first pixel lies outside; all its units stay in its row
    assert (pixel[7] == images.view(np.uint16)[0, 0, 0, 0]).all()  # pixel 7 of rows of 6 is (0, 0)
    plain, _ = load_tile(TensorMap.im2col(images, (-1, -1), (1, 1), 32, 32), 32 * 64, (0, -1, -1, 0), (0, 0))
    assert (plain.view(np.uint16).reshape(32, 32)[0] == 0).all()


@pytest.mark.parametrize(("interleave", "swizzle"), [(16, 0), (16, 32), (32, 32)])
def test_interleaved_tile(interleave: int, swizzle: int) -> None:
    """NC/8HWC8 and NC/16HWC16: the tile keeps batch, slice, row, pixel, channel in that order."""
    per_slice = interleave // 2
    shape = (2, 3, 4, 5, per_slice)
    tensor = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint16).reshape(shape)
    box = (2 * per_slice, 4, 2, 1)
    made = TensorMap.tiled(tensor, box, swizzle=swizzle, interleave=interleave)
    size = 2 * per_slice * 4 * 2 * 2
    raw, report = load_tile(made, size, (per_slice, 2, 3, 1))
    assert report.findings == [], [str(f) for f in report.findings]
    expected = np.zeros((2, 2, 4, per_slice), np.uint16)  # slice, row, pixel, channel
    for s, h, w in np.ndindex(2, 2, 4):
        if 1 + s < 3 and 3 + h < 4 and 2 + w < 5:
            expected[s, h, w] = tensor[1, 1 + s, 3 + h, 2 + w]
    flat, units = expected.view(np.uint8).reshape(-1, 16), np.arange(size // 16)
    if swizzle:
        units = units ^ (units // 8 % (swizzle // 16))
    np.testing.assert_array_equal(raw.reshape(-1, 16)[units], flat)


def test_interleaved_order_is_a_switch() -> None:
    tensor = np.arange(1 * 2 * 2 * 2 * 8, dtype=np.uint16).reshape(1, 2, 2, 2, 8)
    made = TensorMap.tiled(tensor, (16, 2, 2, 1), interleave=16)
    raw, _ = load_tile(made, 128, (0, 0, 0, 0), assume={"interleaved_box": "logical"})
    np.testing.assert_array_equal(raw.view(np.uint16).reshape(2, 2, 2, 8), tensor[0].transpose(1, 2, 0, 3))
    with pytest.raises(LaunchError, match="no assumption `box`"):
        load_tile(made, 128, (0, 0, 0, 0), assume={"box": "logical"})


@pytest.mark.parametrize("operation", ["", "add."])
def test_im2col_store(operation: str) -> None:
    """A store in im2col mode walks the same way and drops the pixels past the last image."""
    out = np.full((2, 3, 4, 8), 1, np.int32)
    data = np.arange(28 * 8, dtype=np.int32).reshape(28, 8)
    copy = "\n".join(
        f"ld.global.v2.b64 {{%d2, %d3}}, [%d1+{16 * i}]; st.shared.v2.b64 [%r3+{16 * i}], {{%d2, %d3}};"
        for i in range(2)
    )
    name = "cp.reduce.async.bulk.tensor" if operation else "cp.async.bulk.tensor"
    store = f"{name}.4d.global.shared::cta.{operation}im2col_no_offs.bulk_group [%q0, {{0, 1, 2, 0}}], [%r2];"
    text = kernel(STORE.format(part=32, copy=copy, store=store), pointers=1, maps=1)
    assert assembler_error(text) is None
    made = TensorMap.im2col(out, (0, 0), (0, 0), 8, 28)
    padded = np.zeros((32, 8), np.int32)
    padded[:28] = data
    report = launch(Module.parse(text), "k", (1,), (32,), args=[made, padded])
    assert report.findings == [], [str(f) for f in report.findings]
    expected = np.full((24, 8), 1)
    kept = min(28, 24 - 9)  # the walk starts at pixel (1, 2) of the first image
    expected[9 : 9 + kept] = data[:kept] + (1 if operation else 0)
    np.testing.assert_array_equal(out.reshape(24, 8), expected)


BAD_OPERANDS = [
    ((0, 9, 0, 0), (0, 0), "outside the pixel box"),
    ((0, 0, 0, 0), (300, 0), "im2col offsets"),
]


@pytest.mark.parametrize(("coordinates", "offsets", "message"), BAD_OPERANDS)
def test_bad_operands_are_findings(coordinates: tuple[int, ...], offsets: tuple[int, ...], message: str) -> None:
    images = np.ones((1, 4, 4, 8), np.float16)
    _, report = load_tile(TensorMap.im2col(images, (0, 0), (0, 0), 8, 16), 256, coordinates, offsets)
    found = [f for f in report.findings if f.kind == "tensor-map"]
    assert len(found) == 1 and message in found[0].message and not report.completed


def test_mode_and_rank_must_match() -> None:
    images = np.ones((1, 4, 4, 8), np.float16)
    _, report = load_tile(TensorMap.im2col(images, (0, 0), (0, 0), 8, 16), 256, (0, 0, 0, 0))
    assert "im2col mode, the instruction is not" in report.findings[0].message
    _, report = load_tile(TensorMap.tiled(images, (8, 4, 4, 1)), 256, (0, 0, 0, 0), (0, 0))
    assert "tile mode, the instruction is not" in report.findings[0].message


BAD_MAPS: list[tuple[Any, str]] = [
    (lambda x: TensorMap.im2col(x, (0, 0), (0, 0), 4, 16), "not a multiple of 16"),
    (lambda x: TensorMap.im2col(x, (0, 0), (0, 0), 8, 1025), "pixels per column"),
    (lambda x: TensorMap.im2col(x, (0, 0), (-4, 0), 8, 16), "is empty"),
    (lambda x: TensorMap.im2col(x, (-129, 0), (0, 0), 8, 16), "corners"),
    (lambda x: TensorMap.im2col(x, (0,), (0, 0), 8, 16), "does not go with"),
    (lambda x: TensorMap.im2col(x[0, 0], (), (), 8, 16), "needs rank 3 to 5"),
    (lambda x: TensorMap.tiled(x, (8, 4, 4, 1), interleave=16), "rank|does not go"),
    (lambda x: TensorMap.tiled(x, (8, 4, 4, 1), interleave=32), "interleaved tensor is"),
    (lambda x: TensorMap.tiled(x.reshape(1, 1, 4, 4, 8), (8, 4, 4, 1), interleave=8), "interleave 8"),
    (lambda x: TensorMap.tiled(x.view(np.int16), (8, 4, 4, 1), fill=1), "NaN cannot fill"),
    (lambda x: TensorMap.tiled(x, (8, 257, 4, 1)), "extents must be 1 to 256"),
    (lambda x: TensorMap.tiled(x, (8, 4, 4, 1), element_strides=(1, 9, 1, 1)), "must be 1 to 8"),
]


@pytest.mark.parametrize(("make", "message"), BAD_MAPS)
def test_bad_maps_are_refused(make: Any, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        make(np.ones((1, 4, 4, 8), np.float16))


@pytest.mark.parametrize("mode", ["tile::gather4", "im2col::w"])
def test_later_modes_are_refused_by_name(mode: str) -> None:
    text = load_text(4, 256, (0, 0, 0, 0), (0, 0)).replace(".im2col.", f".{mode}.")
    with pytest.raises(UnsupportedInstruction, match="needs sm_100"):
        launch(
            Module.parse(text),
            "k",
            (1,),
            (32,),
            args=[TensorMap.tiled(np.ones((1, 1, 1, 8), np.float16), (8, 1, 1, 1)), np.zeros(256, np.uint8)],
        )
    assert "not supported" in str(assembler_error(text))


def test_spellings_are_real() -> None:
    for rank in (3, 4, 5):
        assert assembler_error(load_text(rank, 256, (0,) * rank, (0,) * (rank - 2))) is None
