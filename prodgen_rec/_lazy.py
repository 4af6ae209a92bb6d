"""Public names that are imported when they are first used (PEP 562).

A package that gathers the names of heavy modules would load all of them for whoever needs
one. With this, importing `prodgen_rec` costs a few milliseconds, and who only recommends
never loads TensorFlow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its name.
    names
        Modules below the package, each with the public names that come from it. The modules
        themselves can be reached in the same way.
    """
    homes = {name: module for module, its_names in names.items() for name in its_names}

    def load(name: str) -> Any:
        if name in names:
            return import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # found there from now on
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *homes})

    return load, listed
