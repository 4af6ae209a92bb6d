"""Every recommender on real logs: full ranking, with intervals, on the published hold-outs.

    python benchmarks/ranking.py hm hm_all gowalla retail movies

The data is not part of this project: PRODGEN_REC_DATA names the folder that holds hm_fashion,
gowalla and online_retail; MovieLens-100K comes with the package recbole
(``pip install --no-deps recbole``), and is split as Recommenders' benchmark does. What is absent is
skipped. Settings were found by hand, see docs/experiments.md, unless ``--tune`` says how many
trials may look for better ones, inside the training data:

    python benchmarks/ranking.py movies --models ALS --tune 40 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer

import prodgen_rec as pg
from prodgen_rec.evaluation.bootstrap import mean_interval
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.ids import IdMap
from prodgen_rec.splits import split_pairs

Models = Mapping[str, tuple[pg.Recommender, pg.ItemFeatures | None]]


@dataclass
class Log:
    """A log, split, and what is tried on it."""

    history: pd.DataFrame
    future: pd.DataFrame
    k: int
    models: Models = field(default_factory=dict)


def main() -> None:
    """Print one table per log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="*", choices=LOGS, default=[*LOGS])
    parser.add_argument("--models", nargs="+", help="some of them; by default all")
    parser.add_argument("--tune", type=int, metavar="TRIALS", help="look for settings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the search")
    parser.add_argument("--holdouts", type=int, default=3, help="of the search")
    arguments = parser.parse_args()
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data"))
    for name in arguments.logs:
        log = LOGS[name](data)
        if isinstance(log, str):
            print(f"{name}: skipped: {log}")
            continue
        if arguments.models:
            log.models = {model: log.models[model] for model in arguments.models}
        if arguments.tune:
            log.models = tuned(log, arguments.tune, arguments.holdouts, arguments.seeds)
        judged(name, log)


def tuned(log: Log, n_trials: int, n_holdouts: int, seeds: list[int]) -> Models:
    """The models with settings that were found inside the history, by each seed."""
    history = interactions(log.history)
    found = {}
    for model, (recommender, features) in log.models.items():
        named = {} if features is None else {"features": features}
        for seed in seeds:
            best = pg.tune(
                history,
                recommender,
                features=named,
                n_trials=n_trials,
                k=log.k,
                n_holdouts=n_holdouts,
                seed=seed,
            )
            print(
                f"{model}, seed {seed}: {best.trials.loc[best.trials['value'].idxmax()].to_dict()}"
            )
            found[f"{model}, seed {seed}"] = (best.recommender, best.features)
    return found


def judged(name: str, log: Log) -> None:
    """Fit and judge every model of a log, and compare the others with the first."""
    history = interactions(log.history)
    print(f"\n{name}: {history}, {len(log.future):,} pairs held out, @{log.k}")
    reports: dict[str, RankingReport] = {}
    for model, (recommender, features) in log.models.items():
        start = time.monotonic()
        recommender.fit(history, features)
        seconds = time.monotonic() - start
        users = np.intersect1d(log.future["user_id"].unique(), history.users.ids)
        lists = recommender.recommend(users, log.k)
        reports[model] = report = evaluate_ranking(lists, log.future, k=log.k)
        first = reports[next(iter(reports))]
        better = [
            f"({compare(report, first, f'{metric}@{log.k}')})" if report is not first else ""
            for metric in ("recall", "ndcg")
        ]
        print(
            f"{model:27} recall {report.intervals[f'recall@{log.k}']} {better[0]}, "
            f"of what fits {possible(report, log)}, "
            f"nDCG {report.intervals[f'ndcg@{log.k}']} {better[1]}, {seconds:.1f} s"
        )


def possible(report: RankingReport, log: Log) -> str:
    """Recall out of what k places can hold, as some papers count it."""
    n = log.future.groupby("user_id").size().reindex(report.per_user.index)
    hits = report.per_user[f"precision@{log.k}"] * log.k
    return str(mean_interval((hits / np.minimum(n, log.k)).to_numpy()))


def interactions(pairs: pd.DataFrame) -> pg.Interactions:
    """A purchase for every pair."""
    return pg.build_interactions(purchases(pairs))


def purchases(pairs: pd.DataFrame) -> pg.Events:
    """A purchase for every pair, all at one time."""
    when = pd.Timestamp("2020-01-01", tz="UTC")
    return pg.read_events(pairs[["user_id", "item_id"]].assign(event="purchase", timestamp=when))


def hm_items(folder: Path) -> pd.DataFrame:
    """What is known of the items of H&M, by their ids."""
    items = pd.read_csv(folder / "items.csv.gz", dtype={"item_id": str})
    return items.sort_values("item_id").set_index("item_id", drop=False)


def words(texts: pd.Series, weight: float, **settings: Any) -> pg.ItemFeatures:
    """Words of texts, indexed by item, as features; settings are the vectorizer's."""
    counts = CountVectorizer(binary=True, **settings).fit_transform(texts.fillna(""))
    return pg.ItemFeatures.of_matrix(IdMap.of(texts.index), counts.T * weight)


