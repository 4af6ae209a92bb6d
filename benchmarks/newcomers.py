"""Users without a history: who gets what they will take, by what is known of them alone.

    python benchmarks/newcomers.py shop hm

A fifth of the users are taken out of the log. nDCG@20 of all that they took, by popular items, by
those of the users with the same attributes, and by the vectors of `NewcomerTaste`. ``shop`` is the
synthetic shop: the best type and the color of a user, each unknown of three in ten. ``hm`` is the
log of H&M below PRODGEN_REC_DATA, skipped without it: the channel of a user's first purchase.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from ranking import interactions, purchases
from scipy.sparse import csr_array

import prodgen_rec as pg
from prodgen_rec.datasets import make_shop
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.splits import split_users

K, SHARE = 20, 0.2
Log = tuple[pd.DataFrame, pd.DataFrame, pg.ALS]


def main() -> None:
    """Print one line per way to serve newcomers: nDCG, and its lead over popular items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="*", choices=LOGS, default=[*LOGS])
    parser.add_argument("--seed", type=int, default=0, help="of the users who are new")
    arguments = parser.parse_args()
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data"))
    for name in arguments.logs:
        log = LOGS[name](data)
        if isinstance(log, str):
            print(f"{name}: skipped: {log}")
        else:
            judged(name, log, arguments.seed)


def judged(name: str, log: Log, seed: int) -> None:
    """Fit without the newcomers, and judge what each way gives them."""
    pairs, users, als = log
    old, new = split_users(purchases(pairs), SHARE, seed=seed)
    history, wanted = interactions(old.to_pandas()), new.to_pandas()
    als.fit(history)
    newcomers = users[users["user_id"].isin(wanted["user_id"])].reset_index(drop=True)
    print(f"\n{name}: {history}, {len(newcomers):,} newcomers, @{K}")
    start = time.monotonic()
    taste = pg.NewcomerTaste.fit(als, users)
    print(f"ridge {taste.ridge:g}, {time.monotonic() - start:.2f} s")
    nothing = history.for_users(newcomers["user_id"], allow_unknown=True)
    mean = np.tile(als.user_vectors_.mean(axis=0), (len(newcomers), 1))
    names = list(users.columns.drop("user_id"))
    ways = {"popularity": pg.Popularity().fit(history).recommend(None, K, history=nothing)}
    for columns in [[name] for name in names if len(names) > 1] + [names]:
        lists = best_of_like(history, users, newcomers, columns)
        ways[f"popularity of equal {' and '.join(columns)}"] = lists
    ways["the mean vector"] = als.with_users(nothing, mean).recommend(None, K)
    vectors = taste.vectors_of(newcomers["user_id"], newcomers)
    ways["NewcomerTaste"] = als.with_users(nothing, vectors).recommend(None, K)
    reports = {way: evaluate_ranking(lists, wanted, k=K) for way, lists in ways.items()}
    for way, report in reports.items():
        print(f"{way:36} {told(report, reports['popularity'])}", flush=True)
    best = max(list(reports)[1:-2], key=lambda way: reports[way].intervals[f"ndcg@{K}"].value)
    lead = compare(reports["NewcomerTaste"], reports[best], f"ndcg@{K}")
    print(f"NewcomerTaste less {best}: {lead}")


def told(report: RankingReport, first: RankingReport) -> str:
    """The figure, and its difference from the first."""
    metric = f"ndcg@{K}"
    lead = "" if report is first else f" ({compare(report, first, metric)})"
    return f"{report.intervals[metric]}{lead}"


def best_of_like(
    history: pg.Interactions, users: pd.DataFrame, newcomers: pd.DataFrame, columns: list[str]
) -> pd.DataFrame:
    """The most popular items of users with the same attributes, then those of all."""
    known = users.set_index("user_id")[columns].fillna("").agg("|".join, axis=1)
    segments = known.reindex(history.users.ids).fillna("").to_numpy()
    liked = csr_array(history.matrix > 0, dtype=np.float64)
    of_all = liked.sum(axis=0) / (1.0 + history.n_users)  # below 1: tells equals apart
    lists = {
        segment: np.argsort(-(liked[segments == segment].sum(axis=0) + of_all))[:K]
        for segment in np.unique(segments)
    }
    everyone = np.argsort(-of_all)[:K]
    asked = known[newcomers["user_id"]]
    items = np.concatenate([lists.get(segment, everyone) for segment in asked])
    ranks = np.tile(np.arange(1, K + 1), len(asked))
    table = {"user_id": np.repeat(asked.index, K), "rank": ranks}
    return pd.DataFrame(table | {"item_id": history.items.take(items)})


def shop(_: Path) -> Log:
    """The synthetic shop, its purchases."""
    made = make_shop(n_users=1500, photo_size=16)
    log = pg.read_events(made.events).to_pandas()
    pairs = log[log["event"] == "purchase"].drop_duplicates(["user_id", "item_id"])
    truth = made.truth.drop_duplicates(["user_id", "attribute"]).set_index("user_id")
    by_attribute = truth.groupby("attribute")["value"]
    users = pd.DataFrame(dict(iter(by_attribute))).reset_index()
    rng = np.random.default_rng(0)
    for name in ("type", "color"):
        users.loc[rng.random(len(users)) < 0.3, name] = None
    return pairs, users, pg.ALS(64, 10.0, 4.0)


def hm(data: Path) -> Log | str:
    """H&M purchases of one week."""
    folder = data / "hm_fashion"
    if not folder.is_dir():
        return f"there is no {folder}"
    log = pd.read_parquet(folder / "interactions.parquet").sort_values("timestamp", kind="stable")
    users = log.drop_duplicates("user_id")[["user_id", "channel"]]
    users["channel"] = users["channel"].astype(str)
    return log.drop_duplicates(["user_id", "item_id"]), users, pg.ALS(128, 40.0, 4.0)


LOGS = {"shop": shop, "hm": hm}

if __name__ == "__main__":
    main()
