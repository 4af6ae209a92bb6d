"""A cluster of Spark that loses its processes publishes what one machine publishes."""

from __future__ import annotations

import shutil

import pytest
from command_line import ROOT
from nightly_jobs import SETTINGS, Nights
from spark_processes import cluster, executors, killed_at_the_first_part

if shutil.which("java") is None:
    pytest.skip("Spark needs Java, and there is none in PATH", allow_module_level=True)
pytest.importorskip("pyspark", reason="pip install 'prodgen-rec[spark]'")

SPARK = f"""\
[spark]
"spark.ui.enabled" = "false"
"spark.driver.host" = "127.0.0.1"
"spark.executor.memory" = "1g"
"spark.sql.shuffle.partitions" = "2"
"spark.executorEnv.PYTHONPATH" = "{ROOT}"
"""


@pytest.fixture
def nights(bundle, small_shop, tmp_path) -> dict[str, Nights]:
    """Places for a night of this machine, and for one of the cluster."""
    folders = {name: tmp_path / name for name in ("machine", "cluster")}
    for folder in folders.values():
        folder.mkdir()
    return {
        name: Nights(folder, None, bundle, small_shop.events) for name, folder in folders.items()
    }


@pytest.mark.slow
def test_a_cluster_whose_executor_is_killed_gives_the_same(nights, tmp_path):
    one, many = nights["machine"], nights["cluster"]
    one.made()
    config = tmp_path / "spark.toml"
    config.write_text(SETTINGS + SPARK)
    with cluster(tmp_path) as url, killed_at_the_first_part(many.place, executors) as killed:
        many.made("--engine", "spark", "--master", url, config=config)
    assert len(killed) == 1
    assert many.tree() == one.tree()