def hm(data: Path) -> Log | str:
    """H&M purchases of one week, its reference split of core53."""
    folder = data / "hm_fashion"
    if not folder.is_dir():
        return f"there is no {folder}"
    pairs = pd.read_parquet(folder / "split_core53.parquet")
    items = hm_items(folder)
    items = items[items["item_id"].isin(pairs["item_id"])]
    ids = IdMap.of(items["item_id"])

    def features(**weights: float) -> pg.ItemFeatures:
        return pg.ItemFeatures.of_columns(ids, items, weights)

    models = {
        "EASE": (pg.EASE(), None),
        "popularity": (pg.Popularity(), None),
        "ALS": (pg.ALS(), None),
        "ALS, 256 factors, features": (pg.ALS(256, 60.0, 4.0), features(product_code=30.0)),
        "EASE, features": (
            pg.EASE(),
            features(
                product_code=15.0,
                department_name=1.5,
                product_type_name=0.5,
                section_name=0.5,
                colour_group_name=0.25,
            ),
        ),
        "neighbors by cosine": (pg.ItemKNN(), None),
        "graph filter": (pg.GraphFilter(256), None),
        "BPR": (pg.BPR(), None),
    }
    return Log(*of_split(pairs), 20, models)


def hm_all(data: Path) -> Log | str:
    """H&M purchases of one week: a fifth of the items of every user with at least two."""
    folder = data / "hm_fashion"
    if not folder.is_dir():
        return f"there is no {folder}"
    log = pd.read_parquet(folder / "interactions.parquet")
    pairs = purchases(log.drop_duplicates(["user_id", "item_id"]))
    history, future = (part.to_pandas() for part in split_pairs(pairs, 0.2, seed=0))
    items = hm_items(folder)
    weights = {
        "product_code": 50.0,
        "department_name": 5.0,
        "product_type_name": 1.5,
        "section_name": 1.5,
        "colour_group_name": 1.0,
    }
    features = pg.ItemFeatures.of_columns(items.index, items, weights).and_also(
        words(items["title"], 2.5, min_df=2, ngram_range=(1, 2))
    )
    models = {
        "EASE": (pg.EASE(250.0), None),
        "popularity": (pg.Popularity(), None),
        "ALS, 256 factors": (pg.ALS(256, 40.0, 4.0), None),
        "ALS, 256 factors, features": (pg.ALS(256, 120.0, 8.0), features),
        "graph filter": (pg.GraphFilter(256), None),
        "neighbors by cosine": (pg.ItemKNN(), None),
    }
    return Log(history, future, 20, models)


def gowalla(data: Path) -> Log | str:
    """Check-ins, the split that LightGCN was published with."""
    file = data / "gowalla" / "interactions.parquet"
    if not file.exists():
        return f"there is no {file}"
    models = {
        "graph filter": (pg.GraphFilter(1024), None),
        "popularity": (pg.Popularity(), None),
        "ALS": (pg.ALS(), None),
        "neighbors by cosine": (pg.ItemKNN(), None),
        "BPR": (pg.BPR(), None),
    }
    return Log(*of_split(pd.read_parquet(file)), 20, models)


def retail(data: Path) -> Log | str:
    """A gift shop: a fifth of the items of every user with at least five."""
    folder = data / "online_retail"
    if not folder.is_dir():
        return f"there is no {folder}"
    log = pd.read_parquet(folder / "interactions.parquet")
    pairs = log[["user_id", "item_id"]].drop_duplicates()
    n = pairs.groupby("user_id")["item_id"].transform("size")
    chance = pd.Series(np.random.default_rng(0).random(len(pairs)), pairs.index)
    place = chance.groupby(pairs["user_id"]).rank()
    out = (place <= np.round(n * 0.2)) & (n >= 5)
    titles = pd.read_csv(folder / "items.csv").set_index("item_id")["title"].astype(str)
    features = words(titles, 30.0, min_df=2, ngram_range=(1, 2))
    models = {
        "EASE": (pg.EASE(), None),
        "popularity": (pg.Popularity(), None),
        "ALS": (pg.ALS(), None),
        "EASE, words of titles": (pg.EASE(), features),
        "neighbors by cosine": (pg.ItemKNN(), None),
        "graph filter": (pg.GraphFilter(512, 0.25), None),
        "BPR": (pg.BPR(), None),
    }
    return Log(pairs[~out], pairs[out], 20, models)


def movie_ratings() -> pd.DataFrame | str:
    """MovieLens-100K as the package recbole has it: user_id, item_id, rating, timestamp."""
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        return "recbole is not installed"
    file = Path(spec.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    return pd.read_csv(file, sep="\t").rename(columns=lambda name: name.split(":")[0])


def movies(_: Path) -> Log | str:
    """MovieLens-100K, every rating a positive, three quarters of each film's to learn from."""
    log = movie_ratings()
    if isinstance(log, str):
        return log
    # As python_stratified_split(ratio=.75, filter_by="item", seed=42) of Recommenders draws it.
    log["chance"] = np.random.RandomState(42).rand(len(log))
    by_item = log.sort_values(["item_id", "chance"]).groupby("item_id")
    place = (by_item.cumcount() + 1) / by_item["item_id"].transform("size")
    models = {
        "EASE": (pg.EASE(300.0), None),
        "popularity": (pg.Popularity(), None),
        "ALS": (pg.ALS(), None),
        "neighbors by TF-IDF": (pg.ItemKNN(100, "tf-idf"), None),
        "graph filter": (pg.GraphFilter(48, 0.25), None),
        "BPR": (pg.BPR(), None),
    }
    return Log(log[place <= 0.75], log[place > 0.75], 10, models)


def of_split(pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """History and future of a table that says which is which."""
    return pairs[pairs["split"] == "train"], pairs[pairs["split"] == "test"]


LOGS: Mapping[str, Callable[[Path], Log | str]] = {
    "hm": hm,
    "hm_all": hm_all,
    "gowalla": gowalla,
    "retail": retail,
    "movies": movies,
}

if __name__ == "__main__":
    main()
