"""Every document, example and notebook of the project does what it says."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import pytest

from prodgen_rec.datasets import write_shop

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ELSEWHERE = {"operations.md"}
"""What runs in tests of its own: test_operations.py."""
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.py"))
STEPS = "20"
"""Training steps in place of a reader's minutes."""
SECONDS = 600


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)


def params(files: list[Path], **options: Any) -> list[Any]:
    return [pytest.param(file, id=file.relative_to(ROOT).as_posix(), **options) for file in files]


def commands(program: str) -> list[Any]:
    """Every command line of a program in the shell blocks of the documents, as words."""
    lines = [
        (document.name, shlex.split(line, comments=True))
        for document in DOCUMENTS
        for block in blocks(document, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [
        pytest.param(words, id=f"{name}: {' '.join(words)}")
        for name, words in lines
        if words[:1] == [program]
    ]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that succeeds, away from make and from data of one's own."""
    foreign = ("MAKE", "PRODGEN_REC_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = own | {"PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory):
    """A folder with a small shop where the demo leaves one, for documents that read it."""
    folder = tmp_path_factory.mktemp("documents")
    write_shop(folder / "demo" / "shop", n_items=120, n_users=150)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    params([one for one in DOCUMENTS if blocks(one, "python") and one.name not in ELSEWHERE]),
)
def test_the_python_of_a_document_runs(document, shop_folder, monkeypatch):
    monkeypatch.chdir(shop_folder)
    scope: dict[str, Any] = {}
    for block in blocks(document, "python"):
        short = re.sub(r"\bminutes=[\d.]+", f"steps={STEPS}", block)
        exec(compile(short, document.name, "exec"), scope)  # noqa: S102


@pytest.mark.parametrize("command", commands("make"))
def test_a_make_command_of_a_document_exists(command):
    assert run("make", "--dry-run", *command[1:], cwd=ROOT)


@pytest.mark.parametrize("command", commands("prodgen-rec"))
def test_a_command_of_a_document_exists(command, tmp_path):
    words = command[1 : 3 if command[1] == "delivery" else 2]  # `delivery` has commands of its own
    start = "from prodgen_rec.cli import main; main()"
    text = run(sys.executable, "-c", start, *words, "--help", cwd=tmp_path)
    options = {word for word in command if word.startswith("--")}
    assert options <= set(re.findall(r"--[\w-]+", text))


@pytest.mark.parametrize("document", params(DOCUMENTS))
def test_the_links_of_a_document_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", document.read_text("utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("script", params([*EXAMPLES, *NOTEBOOKS]))
def test_an_example_or_notebook_runs(script, tmp_path, monkeypatch):
    """Cells run in order as one script; `make notebooks` does the same in Jupyter."""
    short = ["--steps", STEPS] if '"--steps"' in script.read_text("utf-8") else []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRODGEN_REC_DATA", raising=False)
    monkeypatch.setenv("STEPS", STEPS)
    monkeypatch.setattr(sys, "argv", [str(script), *short])
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("notebook", params(NOTEBOOKS))
def test_a_notebook_has_cells_of_text_and_code(notebook):
    cells = jupytext.read(notebook)["cells"]
    assert {cell["cell_type"] for cell in cells} == {"markdown", "code"}
