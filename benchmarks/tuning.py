"""What a search finds on events, against one on interactions, judged by what came later.

    python benchmarks/tuning.py retail hm movies --models ALS EASE --trials 40

The newest share of a log is held out by time, both searches see the rest alone. Data as in
benchmarks/ranking.py; MovieLens-100K is a log of five kinds of events, its numbers of stars.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from ranking import movie_ratings

import prodgen_rec as pg
from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.evaluation.held_out import new_pairs
from prodgen_rec.evaluation.ranking import RankingReport, compare, evaluate_ranking

STARS = {f"{n} stars": float(n) for n in range(1, 6)}
MODELS: Mapping[str, Callable[[], pg.Recommender]] = {
    "ALS": pg.ALS,
    "EASE": pg.EASE,
    "popularity": lambda: pg.Popularity(full_evidence=EVENT_WEIGHTS["purchase"]),
}
K = 20


class Log(NamedTuple):
    """A log, and what its events count for at the start."""

    events: pg.Events
    weights: Mapping[str, float]


def main() -> None:
    """Print what each search finds on a log, and the difference later."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="*", choices=LOGS, default=[*LOGS])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["ALS"])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=math.inf, help="of each search at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the search")
    parser.add_argument("--share", type=float, default=0.15, help="of the newest events, to judge")
    arguments = parser.parse_args()
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data"))
    for name in arguments.logs:
        log = LOGS[name](data)
        if isinstance(log, str):
            print(f"{name}: skipped: {log}")
            continue
        before, after = pg.split_by_time(log.events, arguments.share)
        print(f"\n{name}: {before!r}, judged by {len(after):,} events later, @{K}")
        for model in arguments.models:
            for seed in arguments.seeds:
                print(f"{model}, seed {seed}")
                settings = {"n_trials": arguments.trials, "minutes": arguments.minutes}
                both_searches(
                    MODELS[model](), before, after, log.weights, settings | {"seed": seed}
                )


def both_searches(
    recommender: pg.Recommender,
    before: pg.Events,
    after: pg.Events,
    weights: Mapping[str, float],
    settings: Mapping[str, Any],
) -> None:
    """Search on interactions and on events, and compare both with what was given."""
    history = pg.build_interactions(before, event_weights=weights)
    wanted = new_pairs(history, pg.build_interactions(after, event_weights=weights))
    reports = {"given": judged(recommender.fit(history), wanted)}
    tuned = {}
    searches = {
        "interactions": lambda: pg.tune(history, recommender, k=K, **settings),
        "events": lambda: pg.tune(before, recommender, event_weights=weights, k=K, **settings),
    }
    for kind, search in searches.items():
        if kind == "interactions" and not recommender.search_space(history.matrix):
            continue
        start = time.monotonic()
        tuned[kind] = search()
        seconds = time.monotonic() - start
        found = tuned[kind].trials.loc[tuned[kind].trials["value"].idxmax()].to_dict()
        print(f"  {kind}: {len(tuned[kind].trials)} trials in {seconds:.0f} s: {found}")
        log = before if kind == "events" else history
        reports[kind] = judged(tuned[kind].fit(log), wanted)
    first = next(iter(reports.values()))
    for kind, report in reports.items():
        against = reports.get("interactions", first)
        better = "" if report in (against, first) else f" {compare(report, against, f'ndcg@{K}')}"
        print(
            f"  {kind:13} nDCG {report.intervals[f'ndcg@{K}']}{better}, "
            f"recall {report.intervals[f'recall@{K}']}, {report.n_users} users"
        )


def judged(fitted: pg.Recommender, wanted: pd.DataFrame) -> RankingReport:
    """Lists for the users that the fit knows and that have so many items left."""
    n_left = len(fitted.items_) - np.diff(fitted.interactions_.matrix.indptr)
    served = fitted.users_.ids[n_left >= K]
    wanted = wanted[wanted["user_id"].isin(served)]
    lists = fitted.recommend(wanted["user_id"].unique(), K)
    return evaluate_ranking(lists, wanted, k=K)


def retail(data: Path) -> Log | str:
    """A gift shop over a year."""
    return purchases(data / "online_retail" / "interactions.parquet")


def hm(data: Path) -> Log | str:
    """H&M, core53, seven days."""
    return purchases(data / "hm_fashion" / "interactions.parquet", [("core53", "==", True)])


def purchases(file: Path, filters: list[tuple[str, str, object]] | None = None) -> Log | str:
    """A log of the shared data."""
    if not file.exists():
        return f"there is no {file}"
    return Log(pg.read_events(pd.read_parquet(file, filters=filters)), EVENT_WEIGHTS)


def movies(_: Path) -> Log | str:
    """MovieLens-100K, its stars as kinds of events."""
    ratings = movie_ratings()
    if isinstance(ratings, str):
        return ratings
    kinds = ratings["rating"].astype(int).astype(str) + " stars"
    when = ratings["timestamp"].astype("int64")
    log = ratings[["user_id", "item_id"]].assign(event=kinds, timestamp=when)
    return Log(pg.read_events(log, event_weights=STARS), STARS)


LOGS: Mapping[str, Callable[[Path], Log | str]] = {"retail": retail, "hm": hm, "movies": movies}

if __name__ == "__main__":
    main()
