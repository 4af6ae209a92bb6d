"""What docs/operations.md and the files of examples/operations say is so, and does run."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from command_line import done, run

from prodgen_rec.cli.console import _EXIT_CODES, INTERRUPTED
from prodgen_rec.nightly import NightlySettings, latest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "operations.md").read_text("utf-8")
FILES = ROOT / "examples" / "operations"
SCHEDULERS = ["prodgen-rec.cron", "prodgen-rec-nightly.service", "airflow_dag.py"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.M | re.S)


@pytest.fixture(scope="module")
def folder(small_shop, bundle, tmp_path_factory) -> Path:
    """A folder as the guide has it: a shop and its bundle in ``demo``, and the settings."""
    folder = tmp_path_factory.mktemp("operations")
    shutil.copytree(small_shop.folder, folder / "demo" / "shop")
    shutil.copytree(bundle, folder / "demo" / "bundle")
    shutil.copy(FILES / "nightly.toml", folder)
    return folder


@pytest.fixture(scope="module")
def guided(folder) -> Path:
    """That folder after every command of the guide, in its order."""
    pytest.importorskip("deltalake")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks("sh"):
            for line in block.splitlines():
                program, *words = shlex.split(line)
                assert program == "prodgen-rec"
                done(*words)
    return folder


@pytest.mark.slow
def test_every_command_of_the_guide_runs(guided):
    delivery = latest(guided / "pictures")
    assert delivery.manifest.run_id == "2026-11-25"  # rolled back
    assert delivery.of("user-00001").num_rows == 0  # forgotten
    assert delivery.of("user-00003").num_rows == 0
    assert delivery.manifest.counts.refused == {"forgotten": 2}
    for name in ("nightly.log", "metrics/prodgen_rec.prom", "report.html"):
        assert (guided / name).stat().st_size


@pytest.mark.slow
def test_the_python_of_the_guide_runs(guided, monkeypatch):
    monkeypatch.chdir(guided)
    for block in blocks("python"):
        exec(compile(block, "operations.md", "exec"), {})  # noqa: S102


def command_of(name: str) -> str:
    """The nightly command that a file of a scheduler runs."""
    text = (FILES / name).read_text("utf-8")
    if name.endswith(".py"):
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.keyword)]
        texts = [ast.literal_eval(one.value) for one in calls if one.arg == "bash_command"]
        return str(texts[0])
    commands = re.findall(r"(?:ExecStart=|&& )(prodgen-rec .*)", text)
    assert len(set(commands)) == 1
    return str(commands[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_command_of_a_scheduler_runs(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    line = command_of(name).replace("{{ ds }}", "2026-12-01")
    assert {"--config", "--log", "--metrics", "--report"} <= set(shlex.split(line))
    done(*shlex.split(line)[1:])


def test_the_units_of_systemd_name_each_other_and_known_exit_codes():
    service = (FILES / "prodgen-rec-nightly.service").read_text("utf-8")
    codes = {int(code) for code in re.findall(r"\d+", service.split("RestartPrevent")[1])}
    assert codes == set(exit_codes()) - {0, 1, 7, 10, INTERRUPTED}
    assert (FILES / "prodgen-rec-nightly.timer").is_file()


def exit_codes() -> list[int]:
    return [int(code) for code in re.findall(r"^\| (\d+) \|", GUIDE, re.M)]


def test_the_table_of_exit_codes_is_whole():
    training = 5
    known = {code for _, code in _EXIT_CODES} - {training}
    assert exit_codes() == sorted(known | {0, 1, 2, INTERRUPTED})


def test_rules_use_metrics_that_there_are(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert run("nightly", "--config", "nightly.toml", "--since", "2040-01-01", "--metrics",
               "m.prom").code == 8  # fmt: skip
    there = set(re.findall(r"^# TYPE (\w+)", Path("m.prom").read_text("utf-8"), re.M))
    rules = yaml.safe_load((FILES / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    used = {name for rule in rules for name in re.findall(r"prodgen_rec_\w+", rule["expr"])}
    assert len(rules) == 5
    assert used - there == {"prodgen_rec_nightly_score_drift"}  # nothing was made


def test_the_settings_file_shows_settings_and_their_defaults(monkeypatch):
    monkeypatch.delenv("PRODGEN_REC_NIGHTLY_KERNEL")  # which comes before any default
    text = (FILES / "nightly.toml").read_text("utf-8")
    shown = re.sub(r"^# (\w+ = |\[)", r"\1", text, flags=re.M)
    settings = NightlySettings.model_validate(tomllib.loads(shown))
    plain = NightlySettings.model_validate(tomllib.loads(text))
    assert settings.columns == {"user_id": "customer_id"}
    assert settings.model_copy(update={"columns": {}, "date": plain.date}) == plain
    for name in ("recipe", "gate"):
        assert len(tomllib.loads(shown)[name]) >= 5
