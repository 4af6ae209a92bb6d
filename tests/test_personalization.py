"""Match AUC and attribute agreement: planted tastes, closed forms, and chance."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodgen_rec.catalog import Catalog, PhotoReport
from prodgen_rec.datasets import make_shop
from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation.agreement import attribute_agreement, frequent_values
from prodgen_rec.evaluation.bootstrap import paired_difference
from prodgen_rec.evaluation.judged_items import JudgedItems
from prodgen_rec.evaluation.personalization import brackets, match_auc, match_table
from prodgen_rec.ids import IdMap


def pairs(user_ids, item_ids) -> pd.DataFrame:
    return pd.DataFrame({"user_id": user_ids, "item_id": item_ids})


def one_hot(n: int) -> JudgedItems:
    """Items 0 … n-1 that have nothing in common."""
    return JudgedItems(np.arange(n), np.eye(n, dtype=np.float32), "one-hot")


# --- match AUC: planted answers ---------------------------------------------------------------


def test_pictures_of_what_users_take_match_perfectly():
    items = one_hot(10)
    taken = pairs(np.arange(10), np.arange(10))
    figure = match_auc(np.arange(10), items.features, taken, items)
    assert figure.per_user.tolist() == [1.0] * 10
    assert figure.mean.value == 1.0
    assert figure.p_value == 1 / 200
    assert str(figure) == "match AUC 1.0000 [1.0000, 1.0000], p = 0.005, 10 users, one-hot"


def test_the_pictures_of_somebody_else_match_nobody():
    items = one_hot(2)
    figure = match_auc([0, 1], items.features[::-1], pairs([0, 1], [0, 1]), items)
    assert figure.per_user.tolist() == [0.0, 0.0]


def test_a_share_of_users_is_counted_and_ties_are_halves():
    # In standardized features, 0 is as far from 1 as from 2 and 3. Users 1 and 2 took the same.
    items = one_hot(4)
    taken = pairs([0, 1, 2, 3], [0, 1, 1, 2])
    pictures = items.features[[1, 1, 1, 3]]
    figure = match_auc([0, 1, 2, 3], pictures, taken, items)
    # User 0: 1 and 2 are nearer, 3 is tied. Users 1 and 2: each other tied, two farther.
    assert figure.per_user.to_dict() == {0: 0.5 / 3, 1: 2.5 / 3, 2: 2.5 / 3, 3: 0.5}


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_pictures_that_do_not_depend_on_the_user_give_a_half(n_users, seed):
    rng = np.random.default_rng(seed)
    items = JudgedItems(np.arange(9), rng.normal(size=(9, 3)).astype(np.float32), "random")
    taken = pairs(np.repeat(np.arange(n_users), 2), rng.integers(9, size=2 * n_users))
    same = np.tile(rng.normal(size=(1, 3)), (n_users, 1))
    figure = match_auc(np.arange(n_users), same, taken, items, n_permutations=1, n_boot=1)
    assert figure.mean.value == pytest.approx(0.5, abs=1e-12)


@pytest.fixture(scope="module")
def world() -> tuple[JudgedItems, pd.DataFrame, np.ndarray]:
    """900 users with a direction of taste, 400 items, three held out for each user."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(400, 16)).astype(np.float32)
    tastes = rng.normal(size=(900, 16)).astype(np.float32)
    scores = tastes @ features.T + rng.normal(size=(900, 400)) * 3
    top = np.argsort(-scores, axis=1)[:, :3]
    taken = pairs(np.repeat(np.arange(900), 3), top.ravel())
    return JudgedItems(np.arange(400), features, "planted"), taken, tastes


def test_random_pictures_give_a_half_within_the_interval(world):
    items, taken, _ = world
    noise = np.random.default_rng(0).normal(size=(1800, 16))
    figure = match_auc(np.repeat(np.arange(900), 2), noise, taken, items)
    assert figure.mean.low < 0.5 < figure.mean.high
    # Uniform on 0 … 1 for each user, so a standard error of √(1/12 / 900).
    assert figure.mean.high - figure.mean.low == pytest.approx(2 * 1.96 * 0.00962, rel=0.15)
    assert figure.p_value > 0.01


def test_permuted_users_give_a_half_where_the_true_ones_do_not(world):
    items, taken, tastes = world
    figure = match_auc(np.arange(900), tastes, taken, items)
    assert figure.mean.value > 0.85
    assert figure.permuted_mean == pytest.approx(0.5, abs=0.002)
    assert figure.p_value == 1 / 200


