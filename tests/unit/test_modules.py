"""Imports: where modules are looked for, what they pass on, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.compiler.language import limits, typed
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import Module, instantiate, load_module
from tilewright.compiler.language.modules import LIBRARY
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.support import uncompiled_features

USE = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = {0}\n"


def load(folder: Path, text: str) -> Module:
    return load_module(Source("main.tw", text), folder)


def codes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SourceErrors) as raised:
        load(folder, text)
    return [one.code for one in raised.value.diagnostics]


def test_a_module_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "maths.tw").write_text("def twice(x) = 2 * x\n")
    assert "f" in load(tmp_path, "from maths import twice\n" + USE.format("twice(x[i])")).kernels


def test_a_module_of_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "maths.tw").write_text("def twice(x) = 2 * x\n")
    assert "f" in load(tmp_path, "import lib.maths\n" + USE.format("twice(x[i])")).kernels


def test_the_folder_comes_before_the_library(tmp_path: Path) -> None:
    (tmp_path / "activations.tw").write_text("def own(x) = 2 * x\n")
    assert "f" in load(tmp_path, "from activations import own\n" + USE.format("own(x[i])")).kernels


def test_without_a_folder_there_is_the_library(tmp_path: Path) -> None:
    (tmp_path / "maths.tw").write_text("def twice(x) = 2 * x\n")
    assert "f" in load_module(Source("s", "from activations import gelu\n" + USE.format("gelu(x[i])"))).kernels
    with pytest.raises(SourceErrors):
        load_module(Source("s", "from maths import twice\n"))


def test_modules_pass_on_what_they_import(tmp_path: Path) -> None:
    (tmp_path / "all.tw").write_text("import std\n")
    assert "f" in load(tmp_path, "from all import gelu\n" + USE.format("gelu(x[i])")).kernels


def test_kernels_are_imported_by_name(tmp_path: Path) -> None:
    assert set(load(tmp_path, "from softmax import softmax\n").kernels) == {"softmax"}


def test_a_macro_sees_its_own_file_only(tmp_path: Path) -> None:
    (tmp_path / "maths.tw").write_text("def half(x) = x / 2\ndef outer(x) = half(x)\n")
    text = "from maths import outer\ndef half(x) = 100 * x\n" + USE.format("outer(x[i])")
    statement = instantiate(load(tmp_path, text).kernels["f"], typed.Instance()).statements[0]
    assert isinstance(statement.value, typed.Binary)
    assert statement.value.op == "/"


def test_cycles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tw").write_text("from b import g\ndef f(x) = x\n")
    (tmp_path / "b.tw").write_text("from a import f\ndef g(x) = x\n")
    assert "TW0207" in codes(tmp_path, "import a\n")


def test_links_out_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.tw").write_text("def f(x) = x\n")
    (inside / "secret.tw").symlink_to(tmp_path / "secret.tw")
    assert codes(inside, "import secret\n") == ["TW0208"]


def test_links_within_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real.tw").write_text("def f(x) = x\n")
    (tmp_path / "link.tw").symlink_to(tmp_path / "real.tw")
    assert load(tmp_path, "from link import f\n").kernels == {}


def test_folders_that_are_links_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "m.tw").write_text("def f(x) = x\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "sub").symlink_to(tmp_path / "other")
    assert codes(inside, "import sub.m\n") == ["TW0208"]


def test_chains_are_limited(tmp_path: Path) -> None:
    for number in range(limits.IMPORTED_FILES + 5):
        (tmp_path / f"m{number}.tw").write_text(f"import m{number + 1}\n")
    assert "TW0814" in codes(tmp_path, "import m0\n")


def test_errors_of_a_module_are_reported_in_it(tmp_path: Path) -> None:
    (tmp_path / "maths.tw").write_text("def twice(x) = 2 * z\n")
    with pytest.raises(SourceErrors) as raised:
        load(tmp_path, "import maths\n")
    assert raised.value.diagnostics[0].span.source.name.endswith("maths.tw")


def test_a_name_that_is_not_there_is_reported_once(tmp_path: Path) -> None:
    text = "from activations import gellu\n" + USE.format("gellu(x[i]) + gellu(x[i])")
    assert codes(tmp_path, text) == ["TW0206"]


def test_binary_modules_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tw").write_bytes(b"\xff\xfe\x00\x80")
    assert codes(tmp_path, "import m\n") == ["TW0205"]


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.tw")), ids=lambda path: path.stem)
def test_library_kernels_are_documented_and_compile(path: Path) -> None:
    for found in load_module(Source(path.name, path.read_text()), path.parent).kernels.values():
        assert found.doc
        types = tuple((name, allowed[0]) for name, allowed in found.type_params.items())
        consts = tuple((name, value) for name, value in found.consts.items() if value is not None)
        assert uncompiled_features(instantiate(found, typed.Instance(types, consts))) == ()
