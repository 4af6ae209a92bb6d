"""The offline evaluation, against figures that follow by hand or were planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from prodgen_rec import Interactions, Personalizer
from prodgen_rec.errors import InputError
from prodgen_rec.evaluation import evaluate_ranking
from prodgen_rec.evaluation.held_out import drawn_users, new_pairs, pairs_table
from prodgen_rec.evaluation.offline import evaluate_lists, evaluate_pictures


@pytest.fixture(scope="module")
def history(fitted, small_shop) -> Interactions:
    """The log of the fit."""
    return fitted.interactions(small_shop.events)


@pytest.fixture(scope="module")
def holdout(fitted, small_shop) -> Interactions:
    """What its users did next."""
    return fitted.interactions(small_shop.holdout)


@pytest.fixture(scope="module")
def lists(fitted, history, holdout):
    return evaluate_lists(fitted, history, holdout, seed=3)


def log(events: list[tuple[Any, Any, str]]) -> pd.DataFrame:
    table = pd.DataFrame(events, columns=["user_id", "item_id", "event"])
    return table.assign(timestamp=pd.Timestamp("2025-05-05", tz="UTC"))


def shuffled(interactions: Interactions) -> Interactions:
    """The same users in another order."""
    ids = interactions.users.ids
    return interactions.for_users(np.random.default_rng(9).permutation(ids))


# Which pairs count


def test_a_held_out_pair_counts_where_it_is_liked_and_new():
    personalizer = Personalizer()
    before = personalizer.interactions(
        log([("a", "mug", "view"), ("a", "hat", "return"), ("b", "bag", "purchase")])
    )
    after = personalizer.interactions(
        log(
            [
                ("a", "mug", "purchase"),  # seen before
                ("a", "hat", "purchase"),  # seen before, though sent back
                ("a", "bag", "view"),
                ("b", "lamp", "purchase"),  # an item that the history does not know
                ("b", "mug", "return"),  # not liked
                ("c", "mug", "view"),  # a user that the history does not know
            ]
        )
    )
    counted = new_pairs(before, after).to_numpy().tolist()
    assert sorted(counted) == [["a", "bag"], ["b", "lamp"], ["c", "mug"]]
    assert len(pairs_table(after)) == 5


def test_a_holdout_without_anything_new_is_refused(fitted, history):
    text = (
        r"the hold-out has \d+ pairs of positive evidence, and the history holds all of them; pass"
    )
    with pytest.raises(InputError, match=text):
        evaluate_lists(fitted, history, history)


def test_users_are_drawn_independently_of_their_order():
    ids = np.array([f"u{number}" for number in range(100)], dtype=object)
    drawn = drawn_users(ids, 10, seed=4)
    assert len(set(drawn)) == 10
    assert drawn_users(ids[::-1], 10, seed=4).tolist() == drawn.tolist()
    assert set(drawn_users(ids, 10, seed=5)) != set(drawn)
    assert set(drawn_users(ids, 1000, seed=4)) == set(ids)


# Lists


def test_lists_are_judged_as_by_hand(fitted, history, holdout, lists, small_shop):
    weights = fitted.config.event_weights
    after = pd.read_csv(small_shop.holdout)
    after["value"] = after["event"].map(weights) * np.sqrt(after["quantity"])
    liked = after.groupby(["user_id", "item_id"])["value"].sum()
    seen = set(zip(*np.nonzero(history.matrix.toarray()), strict=True))
    users, items = history.users.ids.tolist(), history.items.ids.tolist()
    seen = {(users[row], items[column]) for row, column in seen}
    wanted = pd.DataFrame(
        [pair for pair in liked.index[liked > 0] if pair not in seen],
        columns=["user_id", "item_id"],
    )
    assert set(wanted["user_id"]) <= set(users)  # so nobody is new
    assert lists.n_new_users == 0

    asked = wanted["user_id"].unique().tolist()
    ours = fitted.recommend(asked, 20)
    hits = ours.merge(wanted).groupby("user_id").size().reindex(asked, fill_value=0)
    recall = (hits / wanted.groupby("user_id").size().loc[asked]).mean()
    assert lists.personalized.n_users == len(asked)
    assert lists.personalized.intervals["recall@20"].value == pytest.approx(recall, abs=1e-12)
    assert lists.recommendations.sort_values(["user_id", "rank"])["item_id"].tolist() == (
        ours.sort_values(["user_id", "rank"])["item_id"].tolist()
    )
    report = evaluate_ranking(ours, wanted, k=(10, 20), n_items=len(items), seed=3)
    assert lists.personalized.to_dict() == report.to_dict()


def test_the_taste_beats_popularity_on_the_same_users(lists):
    assert lists.popular.per_user.index.equals(lists.personalized.per_user.index)
    assert lists.popular.coverage[20] < 0.25 < lists.personalized.coverage[20]
    gain = lists.difference["recall@10"]
    means = [one.intervals["recall@10"].value for one in (lists.personalized, lists.popular)]
    assert gain.value == pytest.approx(means[0] - means[1])
    assert gain.value > 0.05


def test_new_users_are_left_out_and_counted(fitted, history, holdout, lists, small_shop):
    newcomers = log([("new 1", "SKU-00001", "view"), ("new 2", "SKU-00002", "cart")])
    after = pd.read_csv(small_shop.holdout, parse_dates=["timestamp"])
    with_newcomers = fitted.interactions(pd.concat([after, newcomers]))
    found = evaluate_lists(fitted, history, with_newcomers, seed=3)
    assert found.n_new_users == 2
    assert found.to_dict() == lists.to_dict() | {"n_new_users": 2}


def test_a_holdout_of_strangers_is_refused(fitted, history):
    strangers = fitted.interactions(log([("x", "SKU-00001", "view"), ("y", "SKU-00002", "view")]))
    text = "none of the 2 users of the hold-out has a usable history; check that user ids are"
    with pytest.raises(InputError, match=text):
        evaluate_lists(fitted, history, strangers)


def test_lists_do_not_depend_on_the_order_of_users(fitted, history, holdout, lists):
    again = evaluate_lists(fitted, shuffled(history), shuffled(holdout), seed=3)
    assert again.to_dict() == lists.to_dict()


# Pictures


class TypeJudge:
    """Sees nothing but the type of the item that a picture is nearest to."""

    name = "the type of the nearest item"

    def __init__(self, personalizer: Personalizer) -> None:
        self._personalizer = personalizer
        types = personalizer.catalog_.attributes["type"]
        self._one_hot = pd.get_dummies(types).to_numpy(np.float32)

    def features(self, photos: np.ndarray) -> np.ndarray:
        learned = self._personalizer._fitted()
        nearest, _ = learned.items.nearest(learned.model.encode(photos))
        return self._one_hot[learned.catalog.items.find(learned.items.items.take(nearest))]


@pytest.fixture(scope="module")
def judge(fitted):
    return TypeJudge(fitted)


@pytest.fixture(scope="module")
def pictures(fitted, history, holdout, lists, judge):
    return evaluate_pictures(fitted, history, holdout, lists.recommendations, judge, seed=3)


def test_pictures_match_their_users(pictures, lists):
    made, table = pictures.made, pictures.to_dict()
    assert table["n_users"] == lists.recommendations["user_id"].nunique()
    assert len(made.images) == 4 * table["n_users"]
    assert table["guidance"] == pictures.guidance == 2.0
    first, *real = table["match_auc"]
    assert first["pictures"] == "imagined, 4 pictures"
    assert first["judge"] == TypeJudge.name
    assert first["low"] > 0.6
    assert [one["pictures"] for one in real] == [
        "popular",
        "recommended@1",
        "recommended@4",
        "recommended@10",
        "history",
    ]
    assert abs(pictures.figures["popular"].mean.value - 0.5) < 0.06


def test_pictures_without_guidance_match_nobody(fitted, history, holdout, lists, judge, pictures):
    found = evaluate_pictures(
        fitted, history, holdout, lists.recommendations, judge, seed=3, guidance=0.0
    )
    assert found.guidance == 0
    (name, *brackets) = found.figures
    assert abs(found.figures[name].mean.value - 0.5) < 0.06
    for bracket in brackets:  # real pictures have no guidance
        assert found.figures[bracket].mean == pictures.figures[bracket].mean


def test_pictures_are_judged_for_some_users_in_any_order(fitted, history, holdout, lists, judge):
    some, other = (
        evaluate_pictures(fitted, before, after, table, judge, n=2, max_users=40, seed=1).to_dict()
        for before, after, table in (
            (history, holdout, lists.recommendations),
            (shuffled(history), shuffled(holdout), lists.recommendations.iloc[::-1]),
        )
    )
    assert some["n_users"] == 40
    assert some == other
