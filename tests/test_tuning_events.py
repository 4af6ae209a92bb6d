"""The search on events: what old events and events of each kind are worth, told by time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from prodgen_rec import (
    ALS,
    BPR,
    EASE,
    Events,
    GraphFilter,
    ItemKNN,
    PersonalizerConfig,
    Popularity,
    build_interactions,
    read_events,
    split_by_time,
    tune,
)
from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation import evaluate_ranking
from prodgen_rec.evaluation.held_out import new_pairs
from prodgen_rec.tuning.candidates import Candidate
from prodgen_rec.tuning.evidence import Evidence
from prodgen_rec.tuning.holdouts import by_time

N_USERS, N_KINDS, PER_KIND, N_DAYS = 200, 8, 12, 100
START = pd.Timestamp("2024-01-01", tz="UTC")
GIVEN = Evidence(EVENT_WEIGHTS, None)


def tastes(*, drift: bool, n_events: int = 6000, seed: int = 0) -> pd.DataFrame:
    """Users buy of one kind of items; with drift, of another kind after two thirds of the time."""
    rng = np.random.default_rng(seed)
    users, days = rng.integers(0, N_USERS, n_events), rng.random(n_events) * N_DAYS
    early, late = rng.integers(0, N_KINDS, (2, N_USERS))
    kinds = np.where(drift & (days > 60), late[users], early[users])
    return log_of(users, kinds * PER_KIND + rng.integers(0, PER_KIND, n_events), "purchase", days)


def log_of(users, items, event, days) -> pd.DataFrame:
    when = START + pd.to_timedelta(np.asarray(days), unit="D").round("s")
    return pd.DataFrame({"user_id": users, "item_id": items, "event": event, "timestamp": when})


def ndcg_later(fitted, future: Events) -> float:
    """Of the lists for those who take something new later."""
    wanted = new_pairs(fitted.interactions_, build_interactions(future))
    wanted = wanted[wanted["user_id"].isin(fitted.users_.ids)]
    lists = fitted.recommend(wanted["user_id"].unique(), 5)
    return evaluate_ranking(lists, wanted, k=5, n_boot=1).intervals["ndcg@5"].value


class Small(ALS):
    """Of a few factors, whatever the search."""

    @classmethod
    def search_space(cls, evidence):
        space = super().search_space(evidence)
        return {name: space[name] for name in ("regularization", "alpha")}


def quick(**settings) -> Small:
    return Small(**{"factors": 16, "alpha": 1.0, "iterations": 4, **settings})


# What it finds -------------------------------------------------------------------------


def both_searches(log: pd.DataFrame):
    """What is found on the events and on the interactions before, and their nDCG later."""
    past, future = split_by_time(read_events(log), 0.1)
    on_events = tune(past, quick(), n_trials=20, k=5)
    on_pairs = tune(build_interactions(past), quick(), n_trials=20, k=5)
    found = ndcg_later(on_events.fit(past), future)
    return on_events, found, ndcg_later(on_pairs.fit(build_interactions(past)), future)


def test_where_tastes_drift_old_events_fade():
    tuned, by_events, by_pairs = both_searches(tastes(drift=True))
    assert tuned.half_life_days < 20
    assert by_events > by_pairs + 0.1


def test_where_tastes_stay_nothing_is_lost():
    _, by_events, by_pairs = both_searches(tastes(drift=False))
    assert by_events > by_pairs - 0.01 > 0.3


@pytest.mark.parametrize(("telling", "noise"), [("purchase", "view"), ("view", "purchase")])
def test_events_that_tell_weigh_more(telling, noise):
    """Three events in four are of any item; at the start both kinds weigh alike."""
    log = tastes(drift=False, n_events=4000)
    chance = pd.concat([log] * 3).assign(event=noise)
    chance["item_id"] = np.random.default_rng(1).permutation(chance["item_id"])
    both = pd.concat([log.assign(event=telling), chance])
    weights = {"purchase": 1.0, "view": 1.0, "return": -1.0}
    tuned = tune(both, quick(), event_weights=weights, n_trials=25, k=5)
    assert tuned.event_weights[telling] > 4 * tuned.event_weights[noise]
    assert tuned.event_weights["purchase"] == 1.0  # the first of the strongest is the unit
    assert tuned.event_weights["return"] == -1.0


def test_a_recommender_without_settings_learns_what_time_tells():
    """Of two items one was popular, and the other is."""
    rng = np.random.default_rng(0)
    days = rng.random(3000) * N_DAYS
    items = rng.integers(0, 40, 3000) + np.where(days < 60, 0, 20)
    log = log_of(rng.integers(0, 900, 3000), items, "purchase", days)
    tuned = tune(log, Popularity(full_evidence=5.0), n_trials=10, k=5)
    assert list(tuned.trials) == ["half_life_days", "value"]
    assert tuned.trials.loc[0, "half_life_days"] == np.inf  # no decay was given
    assert tuned.half_life_days < 60
    with pytest.raises(ConfigError, match="a Popularity has nothing to tune"):
        tune(build_interactions(read_events(log)), Popularity(full_evidence=5.0))


def test_what_is_found_is_set_as_it_is():
    log = mixed()
    tuned = tune(log, quick(), n_trials=4, k=5)
    best = tuned.trials.loc[tuned.trials["value"].idxmax()]
    settings = PersonalizerConfig(
        event_weights=tuned.event_weights, half_life_days=tuned.half_life_days
    )
    by_hand = build_interactions(
        read_events(log),
        event_weights=settings.event_weights, half_life_days=settings.half_life_days,
    )  # fmt: skip
    assert (tuned.fit(log).interactions_.matrix != by_hand.matrix).nnz == 0
    assert (tuned.half_life_days or np.inf) == best["half_life_days"]
    assert tuned.event_weights == EVENT_WEIGHTS | {
        name: best[f"event_weights.{name}"] for name in ("view", "cart")
    }


def test_the_first_trial_is_of_what_is_given():
    weights = EVENT_WEIGHTS | {"view": 0.25, "purchase": 4.0}
    given = {"event_weights": weights, "half_life_days": 30.0}
    first = tune(mixed(), quick(regularization=77.0), n_trials=1, k=5, **given).trials.loc[0]
    assert first["half_life_days"] == 30
    assert (first["event_weights.view"], first["event_weights.cart"]) == (0.25, 3.0)
    assert first["regularization"] == 77
    assert "event_weights.purchase" not in first  # the strongest
    assert "event_weights.click" not in first  # does not occur
    assert "event_weights.return" not in first  # no preference


# What it judges by ---------------------------------------------------------------------


def mixed(n_events: int = 3000, seed: int = 3) -> pd.DataFrame:
    """Views, carts, purchases and returns of random users and items."""
    rng = np.random.default_rng(seed)
    log = tastes(drift=False, n_events=n_events, seed=seed)
    kinds = rng.choice(["view", "cart", "purchase", "return"], n_events, p=[0.6, 0.1, 0.2, 0.1])
    return log.assign(event=kinds)


def brute_force(log: pd.DataFrame, weights: Mapping[str, float], n: int) -> list[set]:
    """New pairs of known users with positive evidence, of the n newest tenths of the events."""
    rows = log.assign(worth=log["event"].map(weights)).sort_values("timestamp")
    found = []
    for _ in range(n):
        cut = rows["timestamp"].iloc[len(rows) - int(np.ceil(len(rows) / 10))]
        past, future = rows[rows["timestamp"] < cut], rows[rows["timestamp"] >= cut]
        net = future.groupby(["user_id", "item_id"])["worth"].sum()
        before = set(zip(past["user_id"], past["item_id"], strict=True))
        known = set(past["user_id"])
        found.append({pair for pair in net[net > 0].index if pair[0] in known} - before)
        rows = past
    return found


def pairs_of(holdout) -> set:
    return set(zip(holdout.pairs["user_id"], holdout.pairs["item_id"], strict=True))


@pytest.mark.parametrize(
    "recommender",
    [quick(), BPR(16, iterations=3), EASE(), GraphFilter(16), ItemKNN(), Popularity(),
     Popularity(full_evidence=50.0)],
)  # fmt: skip
def test_only_what_counts_is_searched_for(recommender):
    """Who looks only at whether evidence is positive fits alike whatever its size."""
    events = read_events(tastes(drift=False))
    history = build_interactions(events)
    faded = build_interactions(events, half_life_days=20.0)
    users = history.users.ids[:50]
    one, two = (recommender.fit(log).recommend(users, 5)["score"] for log in (history, faded))
    assert one.equals(two) != recommender.weighs_evidence
    if recommender.search_space(history.matrix):
        trials = tune(events, recommender, n_trials=1, k=5, half_life_days=30.0).trials
        assert ("half_life_days" in trials) == recommender.weighs_evidence


@pytest.mark.parametrize("weights", [EVENT_WEIGHTS, EVENT_WEIGHTS | {"view": 0.0}])
def test_what_is_judged_by_follows_from_the_log_and_the_given_weights(weights):
    log = mixed()
    holdouts = by_time(read_events(log), Evidence(weights, 3.0), [], k=5, n=3, seed=0)
    assert [pairs_of(one) for one in holdouts] == brute_force(log, weights, 3)


def test_nothing_after_the_cut_is_learned():
    """With other items after it, a candidate is fitted alike; ages count from before it."""
    log = mixed().sort_values("timestamp", ignore_index=True)
    is_late = np.arange(len(log)) >= len(log) * 9 // 10
    other = log.copy()
    other.loc[is_late, "item_id"] = (other["item_id"] + 50) % (N_KINDS * PER_KIND)
    other.loc[is_late, "timestamp"] += pd.to_timedelta(20, unit="D")
    evidence = Evidence(EVENT_WEIGHTS | {"view": 0.1}, 7.0)
    one, two = (by_time(read_events(some), GIVEN, [], k=5, n=1, seed=0)[0] for some in (log, other))
    fits = [Candidate(EASE(), None, evidence).fit(holdout.past) for holdout in (one, two)]
    assert pairs_of(one) != pairs_of(two)
    past = read_events(log[~is_late])
    by_hand = build_interactions(
        past, event_weights=evidence.event_weights, half_life_days=7.0,
        reference_time=log["timestamp"][~is_late].max(),
    )  # fmt: skip
    for fitted in fits:
        assert fitted.items_ == by_hand.items
        assert (fitted.interactions_.matrix != by_hand.matrix).nnz == 0


def test_who_has_too_few_items_left_is_not_judged(caplog):
    """User 0 has seen all but four of the items before the cut."""
    log = mixed()
    seen = log_of(0, np.arange(N_KINDS * PER_KIND - 4), "view", np.full(N_KINDS * PER_KIND - 4, 1))
    late = log_of([0], [N_KINDS * PER_KIND - 1], "purchase", [N_DAYS])
    with caplog.at_level("INFO", "prodgen_rec"):
        (one,) = by_time(read_events(pd.concat([log, seen, late])), GIVEN, [], k=5, n=1, seed=0)
    assert 0 not in one.users
    assert "1 have fewer than k = 5 items left" in caplog.text


def test_a_short_log_has_fewer_hold_outs(caplog):
    """Three days can be cut twice."""
    days = mixed().assign(timestamp=lambda log: log["timestamp"].dt.floor("34D"))
    with caplog.at_level("INFO", "prodgen_rec"):
        assert len(by_time(read_events(days), GIVEN, [], k=5, n=5, seed=0)) == 2
    assert "2 of 5 hold-outs by time: the split by cutoff 0.1 leaves 0 events" in caplog.text


# Interruptions -------------------------------------------------------------------------


class Interrupted(Small):
    """A fit that is stopped at a certain trial, once."""

    stop_at = 0

    def fit(self, interactions, features=None):
        Interrupted.stop_at -= 1
        if Interrupted.stop_at == 0:
            raise KeyboardInterrupt
        return super().fit(interactions, features)


def test_a_search_that_was_stopped_goes_on_to_the_same_result(tmp_path):
    """Also where the log comes in another order then."""
    log, file, start = mixed(), tmp_path / "trials.log", Interrupted(factors=16, iterations=2)
    unbroken = tune(log, start, n_trials=6, k=5)
    Interrupted.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        tune(log, start, n_trials=6, k=5, file=file)
    shuffled = log.sample(frac=1.0, random_state=0)
    resumed = tune(shuffled, start, n_trials=6, k=5, file=file)
    pd.testing.assert_frame_equal(resumed.trials, unbroken.trials)
    assert file.read_text().count('"op_code":4,') == 7  # six trials and the one that was stopped


@pytest.mark.parametrize(
    ("changed", "settings"),
    [
        (lambda log: log.assign(timestamp=log["timestamp"].where(log.index != 5, START)), {}),
        (lambda log: log.assign(event=log["event"].where(log.index != 5, "click")), {}),
        (lambda log: log.assign(quantity=np.where(log.index == 5, 2.0, 1.0)), {}),
        (lambda log: log, {"event_weights": EVENT_WEIGHTS | {"view": 2.0}}),
        (lambda log: log, {"n_holdouts": 1}),
    ],
)
def test_another_log_in_the_same_file_is_another_search(tmp_path, changed, settings):
    log, file = mixed(), tmp_path / "trials.log"
    tune(log, EASE(), n_trials=2, k=5, file=file)
    assert len(tune(log, EASE(), n_trials=2, k=5, file=file).trials) == 2
    before = file.read_text().count('"op_code":4,')
    tune(changed(log), EASE(), n_trials=1, k=5, file=file, **settings)
    assert file.read_text().count('"op_code":4,') == before + 1


# What it refuses -----------------------------------------------------------------------


def newcomers(log: pd.DataFrame) -> pd.DataFrame:
    """Everybody comes once."""
    return log.assign(user_id=np.arange(len(log)))


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (
            lambda log: tune(build_interactions(read_events(log)), EASE(), half_life_days=3.0),
            ConfigError,
            "make interactions of events, and interactions were given; pass the events",
        ),
        (
            lambda log: tune(log.assign(timestamp=START), EASE()),
            InputError,
            "all 3,000 events are of one moment: nothing can be held out by time; pass build_i",
        ),
        (
            lambda log: tune(newcomers(log), EASE()),
            InputError,
            "none of the 2[0-9]* users with new items after the cut is among the 2[0-9]* before it",
        ),
        (
            lambda log: tune(log, EASE(), k=N_KINDS * PER_KIND),
            InputError,
            "k = 96: no user has so many of the 96 items left to recommend, the most is 9.;",
        ),
        (lambda log: tune(log, EASE(), half_life_days=-1.0), ConfigError, "half_life_days is -1"),
        (lambda log: tune(log, EASE(), event_weights={}), ConfigError, "event_weights is empty"),
    ],
)
def test_what_cannot_be_held_out_is_refused(call, error, complaint):
    with pytest.raises(error, match=complaint):
        call(mixed())
