"""The reference on kernels in source form, against NumPy written by hand: every form of the language runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.numpy_peers import attention, common, convolution, dense, losses, norms
from tests.sources import typed_kernel

from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.reference.numerics import round_to
from tilewright.compiler.reference.philox import uniform
from tilewright.compiler.reference.values import ReferenceCheckError

F = np.float32
FOLDER = Path(__file__).parent.parent / "kernels"


def run(file: str, name: str, arguments: dict[str, Any], dtype: str = "f32", **consts: Any) -> Evaluation:
    kernel = typed_kernel(FOLDER / f"{file}.tw", name, {"T": dtype}, consts)
    return evaluate(kernel, arguments)


def agree(result: Evaluation, **expected: Any) -> None:
    for name, value in expected.items():
        close(result.exact[name], value, name)


def close(actual: Any, expected: Any, name: str = "") -> None:
    """Equal but for the rounding of literals and scalars to f32."""
    size = float(np.abs(expected).max(initial=0)) if np.size(expected) else 0.0
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6 * size, err_msg=name)


def draw(seed: int):
    """A source of random f32 arrays."""
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape).astype(F)


# ---------------------------------------------------------------- dense


def test_linear_gelu_and_its_backward() -> None:
    r = draw(1)
    x, w, bias, rest = r(3, 5), r(5, 4), r(4), r(3, 4)
    z = dense.linear(x, w.T, bias)
    agree(run("dense", "linear_gelu", dict(x=x, w=w, bias=bias, rest=rest)), z=z, y=common.gelu(z) + rest)
    dy, step = r(3, 4), 1e-6
    z = r(3, 4)
    slope = (common.gelu(z.astype(float) + step) - common.gelu(z.astype(float) - step)) / (2 * step)
    dz = dy * slope
    result = run("dense", "linear_gelu_back", dict(x=x, w=w, z=z, dy=dy))
    for name, value in {"dx": dz @ w.T, "dw": x.T @ dz, "db": dz.sum(axis=0)}.items():
        close(result.exact[name], value)


def test_gated_products() -> None:
    r = draw(2)
    x, wa, wb = r(3, 5), r(5, 4), r(5, 4)
    agree(run("dense", "gated", dict(x=x, wa=wa, wb=wb)), h=dense.swiglu(x, wa.T, wb.T))
    dh, a, b = r(3, 4), r(3, 4), r(3, 4)
    s = common.sigmoid(a.astype(float))
    agree(
        run("dense", "gated_back", dict(dh=dh, a=a, b=b)),
        da=dh * b * s * (1 + a.astype(float) * (1 - s)),
        db=dh * a * s,
    )


# ---------------------------------------------------------------- attention


@pytest.mark.parametrize(("causal", "shape"), [(True, (2, 4, 2, 3, 5, 2)), (False, (1, 2, 1, 4, 3, 3))])
def test_attention(causal: bool, shape: tuple[int, ...]) -> None:
    B, H, G, S, L, D = shape
    r = draw(3)
    q, k, v = r(B, H, S, D), r(B, G, L, D), r(B, G, L, D)
    o, lse = attention.attention(q, k, v, 0.5, causal)
    agree(run("attention", "attention", dict(q=q, k=k, v=v, scale=0.5), causal=causal), o=o, lse=lse)


def test_attention_backward_by_differences() -> None:
    B, H, G, S, L, D = 1, 2, 1, 3, 4, 2
    r = draw(4)
    q, k, v, g = r(B, H, S, D), r(B, G, L, D), r(B, G, L, D), r(B, H, S, D)
    o, lse = attention.attention(q, k, v, 0.5, True)
    arguments = dict(q=q, k=k, v=v, o=F(o), g=g, lse=F(lse), scale=0.5)
    result = run("attention", "attention_back", arguments)
    for name, array in {"dq": q, "dk": k, "dv": v}.items():
        for place in itertools.islice(np.ndindex(array.shape), 0, None, 3):
            moved = {}
            for sign in (1, -1):
                wide = {key: value.astype(float) for key, value in {"dq": q, "dk": k, "dv": v}.items()}
                wide[name][place] += sign * 1e-5
                moved[sign] = (attention.attention(wide["dq"], wide["dk"], wide["dv"], 0.5, True)[0] * g).sum()
            assert result.exact[name][place] == pytest.approx((moved[1] - moved[-1]) / 2e-5, abs=1e-5)


def test_paged_attention_reads_only_pages_in_use() -> None:
    B, H, G, D, NP, P = 2, 4, 2, 3, 5, 2
    r = draw(5)
    q, kp, vp = r(B, H, D), r(NP, P, G, D), r(NP, P, G, D)
    pages, used = np.int32([[4, 0, 99], [1, 2, 3]]), np.int32([3, 6])
    result = run("attention", "paged", dict(q=q, kp=kp, vp=vp, pages=pages, used=used, scale=0.7))
    for b in range(B):
        keys = np.concatenate([kp[page] for page in pages[b] if page < NP])[: used[b]].transpose(1, 0, 2)
        values = np.concatenate([vp[page] for page in pages[b] if page < NP])[: used[b]].transpose(1, 0, 2)
        o, lse = attention.attention(q[b : b + 1, :, None], keys[None], values[None], 0.7)
        close(result.exact["o"][b], o[0, :, 0])
        close(result.exact["lse"][b], lse[0, :, 0])
    with pytest.raises(ReferenceCheckError):
        run("attention", "paged", dict(q=q, kp=kp, vp=vp, pages=pages, used=np.int32([5, 6]), scale=0.7))


def test_split_equals_unsplit_attention() -> None:
    r = draw(6)
    q, k, v, used = r(2, 2, 3), r(2, 2, 7, 3), r(2, 2, 7, 3), np.int32([4, 7])
    result = run("attention", "split", dict(q=q, k=k, v=v, used=used, scale=0.9))
    for b in range(2):
        o, _ = attention.attention(q[b : b + 1, :, None], k[b : b + 1, :, : used[b]], v[b : b + 1, :, : used[b]], 0.9)
        close(result.exact["o"][b], o[0, :, 0])


def test_pointwise_and_linear_attention() -> None:
    r = draw(7)
    q, k, v = (r(2, 1, 5, 3).astype(float) for _ in range(3))
    arguments = dict(q=F(q), k=F(k), v=F(v))
    s = 0.3 * np.einsum("bhic,bhjc->bhij", q, k)
    lower = np.tril(np.ones((5, 5)))
    o = np.einsum("bhij,bhjd->bhid", common.silu(s) * lower, v) / 5
    result = run("attention", "pointwise", dict(**arguments, scale=F(0.3)))
    close(result.exact["o"], o)
    q, k, v = (array.transpose(0, 2, 1, 3) for array in (q, k, v))
    scores = np.einsum("bthi,buhi->bhtu", q, k) * lower
    result = run("attention", "linear_attention", dict(q=F(q), k=F(k), v=F(v)))
    agree(result, o=np.einsum("bhtu,buhj->bthj", scores, v))


# ---------------------------------------------------------------- norms


def test_rms_and_its_backward() -> None:
    r = draw(8)
    x, a, w = r(3, 6), r(3, 6), r(6)
    y, scale = norms.rmsnorm(x.astype(float) + a, w, F(1e-5))
    agree(run("norms", "rms", dict(x=x, a=a, w=w, eps=1e-5)), y=y, z=x.astype(float) + a, r=scale)
    dy = r(3, 6)
    dz, dw = norms.rmsnorm_backward(x, w, F(scale), dy)
    agree(run("norms", "rms_back", dict(z=x, w=w, r=F(scale), dy=dy)), dz=dz, dw=dw)


def test_modulated_layernorm_and_its_backward() -> None:
    r = draw(9)
    x, gain, shift = r(2, 3, 5), r(2, 5), r(2, 5)
    result = run("norms", "modulated", dict(x=x, gain=gain, shift=shift, eps=1e-5))
    for b in range(2):
        y, mean, scale = norms.layernorm(x[b], 1 + gain[b].astype(float), shift[b], F(1e-5))
        close(result.exact["y"][b], y)
        close(result.exact["r"][b], scale)
    dy, mu, scale = r(2, 3, 5), result.outputs["mu"], result.outputs["r"]
    back = run("norms", "modulated_back", dict(x=x, gain=gain, mu=mu, r=scale, dy=dy))
    for b in range(2):
        dx, dw, db = norms.layernorm_backward(x[b], 1 + gain[b].astype(float), mu[b], scale[b], dy[b])
        close(back.exact["dx"][b], dx)
        close(back.exact["dgain"][b], dw)
        close(back.exact["dshift"][b], db)


def test_group_norm() -> None:
    r = draw(10)
    x, w, b = r(2, 5, 6), r(6), r(6)
    parts = x.astype(float).reshape(2, 5, 2, 3)
    mean, variance = parts.mean(axis=(1, 3)), parts.var(axis=(1, 3))
    scale = 1 / np.sqrt(variance + F(1e-5))
    normal = ((parts - mean[:, None, :, None]) * scale[:, None, :, None]).reshape(2, 5, 6)
    agree(run("norms", "groups", dict(x=x, w=w, b=b, eps=1e-5)), y=common.silu(normal * w + b), mu=mean, r=scale)


def test_batch_norm_updates_its_statistics_in_place() -> None:
    r = draw(11)
    x, rest, w, b, rm, rv = r(2, 5, 3), r(2, 5, 3), r(3), r(3), r(3), np.abs(r(3))
    result = run("norms", "batch", dict(x=x, rest=rest, w=w, b=b, rm=rm, rv=rv, eps=1e-5, mom=0.25))
    wide = x.astype(float)
    mean, variance = wide.mean(axis=(0, 1)), wide.var(axis=(0, 1))
    scale = 1 / np.sqrt(variance + F(1e-5))
    y = np.maximum((wide - mean) * scale * w + b + rest, 0)
    agree(result, y=y, mu=mean, r=scale, rm=0.75 * rm + 0.25 * mean, rv=0.75 * rv + 0.25 * variance)
    dy = r(2, 5, 3)
    back = run("norms", "batch_back", dict(x=x, y=F(y), dy=dy, w=w, mu=F(mean), r=F(scale)))
    dz = np.where(F(y) > 0, dy, 0).astype(float)
    normal = (wide - F(mean)) * F(scale)
    dw, db = (dz * normal).sum(axis=(0, 1)), dz.sum(axis=(0, 1))
    dx = w * F(scale) * (dz - (db / 10) - normal * dw / 10)
    # db and dw are outputs: reading them gives f32.
    agree(back, dw=dw, db=db, drest=dz)
    close(back.exact["dx"], dx)


# ---------------------------------------------------------------- convolutions


def test_convolutions() -> None:
    r = draw(12)
    x, w, b = r(2, 7, 6, 3), r(4, 3, 2, 3), r(4)
    agree(run("convolutions", "conv", dict(x=x, w=w, b=b), dil=2), y=convolution.conv2d(x, w, b, 2, 1, 2))
    x, w = r(1, 5, 4, 4), r(6, 3, 3, 2)
    agree(run("convolutions", "conv_groups", dict(x=x, w=w)), y=convolution.conv2d(x, w, None, 1, 1, 1, 2))


def test_convolution_and_its_gradients_are_adjoint() -> None:
    r = draw(13)
    x, w = r(2, 5, 5, 3), r(4, 3, 3, 3)
    dy = r(2, 3, 3, 4)
    inner = (convolution.conv2d(x, w, None, 2, 1) * dy).sum()
    dx = run("convolutions", "conv_dx", dict(dy=dy, w=w)).exact["dx"]
    dw = run("convolutions", "conv_dw", dict(dy=dy, x=x)).exact["dw"]
    scattered = run("convolutions", "conv_scatter", dict(dy=dy, w=w)).exact["dx"]
    assert (dx * x).sum() == pytest.approx(inner) and (dw * w).sum() == pytest.approx(inner)
    np.testing.assert_allclose(scattered, dx, rtol=1e-12, atol=1e-14)


def test_causal_convolutions_in_one_and_three_dimensions() -> None:
    r = draw(14)
    x, w, c = r(2, 6, 3), r(3, 4), r(3)
    agree(run("convolutions", "conv1d", dict(x=x, w=w, c=c)), y=common.silu(convolution.depthwise_conv1d(x, w, c)))
    x, w = r(1, 4, 3, 3, 2), r(2, 2, 3, 3, 2)
    y = np.zeros((1, 4, 3, 3, 2))
    for o, t in itertools.product(range(4), range(2)):
        if o + t - 1 >= 0:
            y[:, o] += convolution.conv2d(x[:, o + t - 1], w[:, t], None, 1, 1)
    agree(run("convolutions", "conv3d", dict(x=x, w=w)), y=y)


def test_max_pooling_and_its_scatter() -> None:
    r = draw(15)
    x = r(2, 5, 5, 3)
    result = run("convolutions", "maxpool", dict(x=x))
    y, position = convolution.maxpool2d(x, 3, 2, 1)
    agree(result, y=y, arg=position)
    dy = r(*y.shape)
    dx = run("convolutions", "maxpool_back", dict(dy=dy, arg=result.outputs["arg"])).exact["dx"]
    assert dx.sum() == pytest.approx(dy.astype(float).sum())
    nudged = convolution.maxpool2d(x + 1e-9 * (dx != 0), 3, 2, 1)[0]
    assert ((nudged - y) > 0).all()


def test_bilinear_resampling() -> None:
    x = draw(16)(1, 3, 4, 2)
    result = run("convolutions", "bilinear", dict(x=x))
    wide = x.astype(float)
    y = np.zeros((1, 5, 7, 2))
    for p, q in itertools.product(range(5), range(7)):
        fy, fx = np.clip((p + 0.5) * 3 / 5 - 0.5, 0, 2), np.clip((q + 0.5) * 4 / 7 - 0.5, 0, 3)
        y0, x0 = int(fy), int(fx)
        y1, x1 = min(y0 + 1, 2), min(x0 + 1, 3)
        top = wide[:, y0, x0] * (1 - fx + x0) + wide[:, y0, x1] * (fx - x0)
        low = wide[:, y1, x0] * (1 - fx + x0) + wide[:, y1, x1] * (fx - x0)
        y[:, p, q] = top * (1 - fy + y0) + low * (fy - y0)
    agree(result, y=y)


# ---------------------------------------------------------------- routing


def test_block_scales_and_their_product() -> None:
    r = draw(17)
    result = run("routing", "quantise", dict(x=r(3, 8)))
    x = draw(17)(3, 8).astype(float).reshape(3, 2, 4)
    scale = np.abs(x).max(axis=-1) / 448
    agree(result, s=scale)
    narrow = result.outputs["q"].astype(float).reshape(3, 2, 4)
    assert (np.abs(narrow).max(axis=-1) == 448).all()
    np.testing.assert_allclose(narrow * scale[..., None], x, rtol=2.0**-4, atol=1e-3)
    weights = run("routing", "quantise", dict(x=r(6, 8))).outputs["q"]
    sx, sw = r(3, 2), r(2, 2)
    y = run("routing", "block_gemm", dict(qx=result.outputs["q"], sx=sx, qw=weights, sw=sw)).exact["y"]
    left = result.outputs["q"].astype(float) * np.repeat(sx.astype(float), 4, axis=1)
    right = weights.astype(float) * np.repeat(np.repeat(sw.astype(float), 4, axis=0)[:6], 4, axis=1)
    close(y, left @ right.T)


def test_products_per_expert() -> None:
    r = draw(18)
    x, w, e = r(5, 3), r(3, 3, 2), np.int32([2, 0, 0, 1, 2])
    agree(run("routing", "expert_gemm", dict(x=x, w=w, e=e)), y=np.einsum("tk,tkn->tn", x.astype(float), w[e]))
    off = np.int32([0, 2, 2, 5])
    group = np.array([0, 0, 2, 2, 2])
    agree(run("routing", "grouped_gemm", dict(x=x, w=w, off=off)), y=np.einsum("tk,tkn->tn", x.astype(float), w[group]))
    dy = r(5, 2)
    dw = np.stack([x[off[e] : off[e + 1]].astype(float).T @ dy[off[e] : off[e + 1]] for e in range(3)])
    agree(run("routing", "expert_dw", dict(x=x, dy=dy, off=off)), dw=dw)


def test_router_and_the_permutation_of_its_tokens() -> None:
    r = draw(19)
    x, wr = r(4, 3), r(3, 5)
    result = run("routing", "router", dict(x=x, wr=wr))
    p = common.softmax(x.astype(float) @ wr)
    order = np.argsort(-p, axis=1)[:, :2]
    chosen = np.take_along_axis(p, order, axis=1)
    agree(result, p=p, id=order)
    close(result.exact["wt"], chosen / chosen.sum(axis=1, keepdims=True))
    ids = np.int32([2, 0, 2, 1, 0, 2])
    places = run("routing", "positions", dict(id=ids))
    agree(places, off=[0, 2, 3, 6], pos=np.argsort(np.argsort(ids, kind="stable"), kind="stable"))
    pos = places.outputs["pos"].reshape(3, 2)
    tokens, weight = r(3, 4), np.abs(r(3, 2))
    moved = run("routing", "permute", dict(x=tokens, pos=pos)).outputs["y"]
    np.testing.assert_array_equal(moved[pos], np.repeat(tokens[:, None], 2, axis=1))
    back = run("routing", "combine", dict(u=moved, pos=pos, wt=weight))
    agree(back, y=tokens * weight.astype(float).sum(axis=1, keepdims=True))
    with pytest.raises(ReferenceCheckError, match="points write y"):
        run("routing", "permute", dict(x=tokens, pos=np.zeros((3, 2), np.int32)))


def test_cross_entropy_of_a_product() -> None:
    r = draw(20)
    h, w, y = r(4, 3), r(5, 3), np.int64([3, -100, 0, 4])
    logits = h.astype(float) @ w.T
    loss, lse = losses.cross_entropy(logits, y)
    result = run("routing", "entropy", dict(h=h, w=w, y=y))
    agree(result, l=loss, lse=lse)
    close(result.exact["loss"], loss.sum() / 3)
    y, g = np.int64([3, 1, 0, 4]), r(4)
    dz = losses.cross_entropy_backward(logits, y, F(lse), g)
    agree(run("routing", "entropy_back", dict(h=h, w=w, y=y, lse=F(lse), g=g)), dh=dz @ w, dw=dz.T @ h)


def test_embedding_bags() -> None:
    r = draw(21)
    table, ids, wt, off = r(5, 3), np.int64([4, 0, 4, 1]), r(4), np.int32([0, 1, 1, 4])
    rows = wt[:, None].astype(float) * table[ids]
    agree(
        run("routing", "bag", dict(table=table, id=ids, wt=wt, off=off)), o=[rows[:1].sum(0), [0] * 3, rows[1:].sum(0)]
    )
    g = r(3, 3)
    de = np.zeros((5, 3))
    np.add.at(de, ids, wt[:, None].astype(float) * g[[0, 2, 2, 2]])
    agree(run("routing", "bag_back", dict(g=g, id=ids, wt=wt, off=off)), de=de)


def test_rotary_positions_in_both_forms() -> None:
    r = draw(22)
    x, pos, freq = r(2, 3, 2, 6), np.int32([[0, 1, 2], [5, 6, 7]]), np.abs(r(3))
    angle = pos[..., None, None] * freq.astype(float)
    for sign in (1, -1):
        result = run("routing", "rope_half", dict(x=x, pos=pos, freq=freq), sign=sign)
        agree(result, y=attention.rope_half(x, angle, sign))
    th = r(4, 3)
    agree(run("routing", "rope_flat", dict(x=r(4, 6), th=th)), y=_flat(draw(22), th))


def _flat(r, th):
    for shape in ((2, 3, 2, 6), (3,), (4, 3)):
        r(*shape)
    return attention.rope_interleaved(r(4, 6), th)


def test_sorting_by_selection() -> None:
    x = draw(23)(3, 6)
    x[1, 2] = x[1, 4]
    result = run("routing", "sort_descending", dict(x=x))
    agree(result, v=-np.sort(-x, axis=1), id=np.argsort(-x, axis=1, kind="stable"))


def test_dropout_follows_its_counter() -> None:
    x = draw(24)(64)
    result = run("routing", "dropout", dict(x=x, seed=7, keep=0.75))
    kept = uniform(np.array(7), np.arange(64)) < 0.75
    agree(result, y=np.where(kept, x.astype(float) / 0.75, 0))
    assert 30 < kept.sum() < 62


def test_an_optimiser_steps_in_order() -> None:
    one = F([1.0])
    zero = F([0.0])
    scalars = dict(lr=0.1, b1=0.9, b2=0.99, eps=0.0, c1=0.1, c2=0.01)
    result = run("routing", "adamw", dict(g=F([2.0]), w=one, m=zero, v=zero, **scalars))
    assert result.exact["w"][0] == pytest.approx(0.9, abs=1e-6) and result.exact["norm"] == 2.0


# ---------------------------------------------------------------- recurrences


def _ssm(seed: int, L: int = 6):
    r = draw(seed)
    return dict(x=r(1, L, 2, 2), dt=np.abs(r(1, L, 2)), a=-np.abs(r(2)), bm=r(1, L, 3), cm=r(1, L, 3))


def test_a_state_space_by_steps_and_by_chunks() -> None:
    arguments = _ssm(25)
    stepped = run("recurrences", "mamba", arguments)
    wide = {name: array.astype(float) for name, array in arguments.items()}
    state, y = np.zeros((1, 2, 3, 2)), []
    for t in range(6):
        decay = np.exp(wide["a"] * wide["dt"][:, t])
        update = np.einsum("bh,bn,bhp->bhnp", wide["dt"][:, t], wide["bm"][:, t], wide["x"][:, t])
        state = decay[..., None, None] * state + update
        y.append(np.einsum("bn,bhnp->bhp", wide["cm"][:, t], state))
    agree(stepped, y=np.stack(y, axis=1), last=state)
    chunked = run("recurrences", "mamba_chunks", arguments)
    close(chunked.exact["y"], stepped.exact["y"])


def test_the_delta_rule() -> None:
    r = draw(26)
    q, k, v, al, be, s0 = r(1, 4, 2, 3), r(1, 4, 2, 3), r(1, 4, 2, 2), r(1, 4, 2), r(1, 4, 2), r(1, 2, 3, 2)
    result = run("recurrences", "delta", dict(q=q, k=k, v=v, al=al, be=be, s0=s0))
    state, out = s0.astype(float), []
    q, k, v, al, be = (array.astype(float) for array in (q, k, v, al, be))
    for t in range(4):
        seen = np.einsum("bhu,bhuj->bhj", k[:, t], state)
        fix = (be[:, t, :, None] * k[:, t])[..., None]
        state = al[:, t, :, None, None] * (state - fix * seen[..., None, :]) + fix * v[:, t, :, None, :]
        out.append(np.einsum("bhi,bhij->bhj", q[:, t], state))
    agree(result, o=np.stack(out, axis=1))


def test_a_triangular_inverse() -> None:
    a = draw(27)(2, 5, 5)
    inverse = run("recurrences", "inverse", dict(a=a)).exact["m"]
    lower = np.tril(a.astype(float), -1) + np.eye(5)
    np.testing.assert_allclose(lower @ inverse, np.broadcast_to(np.eye(5), (2, 5, 5)), atol=1e-9)


def test_a_backward_recurrence_is_the_gradient_of_the_forward_one() -> None:
    r = draw(28)
    a, x, dy = (r(1, 5, 2).astype(float) for _ in range(3))

    def forward(a, x):
        h = np.zeros_like(x)
        for t in range(5):
            h[:, t] = (a[:, t] * h[:, t - 1] if t else 0) + x[:, t]
        return h

    result = run("recurrences", "backward", dict(a=F(a), h=F(forward(a, x)), dy=F(dy)))
    for name, which in (("dx", 1), ("da", 0)):
        for place in np.ndindex(1, 5, 2):
            moved = []
            for sign in (1, -1):
                given = [a.copy(), x.copy()]
                given[which][place] += sign * 1e-6
                moved.append((forward(*given) * dy).sum())
            assert result.exact[name][place] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-5)


def test_two_statements_that_define_each_other() -> None:
    r = draw(29)
    x, wa, wb = r(5, 3), r(3, 3), r(3, 3)
    b, rows = np.zeros(3), []
    for t in range(5):
        a = np.tanh(x[t].astype(float) + b @ wb)
        b = np.tanh(a @ wa) + 0.5 * b
        rows.append(b)
    result = run("recurrences", "coupled", dict(x=x, wa=wa, wb=wb))
    close(result.exact["b"], rows)


def test_scans() -> None:
    x = draw(30)(3, 6)
    wide = x.astype(float)
    up = np.cumsum(wide, axis=1)
    result = run("recurrences", "scans", dict(x=x))
    agree(result, a=up, b=up - wide, c=up[:, -1:] - up + wide, d=np.maximum.accumulate(wide, axis=1))


def test_a_recurrence_over_a_table_of_paths() -> None:
    p = np.abs(draw(31)(5, 4)).astype(float)
    alpha = np.zeros((5, 4))
    alpha[0, 0] = p[0, 0]
    for t in range(1, 5):
        alpha[t] = p[t] * (alpha[t - 1] + np.concatenate([[0], alpha[t - 1, :-1]]))
    close(run("recurrences", "paths", dict(p=F(p))).exact["a"], alpha)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64"])
def test_other_types_round_where_it_is_written(dtype: str) -> None:
    r = draw(32)
    x, a, w = (round_to(r(*shape).astype(float), dtype) for shape in ((3, 6), (3, 6), (6,)))
    result = run("norms", "rms", dict(x=x, a=a, w=w, eps=1e-5), dtype)
    assert (result.outputs["z"].astype(float) == round_to(x + a, dtype)).all()
    close(result.exact["y"], norms.rmsnorm(x + a, w, F(1e-5))[0])
