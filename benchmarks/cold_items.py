"""Items that nobody has taken: who gets them, by what is known of them alone, on H&M.

    python benchmarks/cold_items.py

All purchases of 5 % of the items are taken out of the log. Recall@20 of these, over the users who
bought one of them and something else besides: ranked among all items that the user does not have,
and among themselves. Reads hm_fashion below PRODGEN_REC_DATA, as ranking.py does, and is skipped
without it.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from ranking import hm_items, interactions, words
from scipy.sparse import csr_array, diags_array

import prodgen_rec as pg
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking
from prodgen_rec.preferences import ItemRecommender

K, SHARE = 20, 0.05
TITLES = {"min_df": 2, "ngram_range": (1, 2)}
DESCRIPTIONS = {"min_df": 3, "max_df": 0.2, "stop_words": "english"}

OURS = {"product_code": 15.0, "department_name": 3.0}


@dataclass(eq=False)
class NearestByAttributes(ItemRecommender):
    """The baseline: how like an item is to those that the user took, by cosine of attributes."""

    def _learn(self, evidence: csr_array, features: csr_array) -> None:
        roots = features.sqrt()
        lengths = np.sqrt(features.sum(axis=0))
        units = roots @ diags_array(1 / np.where(lengths > 0, lengths, 1.0))
        self.item_weights_ = (units.T @ units).toarray().astype(np.float32)
        np.fill_diagonal(self.item_weights_, 0.0)

    def _weights_between(self, rows: csr_array) -> np.ndarray:
        raise NotImplementedError  # nothing comes from users


def main() -> None:
    """Print one line per model: recall with intervals, and the ratio to the first baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the items that are cold")
    parser.add_argument("--models", nargs="+", help="some of them; by default all")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data")) / "hm_fashion"
    if not folder.is_dir():
        print(f"skipped: there is no {folder}")
        return
    log = pd.read_parquet(folder / "interactions.parquet").drop_duplicates(["user_id", "item_id"])
    history, wanted, cold = split(log, arguments.seed)
    print(
        f"{history}, {len(cold)} cold items, {len(wanted):,} pairs of "
        f"{wanted['user_id'].nunique():,} users, @{K}"
    )
    first: list[RankingReport] = []
    for name, (model, features) in models(hm_items(folder)).items():
        if arguments.models and name not in arguments.models:
            continue
        start = time.monotonic()
        model.fit(history, features)
        seconds = time.monotonic() - start
        found = [judged(model, wanted, candidates) for candidates in (None, cold)]
        first = first or found
        among = [told(*pair) for pair in zip(found, first, strict=True)]
        print(f"{name:38} among all {among[0]}; among cold {among[1]}; {seconds:.1f} s", flush=True)


def split(log: pd.DataFrame, seed: int) -> tuple[pg.Interactions, pd.DataFrame, list[str]]:
    """History without the cold items, their pairs whose users have a history, and their ids."""
    taken = np.sort(log["item_id"].unique())
    n = int(np.ceil(SHARE * len(taken)))
    cold = np.sort(np.random.default_rng(seed).choice(taken, n, replace=False)).tolist()
    is_cold = log["item_id"].isin(cold)
    history = interactions(log[~is_cold])
    return history, log[is_cold & log["user_id"].isin(history.users.ids)], cold


def models(items: pd.DataFrame) -> dict[str, tuple[pg.Recommender, pg.ItemFeatures]]:
    """Baselines and ours; weights were chosen on other cold items, see docs/experiments.md."""

    def columns(**weights: float) -> pg.ItemFeatures:
        return pg.ItemFeatures.of_columns(items.index, items, weights)

    every = [name for name in items if name == "product_code" or name.endswith("_name")]
    one_hot = columns(**dict.fromkeys(every, 1.0))
    few = dict.fromkeys(
        ("product_type_name", "department_name", "section_name", "colour_group_name"), 1.0
    )
    titles, texts = items["title"], items["detail_desc"]
    weighted = columns(product_code=5.0, **few)
    with_words = weighted.and_also(words(titles, 1.0, **TITLES)).and_also(
        words(texts, 0.3, **DESCRIPTIONS)
    )
    # In units of a purchase, whose evidence is 5.
    ours = columns(**dict.fromkeys(every, 0.5) | few | OURS).times(5.0)
    ours_words = ours.and_also(words(titles, 15.0, **TITLES)).and_also(
        words(texts, 5.0, **DESCRIPTIONS)
    )
    return {
        "attributes, all one-hot": (NearestByAttributes(), one_hot),
        "attributes, five, one-hot": (NearestByAttributes(), columns(product_code=1.0, **few)),
        "product alone": (NearestByAttributes(), columns(product_code=1.0)),
        "attributes, weighted": (NearestByAttributes(), rare_first(weighted)),
        "attributes and words, weighted": (NearestByAttributes(), rare_first(with_words)),
        "ALS, attributes": (pg.ALS(256, 150.0, 4.0), ours),
        "ALS, attributes and words": (pg.ALS(256, 150.0, 4.0), ours_words),
    }


def rare_first(features: pg.ItemFeatures) -> pg.ItemFeatures:
    """Evidence times log(items / items that have the feature)."""
    matrix = features.matrix
    rarity = np.log(matrix.shape[1] / np.maximum(np.diff(matrix.indptr), 1))
    return pg.ItemFeatures.of_matrix(features.items, diags_array(rarity) @ matrix)


def judged(
    model: pg.Recommender, wanted: pd.DataFrame, candidates: list[str] | None
) -> RankingReport:
    """Lists for the users of what is wanted, against it."""
    lists = model.recommend(wanted["user_id"].unique(), K, candidates=candidates)
    return evaluate_ranking(lists, wanted, k=K)


def told(report: RankingReport, first: RankingReport) -> str:
    """Recall, its difference from the first model and the ratio to it."""
    metric = f"recall@{K}"
    recall, reference = (one.intervals[metric] for one in (report, first))
    if report is first:
        return f"{recall}"
    ratio = recall.value / reference.value
    return f"{recall} ({compare(report, first, metric)}; {ratio:.2f} times)"


if __name__ == "__main__":
    main()
