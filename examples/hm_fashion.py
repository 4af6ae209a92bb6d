"""The whole path on real purchases with real photos: the H&M log, at 64 px.

The data is not part of this project. Point PRODGEN_REC_DATA to a folder with
``hm_fashion/interactions.parquet``, ``split_core53.parquet``, ``items.csv.gz`` and
``images_64.parquet``; without it the example says so and ends.

    python examples/hm_fashion.py --out hm --minutes 30

It writes two ordinary logs, one to learn from and one held out, and then runs the same
commands as for any other shop.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

SETTINGS = """\
# Every purchase weighs 5 and counts once here, so confidence is 1 + 4 · 5 = 21.
[preferences]
factors = 128
regularization = 10.0
alpha = 4.0
"""


def main() -> None:
    """Write the logs, then fit, recommend, imagine, evaluate and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("hm"))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--max-users", type=int, default=4000)
    arguments = parser.parse_args()
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data")) / "hm_fashion"
    if not data.is_dir():
        print(f"skipped: there is no {data}; set PRODGEN_REC_DATA to the folder that holds it")
        return
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    write_logs(data, out)
    (out / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    bundle, train, test = out / "bundle", out / "train.parquet", out / "test.parquet"
    start = time.monotonic()
    run("fit", events=train, items=data / "items.csv.gz", photos=data / "images_64.parquet",
        out=bundle, config=out / "settings.toml", minutes=arguments.minutes)  # fmt: skip
    print(f"fit took {(time.monotonic() - start) / 60:.1f} minutes")
    users = out / "users.csv"
    pd.read_parquet(train, columns=["user_id"]).drop_duplicates().head(1000).to_csv(
        users, index=False
    )
    run("recommend", bundle=bundle, events=train, users="all", n=20, out=out / "lists.parquet")
    run("imagine", bundle=bundle, events=train, users=users, n=4, out=out / "pictures.parquet")
    run("evaluate", bundle=bundle, events=train, holdout=test, out=out / "evaluation",
        max_users=arguments.max_users)  # fmt: skip
    run("gallery", bundle=bundle, events=train, out=out / "gallery", max_users=24)


def write_logs(data: Path, out: Path) -> None:
    """Write the two sides of the reference split as logs with the first purchase of each pair."""
    split = pd.read_parquet(data / "split_core53.parquet")
    log = pd.read_parquet(data / "interactions.parquet")
    first = log.sort_values("timestamp", kind="stable").drop_duplicates(["user_id", "item_id"])
    pairs = split.merge(first[["user_id", "item_id", "event", "timestamp"]], how="left")
    for side in ("train", "test"):
        pairs[pairs["split"] == side].drop(columns="split").to_parquet(out / f"{side}.parquet")


def run(command: str, **options: object) -> None:
    """Run one command of the library, as a shell would."""
    words = [sys.executable, "-m", "prodgen_rec", command]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