def test_more_of_the_taste_in_the_pictures_matches_better(world):
    items, taken, tastes = world
    noise = np.random.default_rng(1).normal(size=tastes.shape)
    weak, strong = (
        match_auc(np.arange(900), share * tastes + noise, taken, items) for share in (0.3, 1.0)
    )
    assert 0.5 < weak.mean.low < weak.mean.value < strong.mean.low
    difference = paired_difference(strong.per_user, weak.per_user)
    assert difference.low > 0


def test_auc_is_that_of_its_definition(world):
    items, taken, tastes = world
    few = np.arange(40)
    figure = match_auc(few, tastes[few], taken, items)
    features = items.features.astype(float)
    scale = np.sqrt(features.var(axis=0) + features.var(axis=0).mean() / 100)

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    items_seen = unit((features - features.mean(axis=0)) / scale)
    seen = unit((tastes[few] - features.mean(axis=0)) / scale)
    profiles = unit(items_seen[taken["item_id"].to_numpy()].reshape(900, 3, 16).mean(axis=1))
    near = seen @ profiles[few].T
    expected = (near < np.diag(near)[:, None]).sum(axis=1) / 39
    np.testing.assert_allclose(figure.per_user, expected, atol=1e-12)


# --- match AUC: what it must not depend on ------------------------------------------------------


def test_the_order_of_rows_and_items_changes_nothing(world):
    items, taken, tastes = world
    user_ids = np.repeat(np.arange(900), 2)
    pictures = np.repeat(tastes, 2, axis=0) + np.random.default_rng(2).normal(size=(1800, 16))
    figure = match_auc(user_ids, pictures, taken, items)
    rng = np.random.default_rng(3)
    rows, places = rng.permutation(1800), rng.permutation(400)
    again = match_auc(
        user_ids[rows],
        pictures[rows],
        pd.concat([taken, taken]).sample(frac=1, random_state=0),
        JudgedItems(items.item_ids[places], items.features[places], items.judge),
    )
    pd.testing.assert_series_equal(figure.per_user, again.per_user, check_exact=True)
    assert (figure.mean, figure.p_value) == (again.mean, again.p_value)


def test_units_and_offsets_of_features_change_nothing(world):
    items, taken, tastes = world
    figure = match_auc(np.arange(900), tastes, taken, items)
    stretched = JudgedItems(items.item_ids, items.features * 8 + 4, "stretched")
    again = match_auc(np.arange(900), tastes * 8 + 4, taken, stretched)
    np.testing.assert_allclose(figure.per_user, again.per_user, atol=2 / 899)


def test_a_feature_that_hardly_any_product_has_does_not_decide(world):
    items, taken, tastes = world
    rare = np.zeros((400, 1), np.float32)
    rare[0] = 0.01
    with_rare = JudgedItems(items.item_ids, np.hstack([items.features, rare]), "rare")
    odd = np.hstack([tastes, np.full((900, 1), 0.5)])
    figure = match_auc(np.arange(900), odd, taken, with_rare)
    assert figure.mean.value > 0.8


def test_ids_may_be_written_as_text(world):
    items, taken, tastes = world
    figure = match_auc(np.arange(900), tastes, taken, items)
    again = match_auc(np.arange(900).astype(str), tastes, taken.astype(str), items)
    assert again.per_user.index.tolist() == sorted(map(str, range(900)))
    assert again.per_user["17"] == figure.per_user[17]


def test_users_without_a_picture_or_a_held_out_photo_are_left_out(world):
    items, taken, tastes = world
    taken = taken[taken["user_id"] != 5]
    taken = pd.concat([taken, pairs([5, 6], [4000, 4001])])  # no such photos
    figure = match_auc(np.arange(900)[:100], tastes[:100], taken, items)
    assert figure.per_user.index.tolist() == [*range(5), *range(6, 100)]


# --- match AUC: bad input -----------------------------------------------------------------------


