"""Every kernel of the library with arguments for it and its NumPy peer; shared by all tiers of tests.

``arguments`` draws one call: sizes of a shape class, data of a data class. The peers never see the language.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tilewright.compiler.library
from tests.data_classes import fill, sizes
from tests.numpy_peers import attention, common, convolution, dense, elementwise, losses, movement, norms
from tests.sources import typed_kernel
from tilewright.compiler.language import typed

Array = NDArray[Any]
Sizes = dict[str, int]
Arguments = dict[str, Any]
FLOATS = ("f32", "f16", "bf16", "f64")
FOLDER = Path(tilewright.compiler.library.__path__[0])


@dataclass(frozen=True)
class Case:
    """One kernel.

    ``tensors``: ``name:dim,dim`` with ``/dtype`` for another type than T and ``%`` for integers below a dim
    (``id:A/i32%V``). ``fit`` makes random sizes legal. ``peer`` takes the arguments and gives outputs by name.
    """

    module: str
    kernel: str
    tensors: str
    peer: Callable[..., dict[str, Any]]
    consts: dict[str, Any] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    fit: Callable[[Sizes], Sizes] = lambda given: given
    dtypes: tuple[str, ...] = FLOATS
    prepare: Callable[[Arguments], Arguments] = lambda given: given

    @property
    def id(self) -> str:
        return "-".join([self.kernel, *(f"{name}{value}" for name, value in self.consts.items())])

    def typed(self, dtype: str) -> typed.TypedKernel:
        """The typed kernel for T = ``dtype``."""
        return typed_kernel(FOLDER / f"{self.module}.tw", self.kernel, {"T": dtype}, self.consts)

    def arguments(self, dtype: str, data: str, shape: str, seed: int = 0) -> Arguments:
        """Arguments of one call; the same for the same five values."""
        key = f"{self.id}/{dtype}/{data}/{shape}/{seed}"
        generator = np.random.default_rng(zlib.crc32(key.encode()))
        specs = [spec.split(":") for spec in self.tensors.split()]
        names = sorted({d for _, rest in specs for d in _dims(rest) if d.isidentifier()})
        given = self.fit(dict(zip(names, sizes(shape, len(names), generator), strict=True)))
        drawn: Arguments = {name: _draw(rest, given, dtype, data, generator) for name, rest in specs}
        return self.prepare(drawn | self.scalars)

    def expected(self, arguments: Arguments) -> dict[str, Array]:
        """What the peer computes, float64."""
        with np.errstate(all="ignore"):
            return self.peer(**arguments, **self.consts)


def _dims(rest: str) -> list[str]:
    shape = rest.split("/")[0]
    return [part.rstrip("*0123456789") for part in shape.split(",") if part] + rest.split("%")[1:]


def _draw(rest: str, given: Sizes, dtype: str, data: str, generator: np.random.Generator) -> Array:
    shape_text, _, kind = rest.partition("/")
    shape = tuple(_extent(part, given) for part in shape_text.split(",") if part)
    kind, _, limit = (kind or dtype).partition("%")
    if limit:
        return generator.integers(0, max(given[limit], 1), shape).astype(kind.replace("i", "int"))
    return fill(data, shape, kind, generator)


def _extent(part: str, given: Sizes) -> int:
    name, _, factor = part.partition("*")
    return (given[name] if name in given else int(name)) * int(factor or 1)


# ---------------------------------------------------------------- legal sizes


def _heads(given: Sizes) -> Sizes:
    """H a multiple of G, and no empty group."""
    groups = max(given["G"], 1) if given["H"] else 1
    return {**given, "G": min(groups, 3), "H": min(groups, 3) * min(max(given["H"], 0), 2)}


def _keys(given: Sizes) -> Sizes:
    """Causal attention in which every query sees a key."""
    given = _heads(given)
    return {**given, "S": min(given["S"], given["L"])}


def _window(given: Sizes, reach: int = 3) -> Sizes:
    """Images at least as large as the window, small enough to be quick."""
    limits = {"R": 3, "S": 3, "N": 2, "C": 5, "K": 5, "CG": 3, "H": 9, "W": 9}
    small = {name: min(size, limits.get(name, size)) for name, size in given.items()}
    for side, rows in (("H", "R"), ("W", "S")):
        small[rows] = max(small.get(rows, reach), 1)
        small[side] = max(small[side], reach * 2)
    return small


def _no_empty_rows(given: Sizes, rows: str, table: str) -> Sizes:
    return {**given, rows: given[rows] if given[table] else 0}


def _ignore_without_classes(given: Arguments) -> Arguments:
    """Every third row is ignored, and all of them where there is no class."""
    labels = given["y"].copy()
    labels[::3] = -100
    if not given["z"].shape[1]:
        labels[:] = -100
    return {**given, "y": labels}


def _statistics(given: Arguments) -> Arguments:
    """Statistics that belong to the data, as a forward pass leaves them."""
    x = given["x"].astype(np.float64)
    with np.errstate(all="ignore"):
        mean = x.sum(axis=1) / x.shape[1] if x.shape[1] else np.zeros(len(x))
        scale = 1.0 / np.sqrt(((x - mean[:, None]) ** 2).sum(axis=1) / max(x.shape[1], 1) + 1e-5)
        known = {"mu": mean.astype(np.float32), "r": scale.astype(np.float32)}
    return {**given, **{name: value for name, value in known.items() if name in given}}


def _labels_in_range(given: Arguments) -> Arguments:
    given = _ignore_without_classes(given)
    with np.errstate(all="ignore"):
        lse = common.logsumexp(given["z"].astype(np.float64)).astype(np.float32)
    return {**given, "lse": lse}


# ---------------------------------------------------------------- the kernels

LINEAR = "x:M,K w:N,K b:N"
ROW = "x:M,N"
PAIR = "a:M,N b:M,N"
NORM = "x:M,C w:C b:C"


def _linear(kernel: str, activation: Callable[[Array], Array]) -> Case:
    return Case("linear", kernel, LINEAR, lambda x, w, b: {"y": dense.linear(x, w, b, None, activation)})


def _map(kernel: str, function: Callable[[Array], Array], tensors: str = ROW) -> Case:
    return Case("elementwise", kernel, tensors, lambda x: {"y": function(common.wide(x)[0])})


def _back(kernel: str, slope: Callable[[Array], Array]) -> Case:
    def peer(x: Array, dy: Array) -> dict[str, Array]:
        x, dy = common.wide(x, dy)
        return {"dx": dy * slope(x)}

    return Case("elementwise", kernel, "x:M,N dy:M,N", peer)


def _conv(x: Array, w: Array, b: Array, stride: int = 1, pad: int = 0, dilation: int = 1) -> dict[str, Array]:
    return {"y": convolution.conv2d(x, w, b, stride, pad, dilation)}


def _conv_relu(x: Array, w: Array, b: Array, stride: int = 1, pad: int = 0, dilation: int = 1) -> dict[str, Array]:
    return {"y": common.relu(convolution.conv2d(x, w, b, stride, pad, dilation))}


def _attention(q: Array, k: Array, v: Array, scale: float, causal: bool) -> dict[str, Array]:
    o, lse = attention.attention(q, k, v, float(np.float32(scale)), causal)
    return {"o": o, "lse": lse}


def _loss(z: Array, y: Array) -> dict[str, Array]:
    """The loss is taken from the logsumexp that was stored, and the mean from the losses that were."""
    _, lse = losses.cross_entropy(z, y)
    loss = losses.picked_loss(z, y, _stored(lse))
    return {"l": loss, "lse": lse, "loss": np.divide(_stored(loss).sum(), (y != -100).sum())}


def _stored(statistic: Array) -> Array:
    """A statistic as a kernel reads it back: in f32."""
    return statistic.astype(np.float32).astype(np.float64)


def _layernorm_train(x: Array, w: Array, b: Array) -> dict[str, Array]:
    _, mean, scale = norms.layernorm(x, w, b, _EPS)
    wide_x, wide_w, wide_b = common.wide(x, w, b)
    y = (wide_x - _stored(mean)[:, None]) * _stored(scale)[:, None] * wide_w + wide_b
    return {"y": y, "mu": mean, "r": scale}


def _rmsnorm_train(x: Array, w: Array) -> dict[str, Array]:
    _, scale = norms.rmsnorm(x, w, _EPS_RMS)
    return {"y": common.wide(x)[0] * _stored(scale)[:, None] * common.wide(w)[0], "r": scale}


def _add_rmsnorm(x: Array, a: Array, w: Array) -> dict[str, Array]:
    total = np.add(*common.wide(x, a))
    return _rmsnorm_train(total, w) | {"z": total}


_CONV = "x:N,H,W,C w:K,R,S,C b:K"
_EPS = float(np.float32(1e-5))
_EPS_RMS = float(np.float32(1e-6))

CASES: tuple[Case, ...] = (
    _map("relu", common.relu), _map("gelu", common.gelu), _map("silu", common.silu),
    _back("relu_backward", elementwise.drelu), _back("gelu_backward", elementwise.dgelu),
    _back("silu_backward", elementwise.dsilu),
    Case("elementwise", "scale", ROW, lambda x, a: {"y": a * common.wide(x)[0]}, scalars={"a": 0.75}),
    Case("elementwise", "add", PAIR, lambda a, b: {"y": np.add(*common.wide(a, b))}),
    Case("elementwise", "add_bias", "x:M,N b:N", lambda x, b: {"y": np.add(*common.wide(x, b))}),
    Case("linear", "matmul", "a:M,K b:K,N", lambda a, b: {"y": dense.matmul(a, b)}),
    Case("linear", "matmul_nt", "a:M,K b:N,K", lambda a, b: {"y": dense.matmul(a, b.T)}),
    Case("linear", "matmul_tn", "a:K,M b:K,N", lambda a, b: {"y": dense.matmul(a.T, b)}),
    Case("linear", "matmul_tt", "a:K,M b:N,K", lambda a, b: {"y": dense.matmul(a.T, b.T)}),
    Case("linear", "batched_matmul", "a:B,M,K b:B,K,N", lambda a, b: {"y": dense.matmul(a, b)}),
    Case("linear", "batched_matmul_nt", "a:B,M,K b:B,N,K", lambda a, b: {"y": dense.matmul(a, b.swapaxes(1, 2))}),
    Case("linear", "gemm", "a:M,K b:K,N c:M,N",
         lambda a, b, c, alpha, beta: {"y": alpha * dense.matmul(a, b) + beta * common.wide(c)[0]},
         scalars={"alpha": 0.5, "beta": -2.0}),
    _linear("linear", common.identity), _linear("linear_relu", common.relu),
    _linear("linear_gelu", common.gelu), _linear("linear_silu", common.silu),
    Case("linear", "linear_kn", "x:M,K w:K,N b:N", lambda x, w, b: {"y": dense.linear(x, w.T, b)}),
    Case("linear", "linear_residual", f"{LINEAR} r:M,N", lambda x, w, b, r: {"y": dense.linear(x, w, b, r)}),
    Case("linear", "linear_gelu_residual", "x:M,K w:K,N b:N r:M,N", lambda x, w, b, r: {
        "y": dense.linear(x, w.T, b, r, common.gelu), "z": dense.linear(x, w.T, b)}),
    Case("linear", "linear_backward", "x:M,K w:N,K dy:M,N", lambda x, w, dy: dense.linear_backward(x, w, dy)),
    Case("softmax", "softmax", ROW, lambda x: {"y": norms.softmax(x)}),
    Case("softmax", "scaled_softmax", ROW, lambda x, scale: {"y": norms.softmax(common.wide(x)[0] * scale)},
         scalars={"scale": 0.125}),
    Case("softmax", "log_softmax", ROW, lambda x: {"y": norms.log_softmax(x)}),
    Case("softmax", "logsumexp", ROW, lambda x: {"y": common.logsumexp(common.wide(x)[0])}),
    Case("softmax", "softmax_backward", "y:M,N dy:M,N", lambda y, dy: {"dx": norms.softmax_backward(y, dy)}),
    Case("softmax", "log_softmax_backward", "y:M,N dy:M,N",
         lambda y, dy: {"dx": norms.log_softmax_backward(y, dy)}),
    Case("normalization", "layernorm", NORM, lambda x, w, b: {"y": norms.layernorm(x, w, b, _EPS)[0]}),
    Case("normalization", "layernorm_train", NORM,
         _layernorm_train),
    Case("normalization", "layernorm_backward", "x:M,C w:C mu:M/f32 r:M/f32 dy:M,C",
         lambda x, w, mu, r, dy: dict(zip(("dx", "dw", "db"), norms.layernorm_backward(x, w, mu, r, dy), strict=True)),
         prepare=_statistics),
    Case("normalization", "rmsnorm", "x:M,C w:C", lambda x, w: {"y": norms.rmsnorm(x, w, _EPS_RMS)[0]}),
    Case("normalization", "rmsnorm_train", "x:M,C w:C",
         _rmsnorm_train),
    Case("normalization", "add_rmsnorm", "x:M,C a:M,C w:C", _add_rmsnorm),
    Case("normalization", "rmsnorm_backward", "x:M,C w:C r:M/f32 dy:M,C",
         lambda x, w, r, dy: dict(zip(("dx", "dw"), norms.rmsnorm_backward(x, w, r, dy), strict=True)),
         prepare=_statistics),
    Case("normalization", "groupnorm", "x:N,P,C w:C b:C",
         lambda x, w, b, groups: {"y": norms.groupnorm(x, w, b, _EPS, groups)}, consts={"groups": 2},
         fit=lambda given: {**given, "C": given["C"] * 2}),
    Case("gated", "swiglu", PAIR, lambda a, b: {"h": dense.swiglu_pointwise(a, b)}),
    Case("gated", "swiglu_packed", "ab:M,N*2",
         lambda ab: {"h": dense.swiglu_pointwise(*np.split(common.wide(ab)[0], 2, axis=1))}),
    Case("gated", "swiglu_backward", "dh:M,N a:M,N b:M,N", lambda dh, a, b: dense.swiglu_backward(dh, a, b)),
    Case("gated", "swiglu_linear", "x:M,K wa:N,K wb:N,K", lambda x, wa, wb: {
        "h": dense.swiglu(x, wa, wb), "a": dense.linear(x, wa), "b": dense.linear(x, wb)}),
    Case("gated", "geglu", PAIR, lambda a, b: {"h": common.gelu(common.wide(a)[0]) * common.wide(b)[0]}),
    Case("rope", "rope", "x:B,S,H,D*2 pos:B,S/i32%L freq:D/f32",
         lambda x, pos, freq, sign: {"y": attention.rope_positions(x, pos, freq, sign)}, consts={"sign": 1}),
    Case("rope", "rope", "x:B,S,H,D*2 pos:B,S/i32%L freq:D/f32",
         lambda x, pos, freq, sign: {"y": attention.rope_positions(x, pos, freq, sign)}, consts={"sign": -1}),
    Case("rope", "rope_interleaved", "x:B,S,H,D*2 th:S,D/f32", lambda x, th, sign: {
        "y": attention.rope_interleaved(x, th[:, None], sign)}, consts={"sign": 1}),
    Case("losses", "cross_entropy", "z:R,V y:R/i64%V", _loss, prepare=_ignore_without_classes),
    Case("losses", "cross_entropy_backward", "z:R,V y:R/i64%V lse:R/f32 g:R/f32",
         lambda z, y, lse, g: {"dz": losses.cross_entropy_backward(z, y, lse, g)}, prepare=_labels_in_range),
    Case("losses", "mse", "x:M,N y:M,N", lambda x, y: {"loss": losses.mse(x, y)}),
    Case("convolution", "conv2d", _CONV, _conv, fit=_window),
    Case("convolution", "conv2d", _CONV, _conv, {"stride": 2, "pad": 1}, fit=_window),
    Case("convolution", "conv2d", _CONV, _conv, {"pad": 2, "dilation": 2}, fit=_window),
    Case("convolution", "conv2d_relu", _CONV, _conv_relu, {"stride": 1, "pad": 1}, fit=_window),
    Case("convolution", "conv2d_grouped", "x:N,H,W,CG*2 w:K*2,R,S,CG", lambda x, w, groups, stride, pad: {
        "y": convolution.conv2d(x, w, None, stride, pad, 1, groups)}, {"groups": 2, "stride": 2, "pad": 1},
         fit=lambda given: {**_window(given), "K": max(_window(given)["K"], 1)}),
    Case("convolution", "depthwise_conv2d", "x:N,H,W,C w:R,S,C b:C", lambda x, w, b, stride, pad: {
        "y": convolution.depthwise_conv2d(x, w, b, stride, pad)}, {"stride": 2, "pad": 1}, fit=_window),
    Case("convolution", "causal_conv1d", "x:B,L,D w:D,K b:D",
         lambda x, w, b: {"y": convolution.depthwise_conv1d(x, w, b)},
         fit=lambda given: {**given, "K": max(min(given["K"], 5), 1)}),
    Case("pooling", "max_pool2d", "x:N,H,W,C", lambda x, R, S, stride, pad: {
        "y": convolution.maxpool2d(x, R, stride, pad)[0]}, {"R": 3, "S": 3, "stride": 2, "pad": 1}, fit=_window),
    Case("pooling", "max_pool2d_train", "x:N,H,W,C", lambda x, R, S, stride, pad: dict(
        zip(("y", "place"), convolution.maxpool2d(x, R, stride, pad), strict=True)),
         {"R": 2, "S": 2, "stride": 2, "pad": 0}, fit=_window),
    Case("pooling", "avg_pool2d", "x:N,H,W,C", lambda x, R, S, stride, pad: {
        "y": convolution.avgpool2d(x, R, stride, pad)}, {"R": 3, "S": 3, "stride": 1, "pad": 1}, fit=_window),
    Case("pooling", "global_avg_pool2d", "x:N,H,W,C", lambda x: {"y": convolution.global_average(x)},
         fit=lambda given: {name: min(size, 9) for name, size in given.items()}),
    Case("embedding", "embedding", "table:V,D id:A/i32%V", lambda table, id: {"y": movement.embedding(table, id)},
         fit=partial(_no_empty_rows, rows="A", table="V")),
    Case("embedding", "embedding_position", "table:V,D position:L,D id:B,S/i32%V",
         lambda table, position, id: {"y": movement.embedding_position(table, position, id)},
         fit=lambda given: {**given, "V": max(given["V"], 1), "S": min(given["S"], given["L"])}),
    Case("embedding", "embedding_sum", "table:V,D id:A,R/i32%V weight:A,R/f32",
         lambda table, id, weight: {"y": movement.embedding_sum(table, id, weight)},
         fit=partial(_no_empty_rows, rows="A", table="V")),
    Case("attention", "attention", "q:B,H,S,D k:B,G,L,D v:B,G,L,D", _attention, {"causal": False},
         scalars={"scale": 0.3}, fit=_heads),
    Case("attention", "attention", "q:B,H,S,D k:B,G,L,D v:B,G,L,D", _attention, {"causal": True},
         scalars={"scale": 0.3}, fit=_keys),
    Case("shapes", "transpose", ROW, lambda x: {"y": movement.transpose(x)}, dtypes=(*FLOATS, "i8", "u32", "bool")),
    Case("shapes", "swap_middle", "x:B,S,H,D", lambda x: {"y": common.wide(x)[0].swapaxes(1, 2)}),
    Case("shapes", "concat", "a:R,M b:R,N", lambda a, b: {"y": movement.concat(a, b)}, dtypes=(*FLOATS, "i64", "u8")),
    Case("shapes", "pad2d", ROW, lambda x, value, **sides: {"y": movement.pad2d(x, value, **sides)},
         {"top": 1, "bottom": 0, "left": 2, "right": 1}, {"value": -1.5}),
)  # fmt: skip
