"""``doctor``: what this machine and installation have."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement

from prodgen_rec._version import __version__

_NAME = "prodgen-rec"


def examine() -> dict[str, Any]:
    """Versions, cores, free memory, and which extras are complete.

    ``problems`` says in words what is missing or too old for anything to run, and ``extras``
    what each extra lacks.
    """
    import psutil

    memory = psutil.virtual_memory()
    core, extras, problems = _requirements()
    return {
        _NAME: __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory.total / 2**30, 1),
        "free_memory_gib": round(memory.available / 2**30, 1),
        "packages": {one.name: _installed(one.name) for one in core},
        "extras": {name: list(_lacking(needed)) for name, needed in extras.items()},
        "problems": [*problems, *_lacking(core)],
    }


def as_text(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{_NAME} {found[_NAME]} on Python {found['python']}, {found['platform']}",
        f"{found['cores']} cores, "
        f"{found['free_memory_gib']} of {found['memory_gib']} GiB memory free",
        "",
        *(f"{name:15} {at or 'missing'}" for name, at in found["packages"].items()),
        *(
            f"extra {name:12} "
            + (f"{'; '.join(lacks)}; pip install '{_NAME}[{name}]'" if lacks else "present")
            for name, lacks in found["extras"].items()
        ),
        "",
        *(f"problem: {problem}" for problem in found["problems"] or ["none"]),
    ]
    return "\n".join(lines)


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]], list[str]]:
    """What is always needed, what each extra needs, and why that is not known if it is not."""
    try:
        lines = requires(_NAME) or []
    except PackageNotFoundError:
        remedy = "in its source folder: pip install --editable ."
        return [], {}, [f"{_NAME} runs from source and is not installed; {remedy}"]
    core: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, sorted(lines)):
        if requirement.name == _NAME:  # an extra that is made of others
            continue
        if requirement.marker is None:
            core.append(requirement)
        else:
            extra = str(requirement.marker).rpartition("==")[2].strip(" \"'")
            extras.setdefault(extra, []).append(requirement)
    return core, extras, []


def _lacking(requirements: list[Requirement]) -> Iterator[str]:
    for one in requirements:
        found = _installed(one.name)
        if found is None:
            yield f"{one.name} is missing"
        elif not one.specifier.contains(found, prereleases=True):
            yield f"{one.name} {found} is installed, needed is {one.specifier}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