def test_what_cannot_be_compared_is_refused():
    items, taken = one_hot(3), pairs([0, 1, 2], [0, 1, 2])
    features = items.features
    with pytest.raises(InputError, match="there are 2 user ids for 3 pictures"):
        match_auc([0, 1], features, taken, items)
    with pytest.raises(InputError, match=r"expected \(n, 3\) .* with the same judge, here one-hot"):
        match_auc([0, 1, 2], features[:, :2], taken, items)
    with pytest.raises(InputError, match=r"features of 1 of 3 pictures are NaN .* first in row 0"):
        match_auc([0, 1, 2], np.where(np.eye(3) * [1, 0, 0], np.nan, features), taken, items)
    with pytest.raises(InputError, match=r"1 user\(s\) have both .* of 3 with pictures and 1 in"):
        match_auc([0, 1, 2], features, taken[:1], items)
    with pytest.raises(InputError, match="no column item_id in the table; it has user_id, article"):
        match_auc([0, 1, 2], features, taken.rename(columns={"item_id": "article"}), items)
    with pytest.raises(ConfigError, match="n_permutations is 0; it must be at least 1"):
        match_auc([0, 1, 2], features, taken, items, n_permutations=0)


def test_items_that_say_nothing_are_refused():
    with pytest.raises(InputError, match=r"shape \(3, 3\), expected .* 2 distinct item ids"):
        JudgedItems(np.array([0, 1, 1]), np.eye(3, dtype=np.float32), "judge")
    with pytest.raises(InputError, match="features of 2 of 2 items are NaN"):
        JudgedItems(np.arange(2), np.full((2, 2), np.nan, np.float32), "judge")
    blind = JudgedItems(np.arange(3), np.ones((3, 2), np.float32), "blind")
    with pytest.raises(InputError, match="all 3 items look the same to blind"):
        match_auc([0, 1], blind.features[:2], pairs([0, 1], [0, 1]), blind)


# --- brackets -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures(world):
    """Users recommended what they would like best, after a history of it."""
    items, taken, tastes = world
    liked = np.argsort(-(tastes @ items.features.T), axis=1)
    lists = pairs(np.repeat(np.arange(900), 10), liked[:, :10].ravel())
    lists["rank"] = np.tile(np.arange(1, 11), 900)
    history = pairs(np.repeat(np.arange(900), 30), liked[:, 10:40].ravel())
    return brackets(items, taken, history[history["user_id"] != 3], lists)


def test_brackets_are_in_order_and_about_the_same_users(figures):
    assert list(figures) == [
        "popular",
        "recommended@1",
        "recommended@4",
        "recommended@10",
        "history",
    ]
    means = [figure.mean.value for figure in figures.values()]
    assert means[0] == pytest.approx(0.5, abs=4 * 0.00962)
    assert means[0] < means[1] < means[2] < means[3]
    assert figures["recommended@10"].mean.value > 0.8
    for figure in figures.values():
        assert figure.per_user.index.tolist() == [*range(3), *range(4, 900)]


def test_brackets_of_real_pictures_equal_pictures_of_the_same_items(world, figures):
    items, taken, tastes = world
    best = np.argmax(tastes @ items.features.T, axis=1)
    users = np.delete(np.arange(900), 3)
    figure = match_auc(users, items.features[best[users]], taken, items)
    pd.testing.assert_series_equal(figure.per_user, figures["recommended@1"].per_user)


def test_the_table_names_the_judge_of_every_figure(figures):
    table = match_table(figures)
    assert table.columns.tolist() == [
        "pictures",
        "value",
        "low",
        "high",
        "p_value",
        "n_users",
        "judge",
    ]
    assert table["pictures"].tolist() == list(figures)
    assert (table["judge"] == "planted").all()
    assert (table["n_users"] == 899).all()


def test_brackets_without_a_common_user_are_refused(world):
    items, taken, _ = world
    lists = pairs([1, 2], [0, 1]).assign(rank=1)
    with pytest.raises(InputError, match=r"0 user\(s\) have both pictures and held-out"):
        brackets(items, taken, pairs([3, 4], [0, 1]), lists)
    with pytest.raises(InputError, match="no column rank"):
        brackets(items, taken, taken, taken)


# --- agreement ----------------------------------------------------------------------------------


def wishes(**values: list[str]) -> pd.DataFrame:
    rows = [(user, "color", value) for user, liked in values.items() for value in liked]
    return pd.DataFrame(rows, columns=["user_id", "attribute", "value"])


