"""What a refit does to vectors and lists, and what new items get without one, on H&M.

    python benchmarks/refit.py

Reads hm_fashion below PRODGEN_REC_DATA, as ranking.py does, and is skipped without it.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pandas as pd
from ranking import hm, interactions

import prodgen_rec as pg
from prodgen_rec.evaluation import evaluate_drift, evaluate_ranking
from prodgen_rec.hashing import hash_ids, uniform_of
from prodgen_rec.ids import IdMap
from prodgen_rec.imagery.condition import Whitening
from prodgen_rec.preferences import VectorRecommender

K = 20
PASSES = 1, 3, 15


def main() -> None:
    """Print both tables."""
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data"))
    log = hm(data)
    if isinstance(log, str):
        print(f"skipped: {log}")
        return
    history = interactions(log.history)
    refits(history, log.future, data / "hm_fashion" / "interactions.parquet")
    new_items(history, log.future)


def refits(history: pg.Interactions, future: pd.DataFrame, dated: Path) -> None:
    """Fits of the same log and of parts of it, beside each other."""
    report("another seed", pg.ALS(seed=1).fit(history), pg.ALS().fit(history))
    nine_tenths = history.where(np.random.default_rng(0).random(history.n_pairs) < 0.9)
    first = pg.ALS().fit(nine_tenths)
    in_full = pg.ALS().fit(history)
    report("a tenth of the pairs added", in_full, first)
    report("a tenth added, another seed", pg.ALS(seed=1).fit(history), first)
    later = {"partial_fit": copy.copy(first).partial_fit(history)}
    for passes in PASSES:
        later[f"refit, {passes} passes"] = copy.copy(first).refit(history, passes=passes)
    for name, model in later.items():
        report(f"a tenth added by {name}", model, first)
    held = future[future["user_id"].isin(history.users.ids)]
    for name, model in ({"the older fit": first, "a fit of everything": in_full} | later).items():
        print(f"{name:20} recall of all that is held out: {judged(model, held, None)}")
    filters = [pg.GraphFilter(256).fit(log) for log in (history, nine_tenths)]
    report("a tenth added, graph filter", *filters)
    if not dated.exists():
        print(f"the last day is skipped: there is no {dated}")
        return
    all_days, but_last = days(pd.read_parquet(dated))
    first = pg.ALS().fit(but_last)
    report("the last day added", pg.ALS().fit(all_days), first)
    report("the last day added by partial_fit", copy.copy(first).partial_fit(all_days), first)
    for passes in PASSES:
        refit = copy.copy(first).refit(all_days, passes=passes)
        report(f"the last day added by refit, {passes} passes", refit, first)
    small = [pg.ALS(32).fit(log) for log in (all_days, but_last)]
    report("the last day added, 32 factors", *small)


def days(log: pd.DataFrame) -> list[pg.Interactions]:
    """The core of the log, with and without its last day."""
    core = log[log["core53"]]
    day = core["timestamp"] // 86_400
    parts = core, core[day < day.max()]
    return [interactions(part.drop_duplicates(["user_id", "item_id"])) for part in parts]


def report(name: str, model: VectorRecommender, reference: VectorRecommender) -> None:
    """Cosines before and after, what an image model sees of them, and lists in common."""
    drift = evaluate_drift(model, reference, k=K)
    print(f"\n{name}: {model.interactions_}, lists in common {drift.overlap}")
    print(drift.vectors.round(3).to_string())
    users = np.intersect1d(model.users_.ids, reference.users_.ids)
    theirs = reference.user_vectors_[reference.users_.index(users)]
    whitening = Whitening.fit(theirs, np.ones(len(theirs)))
    seen = whitening.conditions(theirs)[:, :-1]
    for when, fit in (("before", model), ("aligned", pg.align(model, reference))):
        ours = whitening.conditions(fit.user_vectors_[fit.users_.index(users)])[:, :-1]
        print(f"conditions {when:7} mean cosine {cosine(ours, seen).mean():.3f}")


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of both, 0 where one is zero."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.vecdot(a, b) / np.where(lengths > 0, lengths, 1.0)


def new_items(history: pg.Interactions, future: pd.DataFrame) -> None:
    """A tenth of the items joins a first fit, or is in it from the start: who gets them."""
    known = uniform_of(hash_ids(history.items.arrow, 0)) >= 0.1
    old, new = (IdMap.of(history.items.ids[mask]) for mask in (known, ~known))
    held = future[future["user_id"].isin(history.users.ids)]
    wanted = held[held["item_id"].isin(new.ids)]
    print(f"\n{len(new)} new items, {len(wanted)} of {len(held)} pairs held out")
    first = pg.ALS().fit(history.for_items(old))
    fits = {
        "partial_fit": copy.copy(first).partial_fit(history),
        "refit": copy.copy(first).refit(history),
        "fit of everything": pg.ALS().fit(history),
        "popularity": pg.Popularity().fit(history),
    }
    for name, model in fits.items():
        among_new = judged(model, wanted, list(new.ids))
        print(
            f"{name:18} of new items, among them: {among_new}; "
            f"of new items, among all: {judged(model, wanted, None)}; "
            f"of all: {judged(model, held, None)}"
        )


def judged(model: pg.Recommender, wanted: pd.DataFrame, candidates: list[str] | None) -> str:
    """Recall with its interval, over the users of what is wanted."""
    lists = model.recommend(wanted["user_id"].unique(), K, candidates=candidates)
    return str(evaluate_ranking(lists, wanted, k=K).intervals[f"recall@{K}"])


if __name__ == "__main__":
    main()
