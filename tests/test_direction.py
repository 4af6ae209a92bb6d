"""Imports follow one direction, and TensorFlow is loaded only where pictures are made."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prodgen_rec"

LEAVES = {
    "_lazy",
    "_version",
    "columns",
    "errors",
    "figures",
    "hashing",
    "id_files",
    "ids",
    "matrices",
    "sealed",
    "storage",
    "vocabulary",
}
"""Import each other and nothing else of the package; everything may import them."""

PIPELINE = {
    "events": "",
    "interactions": "events",
    "splits": "events",
    "preferences": "interactions",
    "catalog": "",
    "imagery": "preferences",
    "config": "preferences imagery",
    "bundle": "",
    "personalizer": "events interactions preferences catalog imagery config bundle",
    "nightly": "events interactions preferences catalog imagery config bundle personalizer",
}
MAY_IMPORT = PIPELINE | {
    "evaluation": " ".join(PIPELINE),
    "segments": " ".join(PIPELINE),
    "behavior": " ".join(PIPELINE),
    "display": " ".join(PIPELINE) + " behavior segments",
    "tuning": " ".join(PIPELINE) + " evaluation",
    "datasets": "",
    "testing": " ".join(PIPELINE),
    "cli": " ".join(PIPELINE) + " evaluation tuning display datasets",
    "__main__": "cli",
}
"""What a part may import, beside leaves and itself."""

MAY_USE_TENSORFLOW = ("prodgen_rec.imagery.", "prodgen_rec.evaluation.judge")
HEAVY = ("tensorflow", "keras")


class Module:
    """A source file and what it imports."""

    def __init__(self, file: Path, package: Path) -> None:
        parts = list(file.relative_to(package.parent).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if is_package else parts)
        self.part = parts[1]
        self._anchor = self.name if is_package else self.name.rpartition(".")[0]
        self._tree = ast.parse(file.read_text(encoding="utf-8"))

    def imports(self, *, at_run_time: bool = False) -> set[str]:
        """Absolute names of what is imported anywhere in the file: modules, and names of them."""
        found = set()
        for node in self._nodes(self._tree, at_run_time=at_run_time):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                name = "." * node.level + (node.module or "")
                source = importlib.util.resolve_name(name, self._anchor)
                found |= {f"{source}.{alias.name}" for alias in node.names}
        return found

    def _nodes(self, node: ast.AST, *, at_run_time: bool) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            if not (at_run_time and for_types):
                yield child
                yield from self._nodes(child, at_run_time=at_run_time)


def modules_of(package: Path) -> dict[str, Module]:
    modules = [Module(file, package) for file in sorted(package.rglob("*.py"))]
    return {module.name: module for module in modules}


def violations(package: Path) -> list[str]:
    """Every import against the direction, in words."""
    found = []
    for module in modules_of(package).values():
        for name in sorted(module.imports()):
            if name.split(".")[0] == "prodgen_rec" and not _allowed(module.part, name):
                found.append(f"{module.name} imports {name}")
            if name.split(".")[0] in HEAVY and not module.name.startswith(MAY_USE_TENSORFLOW):
                found.append(f"{module.name} imports {name}")
    return found


def _allowed(part: str, imported: str) -> bool:
    if part == "__init__":  # the map of the package
        return True
    imported_part = imported.split(".")[1] if "." in imported else "__init__"
    others = set() if part in LEAVES else {part, *MAY_IMPORT.get(part, "").split()}
    return imported_part in LEAVES | others


def cycle(package: Path) -> list[str]:
    """Modules that import each other in a circle when they run, or nothing."""
    modules = modules_of(package)
    graph = {
        name: {_module_of(imported, modules) for imported in module.imports(at_run_time=True)}
        for name, module in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_of(imported: str, modules: dict[str, Module]) -> str:
    return imported if imported in modules else imported.rpartition(".")[0]


def test_imports_follow_the_direction():
    assert violations(PACKAGE) == []


def test_no_modules_import_each_other():
    assert cycle(PACKAGE) == []


def test_the_table_itself_has_a_direction():
    TopologicalSorter({part: may.split() for part, may in MAY_IMPORT.items()}).prepare()


@pytest.fixture
def planted(tmp_path):
    """Write a package of a few modules, by name and source."""

    def write(**sources: str) -> Path:
        package = tmp_path / "prodgen_rec"
        package.mkdir()
        for name, source in sources.items():
            (package / f"{name}.py").write_text(source)
        return package

    return write


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("ids", "import prodgen_rec.events", "prodgen_rec.events"),
        ("events", "from prodgen_rec.splits import Split", "prodgen_rec.splits.Split"),
        ("events", "from prodgen_rec import interactions", "prodgen_rec.interactions"),
        ("events", "from . import interactions", "prodgen_rec.interactions"),
        ("catalog", "def f():\n    from .display import grids", "prodgen_rec.display.grids"),
        (
            "imagery",
            "if TYPE_CHECKING:\n    import prodgen_rec.personalizer",
            "prodgen_rec.personalizer",
        ),
        ("testing", "from prodgen_rec import ALS", "prodgen_rec.ALS"),
        ("testing", "import prodgen_rec as pg", "prodgen_rec"),
        ("preferences", "import tensorflow as tf", "tensorflow"),
        ("display", "try:\n    from keras import ops\nexcept ImportError: ...", "keras.ops"),
        ("newcomer", "import prodgen_rec.events", "prodgen_rec.events"),
    ],
)
def test_a_planted_violation_is_found(planted, file, source, expected):
    package = planted(**{file: source})
    assert violations(package) == [f"prodgen_rec.{file} imports {expected}"]


def test_a_planted_cycle_is_found(planted):
    package = planted(ids="from prodgen_rec import errors", errors="import prodgen_rec.ids")
    assert set(cycle(package)) == {"prodgen_rec.ids", "prodgen_rec.errors"}


def test_imports_for_types_alone_make_no_cycle(planted):
    package = planted(
        ids="from prodgen_rec import errors",
        errors="if TYPE_CHECKING:\n    import prodgen_rec.ids",
    )
    assert cycle(package) == []


def loaded_after(code: str) -> set[str]:
    """Top-level packages that a new interpreter holds after some code."""
    report = "import sys; print('loaded', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import prodgen_rec")
    assert "prodgen_rec" in loaded
    assert not loaded & {*HEAVY, "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "implicit"}


def test_recommending_never_loads_tensorflow():
    loaded = loaded_after("""
import pandas as pd
import prodgen_rec as pg

log = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 2, 3]})
log = log.assign(event="purchase", timestamp=pd.Timestamp("2025-03-03", tz="UTC"))
interactions = pg.build_interactions(pg.read_events(log))
lists = pg.ALS(factors=2, iterations=1).fit(interactions).recommend([1], n=1)
assert lists["item_id"].tolist() == [3]
""")
    assert "implicit" in loaded
    assert not loaded & set(HEAVY)


def test_a_search_for_hyper_parameters_never_loads_tensorflow():
    loaded = loaded_after("from prodgen_rec import tune")
    assert "scipy" in loaded
    assert not loaded & set(HEAVY)


def test_reading_what_was_published_never_loads_tensorflow():
    loaded = loaded_after("from prodgen_rec.nightly import Target, latest")
    assert "pyarrow" in loaded
    assert not loaded & {*HEAVY, "implicit"}


def test_the_help_of_the_command_line_never_loads_tensorflow():
    loaded = loaded_after("""
import sys
sys.argv = ["prodgen-rec", "--help"]
from prodgen_rec.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
""")
    assert "typer" in loaded
    assert not loaded & set(HEAVY)
