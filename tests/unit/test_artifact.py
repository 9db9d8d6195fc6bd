"""The ``.twk`` file and what it holds: round trips, equal bytes, and no damage that goes unnoticed."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest

from tilewright.runtime import artifact
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.errors import ArtifactError
from tilewright.runtime.plan import (
    Argument,
    DimBinding,
    DimSolution,
    Launch,
    LaunchCheck,
    Operand,
    Plan,
    Table,
    Workspace,
    chosen,
    plan_from_json,
)
from tilewright.runtime.sizes import Number, Operation, Symbol, ceil_div, size_from_json

N = Symbol("N")


def a_plan() -> Plan:
    half = Operation("//", (N, Number(2)))
    return Plan(
        kernel="k",
        dims=("N", "H"),
        arguments=(
            Argument("x", "in", "bf16", (N, Number(3)), "order(1, 0)"),
            Argument("a", "scalar", "f32", default=0.5),
            Argument("y", "out", "f32", ()),
        ),
        bindings=(DimBinding("N", "x", 0, 2, 1),),
        solutions=(DimSolution("H", half),),
        checks=(LaunchCheck(Operation("and", (Operation(">", (N, Number(0))), Number(1))), "N > 0", "TW1006"),),
        workspaces=(Workspace("t", "f32", (half,)),),
        tables=(Table("c", "i32", (2,), "AQAAAAIAAAA="),),
        launches=(
            Launch(
                "k_0", (Operand("tensor", "x"), Operand("dim", "N")), (ceil_div(N, 128),), (128, 1, 1),
                facts=("N % 8 == 0",), schedule="rows", sites=("x[i]",), shared_bytes=64,
            ),
            Launch("k_1_v1", (), (N,), when=Operation("<=", (N, Number(2)))),
            Launch("k_1", (), (N,)),
        ),
        types=(("T", "bf16"),),
        consts=(("causal", True), ("stride", 2)),
        doc="What it does.",
    )  # fmt: skip


def an_artifact() -> Artifact:
    return Artifact(a_plan(), {"name": "cpu"}, {"o": bytes(range(256)) * 9}, {"schedule.txt": "rows"}, {"llvm": "22"})


def test_plan_round_trip_and_text() -> None:
    plan = a_plan()
    assert plan_from_json(plan.to_json()) == plan
    assert plan_from_json(plan.to_json()).to_json() == plan.to_json()
    assert "launch k_0<((N + 127) // 128)>(x, N) if N % 8 == 0" in str(plan)
    assert "launch k_1_v1<N>() when (N <= 2)" in str(plan)


@pytest.mark.parametrize(
    ("dims", "names"),
    [
        ({"N": 1, "M": 1}, ["a_v1", "b", "c_v1"]),
        ({"N": 2, "M": 1}, ["a_v2", "b", "c_v1"]),
        ({"N": 3, "M": 9}, ["a", "b", "c"]),
        ({"N": 0, "M": 9}, ["a_v1", "b", "c"]),
    ],
)
def test_of_variants_the_first_that_holds_is_run(dims: dict[str, int], names: list[str]) -> None:
    def limit(dim: str, most: int) -> Operation:
        return Operation("<=", (Symbol(dim), Number(most)))

    conditions = {"a_v1": limit("N", 1), "a_v2": limit("N", 2), "a": None, "b": None, "c_v1": limit("M", 4), "c": None}
    launches = [Launch(name, (), (N,), when=condition) for name, condition in conditions.items()]
    assert [launch.name for launch in chosen(launches, dims)] == names


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "nonsense"])
def test_other_text_is_no_plan(text: str) -> None:
    with pytest.raises(ValueError):
        plan_from_json(text)


def test_size_expressions() -> None:
    dims = {"N": -7}
    seven = Operation("negate", (N,))
    for size, value in [
        (Operation("//", (N, Number(2))), -4),
        (Operation("%", (N, Number(2))), 1),
        (Operation("//", (N, Number(0))), 0),
        (Operation("%", (N, Number(0))), 0),
        (Operation("max", (N, seven)), 7),
        (Operation("select", (Operation("<", (N, Number(0))), Number(3), Number(4))), 3),
        (Operation("not", (Number(5),)), 0),
        (Operation("*", (Number(1 << 40), Number(1 << 40))), 1 << 80),
        (ceil_div(seven, 4), 2),
    ]:
        assert size.evaluate(dims) == value
        assert size_from_json(size.to_json()) == size


@pytest.mark.parametrize("data", [True, None, 1.5, [], ["^", 1, 2], [["+"], 1]])
def test_other_data_is_no_size(data: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        size_from_json(data)  # type: ignore[arg-type]


def test_artifact_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    path = tmp_path / "k.twk"
    an_artifact().save(path)
    assert artifact.load(path) == an_artifact()
    assert path.read_bytes() == an_artifact().to_bytes()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        artifact.load(tmp_path / "none.twk")
    assert caught.value.code == "TW1104"


def test_another_format_says_so() -> None:
    data = an_artifact().to_bytes().replace(b'"format": 1', b'"format": 9')
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"format": 1', b'"format": 9'))
    with pytest.raises(ArtifactError) as caught:
        artifact.from_bytes(buffer.getvalue())
    assert caught.value.code == "TW1102"


def test_damage_is_found_or_harmless() -> None:
    good, generator, found = an_artifact().to_bytes(), random.Random(11), 0
    for _ in range(400):
        place = generator.randrange(len(good))
        bad = good[:place] + bytes([good[place] ^ 1 << generator.randrange(8)]) + good[place + 1 :]
        bad = bad[: generator.randrange(len(bad))] if generator.random() < 0.2 else bad
        try:
            assert artifact.from_bytes(bad) == an_artifact()
        except ArtifactError as error:
            found += error.code in ("TW1101", "TW1102")
    assert found > 200


def test_swapped_member_is_damage() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(an_artifact().to_bytes())) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"other code" if name == "code.o" else old.read(name))
    with pytest.raises(ArtifactError) as caught:
        artifact.from_bytes(buffer.getvalue())
    assert caught.value.code == "TW1101"
