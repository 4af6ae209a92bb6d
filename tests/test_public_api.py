"""What is public exists, is documented, and says the shapes of its arrays."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prodgen_rec
from prodgen_rec import errors

PACKAGE = Path(prodgen_rec.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
)
PACKAGES = [name for name in MODULES if PACKAGE.parent.joinpath(*name.split("."), "").is_dir()]

BUILTIN_ERRORS = {
    "AttributeError": "prodgen_rec._lazy",  # what the language asks of a module's __getattr__
    "AssertionError": "prodgen_rec.testing",  # a contract is broken
    "BadParameter": "prodgen_rec.cli",  # typer's, shown with the usage of the command
    "Exit": "prodgen_rec.cli",  # typer's, with an exit code
    # a full disk, said clearly
    "OSError": "prodgen_rec.events.shards prodgen_rec.imagery.phase_files prodgen_rec.bundle "
    "prodgen_rec.nightly",
    "TypeError": "prodgen_rec.storage",  # a mistake of ours, not of a user
    # caught at once
    "ValueError": "prodgen_rec.imagery.config prodgen_rec.preferences prodgen_rec.nightly",
}
"""Exceptions raised outside the tree of the library, and where."""


def own(name: str) -> Iterator[tuple[str, Any]]:
    """Public functions and classes that a module defines, with their public methods."""
    for key, value in vars(import_module(name)).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield f"{name}.{key}", value
        if inspect.isclass(value):
            yield from members(f"{name}.{key}", value)


def members(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    for key, value in vars(kind).items():
        function = getattr(value, "fget", None) or getattr(value, "func", None)
        function = function or getattr(value, "__func__", value)
        if not key.startswith("_") and inspect.isfunction(function):
            yield f"{name}.{key}", function


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_exists_and_has_a_summary(name):
    package = import_module(name)
    assert len(package.__all__) == len(set(package.__all__))
    assert set(package.__all__) <= set(dir(package))
    for exported in package.__all__:
        value = getattr(package, exported)
        if callable(value) or inspect.ismodule(value):
            assert summary(value), exported


def summary(value: Any) -> str:
    first, *rest = (value.__doc__ or "").strip().split("\n")
    return first if first.endswith(".") and not "".join(rest[:1]) else ""


def test_every_public_name_of_the_package_is_in_its_map():
    named = set(re.findall(r"`(?:prodgen_rec\.)?(\w+)`", prodgen_rec.__doc__))
    assert named == set(prodgen_rec.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'prodgen_rec' has no attribute 'als'"):
        _ = prodgen_rec.als


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    lacking = [
        path for path, value in [(name, import_module(name)), *own(name)] if not summary(value)
    ]
    assert lacking == []


@pytest.mark.parametrize("name", PACKAGES)
def test_arrays_are_documented_with_shape_or_dtype(name):
    package = import_module(name)
    exported = [(key, getattr(package, key)) for key in package.__all__]
    classes = [(key, value) for key, value in exported if inspect.isclass(value)]
    functions = [(key, value) for key, value in exported if inspect.isfunction(value)]
    methods = [method for key, value in classes for method in members(key, value)]
    assert [
        path
        for path, value in [*functions, *classes, *methods]
        if has_arrays(value) and not says_shape(value.__doc__)
    ] == []


def has_arrays(value: Any) -> bool:
    """Whether an annotation of a function, or of a class and its constructor, is an array."""
    scope = vars(inspect.getmodule(value))
    constructor = [value.__init__] if inspect.isclass(value) else []
    annotations = [
        str(annotation)
        for annotated in [value, *constructor]
        for annotation in inspect.get_annotations(annotated).values()
    ]
    return any(
        word == "NDArray" or getattr(scope.get(word), "__origin__", None) is np.ndarray
        for word in re.findall(r"\w+", " ".join(annotations))
    )


def says_shape(text: str | None) -> bool:
    """Whether there is a shape such as (n, d + 1) or a dtype such as uint8."""
    dimension = r"[\w.…]+(?: [·+*-] [\w.]+)*"
    shape = rf"\({dimension},(?: {dimension},?)*\)"
    dtype = r"\b(?:u?int|float)(?:8|16|32|64)\b|\bbool\b"
    return bool(re.search(f"{shape}|{dtype}", text or ""))


def test_the_rule_on_arrays_can_fail():
    def documented(x: np.typing.NDArray[np.float32]) -> None:
        """Vectors float32 (n, d)."""

    def vague(x: np.typing.NDArray[np.float32]) -> None:
        """Take some vectors."""

    assert has_arrays(vague)
    assert says_shape(documented.__doc__)
    assert not says_shape(vague.__doc__)


def test_the_tree_of_errors_is_drawn_as_it_is():
    drawn = {}
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)( \((\w+)\))?", line):
            depth = len(found[1]) // 4
            parents[depth:] = [found[2]]
            bases = [parents[depth - 1] if depth else "Exception", found[4]]
            drawn[found[2]] = [base for base in bases if base]
    real = {
        name: [base.__name__ for base in value.__bases__]
        for name, value in vars(errors).items()
        if inspect.isclass(value)
    }
    assert drawn == real


@pytest.mark.parametrize("name", MODULES)
def test_only_errors_of_the_library_are_raised(name):
    tree = ast.parse(inspect.getsource(import_module(name)))
    raised = {
        ast.unparse(node.exc.func).rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    foreign = {
        error
        for error in raised - set(vars(errors))
        if not name.startswith(tuple(BUILTIN_ERRORS.get(error, "none").split()))
    }
    assert foreign == set()
