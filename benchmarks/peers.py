"""Owns the kernels that are measured, each beside the same computation in NumPy as one writes it, and in PyTorch.

A peer takes the tensors and scalars of the kernel by name. NumPy has no erf: the usual formula with tanh stands in for
it in gelu, at about the same cost. PyTorch is measured where it has one call for the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
Peer = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One kernel of the library at one size, in f32. ``consts`` go to the kernel alone."""

    file: str
    kernel: str
    inputs: Mapping[str, Any]
    numpy: Peer
    consts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> str:
        """The shapes of the two largest inputs."""
        shapes = [value.shape for value in self.inputs.values() if isinstance(value, np.ndarray)]
        largest = sorted(shapes, key=lambda shape: -int(np.prod(shape)))[:2]
        return ", ".join("x".join(map(str, shape)) for shape in largest)


# ---------------------------------------------------------------- NumPy


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_backward(y: Array, dy: Array) -> Array:
    return y * (dy - (y * dy).sum(axis=-1, keepdims=True))


def logsumexp(x: Array) -> Array:
    top = x.max(axis=-1, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=-1)) + top[..., 0]


def cross_entropy(z: Array, y: Array) -> Array:
    return logsumexp(z) - z[np.arange(len(y)), y]


def layernorm(x: Array, w: Array, b: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5)) * w + b


def layernorm_backward(x: Array, w: Array, mu: Array, r: Array, dy: Array) -> tuple[Array, ...]:
    xh, u = (x - mu[:, None]) * r[:, None], dy * w
    dx = r[:, None] * (u - u.mean(axis=-1, keepdims=True) - xh * (u * xh).mean(axis=-1, keepdims=True))
    return dx, (dy * xh).sum(axis=0), dy.sum(axis=0)


def rmsnorm(x: Array, w: Array) -> Array:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-6)) * w


def rmsnorm_backward(x: Array, w: Array, r: Array, dy: Array) -> tuple[Array, ...]:
    xh, u = x * r[:, None], dy * w
    return r[:, None] * (u - xh * (u * xh).mean(axis=-1, keepdims=True)), (dy * xh).sum(axis=0)


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def linear_backward(x: Array, w: Array, dy: Array) -> tuple[Array, ...]:
    return dy @ w, dy.T @ x, dy.sum(axis=0)


def swiglu_linear(x: Array, wa: Array, wb: Array) -> Array:
    return silu(x @ wa.T) * (x @ wb.T)


def conv2d(x: Array, w: Array, b: Array) -> Array:
    """3x3 with padding 1, channels last: one matrix product per tap."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.broadcast_to(b, (*x.shape[:3], w.shape[0])).copy()
    for r in range(3):
        for s in range(3):
            y += padded[:, r : r + height, s : s + width] @ w[:, r, s].T
    return y


def depthwise_conv2d(x: Array, w: Array, b: Array) -> Array:
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.broadcast_to(b, x.shape).copy()
    for r in range(3):
        for s in range(3):
            y += padded[:, r : r + height, s : s + width] * w[r, s]
    return y


def windows(x: Array) -> Array:
    """The 2x2 windows of an image, on axes 2 and 4."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels)


def attention(q: Array, k: Array, v: Array, scale: float) -> Array:
    return softmax(np.float32(scale) * (q @ k.swapaxes(-1, -2))) @ v


def rope(x: Array, pos: Array, freq: Array) -> Array:
    angle = (pos[..., None] * freq)[:, :, None, :]
    half = x.shape[-1] // 2
    first, second, sine, cosine = x[..., :half], x[..., half:], np.sin(angle), np.cos(angle)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


# ---------------------------------------------------------------- PyTorch


def torch_peers() -> dict[str, Peer]:
    """By kernel; empty where PyTorch is not installed."""
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        return {}
    torch.set_num_threads(1)
    return {
        "softmax": lambda x: torch.softmax(x, -1),
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "layernorm": lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b),
        "rmsnorm": lambda x, w: functional.rms_norm(x, x.shape[-1:], w, 1e-6),
        "matmul": lambda a, b: a @ b,
        "matmul_nt": lambda a, b: a @ b.T,
        "linear_gelu": lambda x, w, b: functional.gelu(functional.linear(x, w, b)),
        "gelu": lambda x: functional.gelu(x),
        "add": lambda a, b: a + b,
        "attention": lambda q, k, v, scale: functional.scaled_dot_product_attention(q, k, v, scale=scale),
        "embedding": lambda table, id: functional.embedding(id, table),
    }


# ---------------------------------------------------------------- cases