def test_agreement_in_its_closed_form():
    user_ids = ["a", "a", "a", "b", "b", "c", "x"]
    colors = ["red", "blue", "red", "red", "grey", "blue", "red"]
    wanted = wishes(a=["red"], b=["blue", "grey"], c=["blue", "black"], unseen=["red"])
    table = attribute_agreement(user_ids, pd.DataFrame({"color": colors}), wanted)
    first, all_ = table.to_dict("records")
    assert (first["pictures"], first["n_users"]) == ("first", 3)
    assert first["value"] == pytest.approx(2 / 3)  # a and c
    # First pictures are red, red, blue: a wants 2/3 of them, b and c 1/3 each.
    assert first["chance"] == pytest.approx((2 + 1 + 1) / 9)
    assert all_["value"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # Six pictures of users with wishes: 3 red, 2 blue, 1 grey.
    assert all_["chance"] == pytest.approx((3 + 3 + 2) / 18)
    assert all_["low"] < all_["value"] < all_["high"]


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_the_mean_over_all_ways_to_deal_the_pictures_out(seed):
    rng = np.random.default_rng(seed)
    user_ids = [1, 1, 2, 3]
    shown = rng.choice([*"abc"], 4)
    wanted = pd.DataFrame({"user_id": [1, 2, 3, 3], "value": [*"aab", rng.choice([*"cd"])]})
    wanted["attribute"] = "type"

    def all_pictures(shown: np.ndarray) -> pd.Series:
        table = attribute_agreement(user_ids, pd.DataFrame({"type": shown}), wanted, n_boot=1)
        return table.iloc[1]

    dealt = [all_pictures(shown[list(deal)])["value"] for deal in permutations(range(4))]
    assert all_pictures(shown)["chance"] == pytest.approx(np.mean(dealt), abs=1e-12)


def test_planted_tastes_are_found_in_what_users_take():
    shop = make_shop(n_items=240, n_users=300, photo_size=16, seed=2)
    bought = shop.holdout.merge(shop.items, on="item_id")
    table = attribute_agreement(bought["user_id"], bought[["type", "color"]], shop.truth)
    found = table.set_index(["attribute", "pictures"])
    # Planted: 90 % of looks go to the two types and 72 % to the color, beside chance.
    assert found.loc[("type", "all"), "value"] == pytest.approx(0.9 + 0.1 / 6, abs=0.03)
    assert found.loc[("type", "all"), "chance"] == pytest.approx(1 / 6, abs=0.03)
    assert found.loc[("color", "all"), "value"] == pytest.approx(0.74, abs=0.05)
    assert found.loc[("color", "all"), "chance"] == pytest.approx(1 / 14, abs=0.02)


def test_the_order_of_users_changes_nothing():
    rng = np.random.default_rng(0)
    user_ids = np.repeat(np.arange(50), 3)
    shown = pd.DataFrame({"color": rng.choice(["red", "blue"], 150)})
    wanted = pd.DataFrame({"user_id": np.arange(50), "attribute": "color", "value": "red"})
    again = np.concatenate([np.arange(75, 150), np.arange(75)])
    pd.testing.assert_frame_equal(
        attribute_agreement(user_ids, shown, wanted),
        attribute_agreement(user_ids[again], shown.iloc[again], wanted[::-1]),
        check_exact=True,
    )


def test_agreement_of_what_does_not_fit_is_refused():
    shown, wanted = pd.DataFrame({"color": ["red"]}), wishes(a=["red"])
    with pytest.raises(InputError, match="there are 2 user ids for 1 pictures"):
        attribute_agreement(["a", "b"], shown, wanted)
    with pytest.raises(InputError, match="predicted are type, and wanted color; they have no"):
        attribute_agreement(["a"], shown.rename(columns={"color": "type"}), wanted)
    with pytest.raises(InputError, match="none of the 1 users who want some color have a picture"):
        attribute_agreement(["b"], shown, wanted)
    with pytest.raises(InputError, match="no column value in the table; it has user_id, attribute"):
        attribute_agreement(["a"], shown, wanted.drop(columns="value"))


def test_what_users_took_most_often_is_what_they_want():
    types = ["mug", "hat", "lamp", "mug", None]
    catalog = Catalog(
        items=IdMap.of(np.arange(5)),
        attributes=pd.DataFrame({"type": types}),
        photos=np.zeros((0, 16, 16, 3), np.uint8),
        photo_index=np.full(5, -1),
        report=PhotoReport(5, 0),
    )
    log = pairs([1, 1, 1, 1, 2, 2, 2, 3, 9], [0, 3, 2, 1, 2, 1, 99, 4, 98])
    wanted = frequent_values(log, catalog, ["type"])
    assert wanted.to_numpy().tolist() == [
        [1, "type", "mug"],
        [1, "type", "hat"],  # as often as lamp, and before it
        [2, "type", "hat"],
        [2, "type", "lamp"],
    ]
    assert len(frequent_values(log, catalog, ["type"], n=1)) == 2
    with pytest.raises(InputError, match="no column color in the table; it has type"):
        frequent_values(log, catalog, ["color"])
