"""One small shop, and one personalizer fitted on its files, for all tests that need them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from settings import PLAIN

from prodgen_rec import Personalizer, PersonalizerConfig, datasets, read_catalog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

if "PYTEST_XDIST_WORKER" in os.environ:  # one worker per core needs no more threads than that
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# The reference: pictures are those of the personalizer to the last bit, and nothing is timed first.
os.environ["PRODGEN_REC_NIGHTLY_KERNEL"] = "tensorflow-float32"

# Spark's processes live for seconds here: to compile their code well takes longer than it saves.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

SMALL = {
    "attributes": ["type", "color"],
    "preferences": {"factors": 16},
    "imagery": PLAIN
    | {
        "size": 32,
        "width": 12,
        "latent_channels": 4,
        "learning_rate": 4e-3,
        "prior_width": 192,
        "prior_depth": 2,
        "prior_share": 0.7,
    },
}
"""Settings of a personalizer that is fitted in seconds."""


MEMORY = Path("/dev/shm")  # noqa: S108
"""A file system in memory, on Linux."""

Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Once:
    """A folder of a name, made by the first test process that asks for it, whole for the others."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, unfinished = root / name, root / f"{name}.unfinished"
        with FileLock(root / f"{name}.lock"):
            if not folder.exists():
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture
def quick_folder(tmp_path) -> Iterator[Path]:
    """A folder in memory where there is one: what survives a kill there survives it on disks."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def small_shop(once) -> datasets.ShopFiles:
    """Files of a shop of 240 items and 200 users; not to be changed."""
    return datasets.ShopFiles(
        once("shop", partial(datasets.write_shop, n_items=240, n_users=200, n_weeks=6, seed=0))
    )


@pytest.fixture(scope="session")
def bundle(small_shop, once) -> Path:
    """The bundle of a personalizer that was fitted on the small shop; not to be changed."""

    def fit(path: Path) -> None:
        catalog = read_catalog(small_shop.items, small_shop.photos, size=32)
        personalizer = Personalizer(PersonalizerConfig.parse(SMALL), seed=0)
        personalizer.fit(small_shop.events, catalog, steps=800, progress=False).save(path)

    return once("bundle", fit)


@pytest.fixture(scope="session")
def fitted(bundle) -> Personalizer:
    """That personalizer; not to be changed."""
    return Personalizer.load(bundle)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """Two cores of this machine, with tries again."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2,4]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()