def cases(generator: np.random.Generator) -> list[Case]:
    """What is measured, in f32 at sizes that leave the cache."""

    def f(*shape: int) -> Array:
        return generator.standard_normal(shape).astype(np.float32)

    x, row, per_row = f(2048, 1024), f(1024), np.abs(f(2048)) + 1
    position = np.tile(np.arange(512, dtype=np.int32), (2, 1))
    return [
        Case("softmax", "softmax", {"x": f(8192, 1024)}, softmax),
        Case("softmax", "softmax_backward", {"y": softmax(x), "dy": f(2048, 1024)}, softmax_backward),
        Case("softmax", "logsumexp", {"x": x}, logsumexp),
        Case("losses", "cross_entropy", {"z": f(1024, 4096), "y": generator.integers(0, 4096, 1024)}, cross_entropy),
        Case("normalization", "layernorm", {"x": x, "w": row, "b": row}, layernorm),
        Case("normalization", "layernorm_backward",
             {"x": x, "w": row, "mu": f(2048), "r": per_row, "dy": f(2048, 1024)}, layernorm_backward),
        Case("normalization", "rmsnorm", {"x": x, "w": row}, rmsnorm),
        Case("normalization", "rmsnorm_backward", {"x": x, "w": row, "r": per_row, "dy": f(2048, 1024)},
             rmsnorm_backward),
        Case("linear", "matmul", {"a": f(1024, 1024), "b": f(1024, 1024)}, lambda a, b: a @ b),
        Case("linear", "matmul_nt", {"a": f(1024, 1024), "b": f(1024, 1024)}, lambda a, b: a @ b.T),
        Case("linear", "matmul_tn", {"a": f(1024, 1024), "b": f(1024, 1024)}, lambda a, b: a.T @ b),
        Case("linear", "matmul", {"a": f(1, 1024), "b": f(1024, 1024)}, lambda a, b: a @ b),
        Case("linear", "matmul_nt", {"a": f(1, 1024), "b": f(1024, 1024)}, lambda a, b: a @ b.T),
        Case("linear", "batched_matmul", {"a": f(16, 256, 256), "b": f(16, 256, 256)}, lambda a, b: a @ b),
        Case("linear", "linear_gelu", {"x": f(512, 1024), "w": f(1024, 1024), "b": row},
             lambda x, w, b: gelu(x @ w.T + b)),
        Case("linear", "linear_backward", {"x": f(512, 512), "w": f(512, 512), "dy": f(512, 512)}, linear_backward),
        Case("gated", "swiglu_linear", {"x": f(512, 512), "wa": f(512, 512) / 16, "wb": f(512, 512) / 16},
             swiglu_linear),
        Case("gated", "swiglu", {"a": x, "b": f(2048, 1024)}, lambda a, b: silu(a) * b),
        Case("elementwise", "add", {"a": x, "b": f(2048, 1024)}, lambda a, b: a + b),
        Case("elementwise", "gelu", {"x": x}, gelu),
        Case("convolution", "conv2d", {"x": f(1, 56, 56, 64), "w": f(64, 3, 3, 64), "b": f(64)}, conv2d,
             consts={"pad": 1}),
        Case("convolution", "depthwise_conv2d", {"x": f(1, 56, 56, 128), "w": f(3, 3, 128), "b": f(128)},
             depthwise_conv2d, consts={"pad": 1}),
        Case("pooling", "max_pool2d", {"x": f(8, 56, 56, 64)}, lambda x: windows(x).max(axis=(2, 4))),
        Case("pooling", "avg_pool2d", {"x": f(8, 56, 56, 64)}, lambda x: windows(x).mean(axis=(2, 4))),
        Case("attention", "attention", {**{name: f(1, 8, 512, 64) for name in "qkv"}, "scale": 0.125}, attention),
        Case("rope", "rope", {"x": f(2, 512, 8, 64), "pos": position, "freq": f(32)}, rope),
        Case("embedding", "embedding",
             {"table": f(5000, 256), "id": generator.integers(0, 5000, 4096).astype(np.int32)},
             lambda table, id: table[id]),
        Case("shapes", "transpose", {"x": x}, lambda x: np.ascontiguousarray(x.T)),
        Case("shapes", "concat", {"a": x, "b": f(2048, 512)}, lambda a, b: np.concatenate([a, b], axis=1)),
        Case("shapes", "swap_middle", {"x": f(8, 128, 8, 64)}, lambda x: np.ascontiguousarray(x.swapaxes(1, 2))),
    ]  # fmt: skip
