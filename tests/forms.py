"""Small kernels, one for each form of the language that random programs seldom have, with data for them.

Each is run on every road: the tensor level as it is written first, native code in small tiles with its passes judged,
and sm_80 in the emulator.
"""

from __future__ import annotations

import textwrap

import numpy as np

from tests.cpu.native_programs import NUMPY
from tests.fuzz.program import Array, Program
from tests.sources import typed_text
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.reference import dims as reference

SIZES = {"M": 3, "N": 7, "K": 5, "G": 1, "P": 2}
LIMIT = 9
"""Integers lie between -LIMIT and LIMIT; unsigned ones of 32 bits use all bits."""

FORMS = {
    # ------------------------------------------------ scalars
    "extremes of unsigned": """
        kernel k[N](a: u32[N], b: u32[N]) -> (y: u32[N], z: u32[N]):
            y[i] = max(a[i], b[i])
            z[i] = min(a[i], b[i])
    """,
    "division of unsigned": """
        kernel k[N](a: u32[N], b: u32[N]) -> (y: u32[N], z: u32[N], v: u32[N], w: u32[N]):
            y[i] = a[i] // b[i]
            z[i] = a[i] % b[i]
            v[i] = a[i] // (b[i] % 3 + 1)
            w[i] = a[i] % (b[i] % 3 + 1)
    """,
    "bool of float": "kernel k[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = i32(bool(floor(x[i])))",
    "half to half": "kernel k[N](x: f16[N]) -> (y: bf16[N]):\n    y[i] = bf16(f16(x[i] * 3))",
    "from the widest to the narrowest": """
        kernel k[N](x: f64[N]) -> (y: f16[N], z: bf16[N], w: f16, v: f16[N]):
            y[i] = tanh(f32(x[i]))
            z[i] = erf(f32(x[i]))
            w = f16(tanh(f32(x[0] else 0)))
            v[i] = f16(x[i]) + f16(sin(f32(x[i]) * 40)) + f16(-f32(x[i])) * f16(abs(f32(x[i])))
    """,
    "constant conditions": """
        kernel k[N](x: f32[N]) -> (y: f32[N], z: f32[N], w: f32[N]):
            y[i] = x[i] if 1 < 2 else x[i] + 1
            z[i] = x[i] if 2 < 1 else x[i] + 1
            w[i] = sum[j where (j < i or 1 < 2) and not (2 < 1) and j < N - 1](x[j]) if 1 < 2 else 0
    """,
    "tf32": """
        kernel k[N](x: f32[N], h: f16[N]) -> (y: f32[N], z: f32[N], v: f32[N]):
            y[i] = tf32(x[i])
            z[i] = tf32(f32(h[i])) + tf32(inf) + tf32(x[i] * 0.001)
            v[i] = sum[j](tf32(x[j]) * tf32(x[i]))
    """,
    "constants of the compilation": """
        kernel k[N](x: f32[N]; const on: bool = true, const off: bool = false, const n: int = 3) -> (
                a: f32[N], b: f32[N], c: f32[N]
            ):
            a[i] = x[i] if on else x[i] / 0
            b[i] = (x[i + n] else -n) if off else (x[i - n] else - -n)
            c[i] = sum[j where (on or j < i) and (off or j <= i) and not (off and j > 2) and (j > 0 or off)](x[j])
    """,
    "negated numbers": """
        kernel k[N](x: i8[N], s: f32[N]) -> (y: i8[N], z: f32[N]):
            y[i] = i8(x[i - 1] else -3) + i8(x[i + 1] else - -7)
            z[i] = s[i] - -2 * - -s[i] + max(-inf, (s[i - 1] else -inf)) * 0 + min(inf, (s[i + 1] else - -9))
    """,
    "numbers": """
        kernel k[N](x: i32[N]) -> (a: i32[N], b: u32[N], c: i32[N], d: f32[N], e: u8[N], f: f32[N], g: i32[N]):
            a[i] = (i32(7) << 3) - (i32(-9) >> 1) + (i32(1) << 33) + x[i]
            b[i] = (u32(4294967295) >> 5) + max(u32(7), u32(4294967290)) + min(u32(3), u32(4294967290))
            c[i] = i32(-2.75) + i32(1e20) + i32(nan) + x[i]
            d[i] = f32(u32(4294967295)) + f32(u32(3) - u32(5)) + x[i]
            e[i] = u8(u32(300.0) // u32(7) % u32(40)) + u8(255.9)
            f[i] = f32(f16(2049.0) + bf16(257.0)) + f32(f64(16777217.0))
            g[i] = i32(u32(4294967290) > u32(5)) + i32(i32(-6) > 5) * 2 + i32(nan < 1.0) * 4 + i32(nan != 1.0) * 8
    """,
    "powers of positions": """
        kernel k[N](a: i64[N], x: i32[N]) -> (y: i64[N], z: i32[N], w: i32[N]):
            y[i] = i64(i) ** (a[0] & 7)
            z[i] = x[i] ** (i32(i) & 3)
            w[i] = (i32(i) - 3) ** (x[i] & 3)
    """,
    "said twice": """
        kernel k[N](x: i32[N], s: f32[N]) -> (a: i32[N], b: i32[N], c: f32[N], d: i32[N], e: i32[N]):
            a[i] = ~~x[i] + ~(x[i] ^ 5)
            b[i] = i32(not not (x[i] > 0)) + i32(not (not (x[i] > 1) and not (x[i] < -1)))
            c[i] = -(-s[i]) + (s[i] - -(s[i] * 2)) + abs(abs(-s[i]))
            d[i] = max(max(x[i], 3), 3) - min(x[i], x[i]) + (x[i] if x[i] == x[i] else 7)
            e[i] = i32(i < i + 1) + i32(i - 1 >= i) * 2 + i32(N + i > i) * 4 + i32(2 * i == i + i) * 8
    """,
    "an index of a float": """
        kernel k[N](x: f32[N], s: f32[N]) -> (y: f32[N]):
            y[i] = (x[i64(s[i] * 4)] else -1)
    """,
    "products of integers": """
        kernel k[M, N, K](a: i32[M, K], b: i32[K, N], c: i8[M, K], d: i8[K, N]) -> (y: i32[M, N], z: i32[M, N]):
            y[i, j] = sum[k](a[i, k] * b[k, j])
            z[i, j] = sum[k](c[i, k] * d[k, j])
    """,
    "products of mixed floats": """
        kernel k[M, N, K](a: f16[M, K], b: f32[K, N], c: bf16[M, K]) -> (y: f32[M, N], z: f64[M, N]):
            y[i, j] = sum[k](a[i, k] * b[k, j])
            z[i, j] = sum[k](f64(c[i, k]) * b[k, j])
    """,
    "tables": """
        kernel k[N](x: f32[N]) -> (y: f32[N], z: f32[N]):
            t = [[1.0, 0.5, 2.25, -1.0], [0, 1, 2, 3]]
            y[i] = sum[r: 4](t[0, r] * (x[i + r - 1] else 0))
            z[i] = x[i] * t[1, i % 4] + t[i % 2, 3]
    """,
    "a sum that no tensor has": "kernel k(; n: i32, x: f32) -> (y: f32):\n    y = x * n",
    # ------------------------------------------------ subscripts
    "reads in subscripts": """
        kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N], z: f32[N], w: f32[N], v: f32[N]):
            y[i] = (x[at[i + 1]] else 5)
            z[i] = (x[abs(at[i - 2]) + at[i + 2] - 1] else 6)
            w[i] = (x[at[at[i + 1] + 2] // 2] else 7)
            v[i] = (x[(at[i + 3] else 2) + at[i + 1]] else 8) + x[min(max(at[i], 0), N - 1)]
    """,
    "reversed by a sign": """
        kernel k[M, N](x: f32[N], v: f32[2 * N], s: i8[M]) -> (y: f32[N], z: f32[N], w: f32[M, N]):
            y[i] = x[-i + N - 1]
            z[i] = v[-(2 * i - 2 * N + 1)]
            w[m, i] = (x[-(m - i) * 2] else 1) + (x[2 * -m + i] else 2)
    """,
    "reversed from the end": """
        kernel k[M, N](x: f32[N], v: f32[N, M]) -> (y: f32[N], z: f32, w: f32, u: f32[M]):
            y[i] = (x[N - i] else 1)
            z = sum[j: N](x[N - j] else 2)
            w = mean[j: N, i: M](v[j - 1, M - i] else 3)
            u[i] = max[j: N](v[N - j, M - 1 - i] else 4)
    """,
    "products of dims": """
        kernel k[M, N](x: f32[M * N], v: f32[M, N]) -> (y: f32[M, N], z: f32[M * N], w: f32[N * M]):
            y[i, j] = x[i * N + j]
            z[i] = v[i // N, i % N]
            w[i] = (x[i % (M + N)] else 3) + (x[i // (M * 2)] else 4) + (x[i // (2 * M + N)] else 5)
    """,
    "a group of one": """
        kernel k[N, G, P](x: f32[N], g: i8[G], b: f32[N // G], c: f32[P, N // G], d: f32[P, N % P + 1]) -> (
                y: f32[N], z: f32[P, N], w: f32[P]
            ):
            require N % G == 0
            y[i] = x[i] + (b[i // G] else 0)
            z[p, i] = (c[p, i // G] else 0) * 2
            w[p] = sum[j](d[p, j])
    """,
    "a share of a dim": """
        kernel k[N, P](n: i8[N], p: i8[P], x: f32[N // P], v: f32[N % P + N]) -> (
                y: f32[N // P], z: f32[N % P + N]
            ):
            y[i] = x[i] * 2
            z[i] = v[i] + N // P + N % P
    """,
    # ------------------------------------------------ bounds
    "windows": """
        kernel k[N](x: f32[N]) -> (a: f32[N], b: f32[N], c: f32[N], d: f32[N]):
            a[i] = sum[j in i .. i + 3](x[j] else 0)
            b[i] = sum[j in 2 * i .. 2 * i + 2](x[j] else 1)
            c[i] = max[j in -i .. 2 - i](x[j + N - 1] else 2)
            d[i] = sum[j in i - 2 .. i](x[j] else 3)
    """,
    "bounds that move apart": """
        kernel k[M, N](x: f32[N], m: i8[M]) -> (a: f32[N], b: f32[N], c: f32[M], d: f32[N], e: f32[N]):
            a[i] = sum[j in i .. N](x[j])
            b[i] = sum[j in i // 2 .. i + 1](x[j])
            c[i] = sum[j in i * N .. i * N + N - i](x[j - N] else 1)
            d[i] = sum[j in -i .. i](x[j] else 2)
            e[i] = sum[j in N - i .. 2 * N - 2 * i](x[j] else 3)
    """,
    "bounds that divide": """
        kernel k[M, N](x: f32[N], m: i8[M]) -> (a: f32[N], b: f32[N], c: f32[N], d: f32[N], e: f32[N]):
            a[i] = sum[j where j // (M + 1) <= i // (2 * M) and j % (M * N) < 5](x[j])
            b[i] = sum[j in i // (M + N) .. i // M + 1](x[j] else 0)
            c[i] = sum[j in i * M // 4 .. i + 2](x[j] else 1)
            d[i] = sum[j where j * j <= i * M and (j + i) % 3 == 0](x[j])
            e[i] = sum[j where j // max(M - 2, 1) >= i // 2](x[j])
    """,
    "bounds of bounds": """
        kernel k[N](x: f32[N]) -> (a: f32[N], b: f32[N], c: f32[N]):
            a[i] = sum[j in i .. N](sum[l in j .. j + 2](x[l] else 0))
            b[i] = sum[j in i .. i + 3](sum[l in j .. N + 3](x[l] else 1))
            c[i] = sum[j in i - 1 .. i + 2](sum[l in j - 1 .. N](x[l] else 2))
    """,
    "bounds by values": """
        kernel k[M, N, P](x: f32[2 * N + M], at: i32[M], v: f32[N // P + M], u: f32[N % P + N],
                n: i8[N], p: i8[P]
            ) -> (a: f32[M], b: f32[M], c: f32[M], d: f32[M], e: f32[M], f: f32[M], g: f32[M]):
            a[i] = sum[j in at[i] .. at[i] + 3](x[j] else 0)
            b[i] = sum[j in 0 .. max(0, min(at[i], N))](x[j])
            c[i] = max[j in abs(at[i]) .. N](v[j] else 0)
            d[i] = sum[j in 0 .. abs(at[i])](u[j] else 1)
            e[i] = sum[j in 0 .. abs(at[i]), l](x[l] * (u[j] else 1))
            f[i] = sum[l: N // P + M * 2, j in 0 .. abs(at[i])]((u[j] else 1) + l)
            g[i] = sum[l: N % P + 2, j in at[i] .. 9]((u[j] else 1) - l)
    """,
    "reductions as bounds": """
        kernel k[M, N](x: f32[N], at: i32[M]) -> (a: f32[M], b: f32[M], c: f32[M]):
            a[i] = sum[j in min[l](at[l]) .. N](x[j] else 1)
            b[i] = sum[j in 0 .. max[l](at[l] + i)](x[j] else 2)
            c[i] = max[j in sum[l](abs(at[l])) % N .. max[l](at[l]) + 3](x[j] else 3)
    """,
    "positions in windows": """
        kernel k[N](x: f32[N], at: i32[N]) -> (a: i32[N], b: i32[N], c: i64[N]):
            a[i] = i32(argmax[j in i .. i + 3](x[j] else 0))
            b[i] = i32(argmin[j in at[i] .. at[i] + 4](x[j] else 0))
            c[i] = i64(argmax[j in i - 2 .. N](x[j] else 0))
    """,
    "sums of positions": """
        kernel k[M, N](x: f32[M, N], at: i32[M]) -> (a: i32[M], b: i64, c: i32[M], d: f32[M]):
            a[m] = i32(sum[j: N where x[m, j] > 0](j * 2 + m))
            b = i64(max[i](argmax[j](x[i, j]) + i))
            p[m] = argmax[j in at[m] .. N](x[m, j] else 0)
            c[m] = i32(p[m] - p[M - 1 - m])
            d[m] = sum[l](x[p[m] % M, l] if p[m] >= 0 else 3)
    """,
    "positions along two": """
        kernel k[M, N](x: f32[M, N], at: i32[M]) -> (a: i32, b: i32[M]):
            a = i32(argmax[i, j](x[i, j]))
            b[m] = i32(argmin[i, j in 0 .. abs(at[m]) % N](x[i, j] + m))
    """,
    "negated conditions": """
        kernel k[N](x: f32[N]) -> (a: f32[N], b: f32[N], c: f32[N]):
            a[i] = max[j where not (j > i)](x[j])
            b[i] = sum[j where not (j == i) and not (j < i - 2)](x[j])
            c[i] = sum[j where not (j != i) or j < 2](x[j])
    """,
    "a diagonal of sums": """
        kernel k[N, K](x: f32[N, K]) -> (y: f32[N], t: f32[N, N]):
            t[a, b] = sum[l](exp(x[a, l]) * x[b, l])
            y[i] = t[i, i]
    """,
    "a reduction inside a reduction": """
        kernel k[M, N](x: i32[N], v: f32[M]) -> (y: u32[N], z: f32[N], w: f32[N]):
            y[i] = u32(prod[j: M](i32(argmax[l in i .. N](x[l]))))
            z[i] = prod[j: M](max[l in i .. N](x[l] * 0.25))
            w[i] = sum[j](v[j] * min[l in i .. N](x[l] * 0.5)) + 1
    """,
    # ------------------------------------------------ outputs
    "one sum thrice": """
        kernel k[M, N](x: f32[M, N]) -> (a: f32[M], b: f32[M], c: f32[M], d: f32[M, N], e: f32[M, N], f: f32[M, N]):
            s[i] = sum[j](x[i, j])
            a[i] = s[i]
            b[i] = s[i]
            c[i] = s[i]
            t[i, j] = x[i, j] * 2
            d[i, j] = t[i, j]
            e[i, j] = t[i, j]
            f[i, j] = t[i, j]
    """,
    "guarded reads of locals": """
        kernel k[M, N](x: f32[M, N]) -> (y: f32[M, N], z: f32[M]):
            s[i] = sum[j](x[i, j])
            m[i, j] = exp(x[i, j]) * s[i]
            y[i, j] = (m[i - 1, j + 1] else 3) + (s[i + 1] else 4)
            z[i] = sum[j: N where j > i](m[i, j - 1] else 5)
    """,
}  # fmt: skip


def kernel_of(name: str) -> TypedKernel:
    return typed_text(FORMS[name])


def program_of(name: str, seed: int) -> Program:
    """The kernel of a form with random data."""
    kernel = kernel_of(name)
    dims = {dim: SIZES[dim] for dim in kernel.dims}
    generator = np.random.default_rng(seed)
    shapes = {tensor.name: reference.shape(tensor.shape, dims) for tensor in kernel.tensors}
    arguments = {tensor.name: _data(tensor.dtype, shapes[tensor.name], generator) for tensor in kernel.tensors}
    arguments |= {scalar.name: 3 for scalar in kernel.scalars}
    return Program(seed, textwrap.dedent(FORMS[name]).strip() + "\n", {}, {}, arguments, dims, frozenset(), "random")


def _data(dtype: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    if dtype == "u32":
        return generator.integers(0, 1 << 32, shape, np.uint32)
    if dtype in ("i8", "i32", "i64"):
        return generator.integers(-LIMIT, LIMIT + 1, shape).astype(NUMPY[dtype])
    return generator.normal(size=shape).astype(NUMPY[dtype])
