"""MLlib minimizes what ALS does, once its parameters are translated."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tastes import interactions, objective

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.preferences import ALS

if shutil.which("java") is None:
    pytest.skip("Spark needs Java, and there is none in PATH", allow_module_level=True)
pytest.importorskip("pyspark", reason="pip install 'prodgen-rec[spark]'")

from prodgen_rec.preferences.mllib import Side, fit_mllib, fitted_by_mllib, scale_of

SETTINGS = ALS(6, regularization=3.0, alpha=2.0, iterations=12, frequency_scaling=1.0)


def powers_of_two():
    """Six tastes; half of the users have 4 pairs, half of them 8; each item has 16."""
    dense = np.zeros((128, 48))
    rng = np.random.default_rng(0)
    left = np.full(48, 16)
    for user in rng.permutation(128):
        n = 8 if user < 64 else 4
        liked = (np.arange(48) % 6 == user % 6) * 1e-3
        taken = np.argsort(-(left + liked + 1e-4 * rng.random(48)))[:n]
        dense[user, taken] = rng.choice([1.0, 2.0, 5.0], n)
        left[taken] -= 1
    assert (left == 0).all()
    return dense


def frame(spark, dense):
    users, items = np.nonzero(dense)
    return spark.createDataFrame(
        pd.DataFrame({"user_id": users, "item_id": items, "evidence": dense[users, items]})
    )


@pytest.fixture(scope="module")
def dense():
    return powers_of_two()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return str(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def by_mllib(spark, dense, checkpoints):
    return fit_mllib(frame(spark, dense), SETTINGS, interactions(dense), checkpoints)


def test_the_loss_is_that_of_our_own_fit(dense, by_mllib):
    ours = replace(SETTINGS, iterations=40).fit(interactions(dense))
    losses = [
        objective(dense, one.user_vectors_, one.item_vectors_, 3.0, 2.0, 1.0)
        for one in (ours, by_mllib)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.005)
    for other in ({"regularization": 6.0}, {"alpha": 4.0}, {"scaling": 0.0}):
        given = {"regularization": 3.0, "alpha": 2.0, "scaling": 1.0} | other
        worse = objective(dense, by_mllib.user_vectors_, by_mllib.item_vectors_, **given)
        assert abs(worse / losses[0] - 1) > 0.01  # another objective would be told apart


def test_users_of_mllib_are_our_exact_solve(spark, dense, by_mllib):
    """The last step of MLlib solves users; ours solves them against the same items."""
    n_users, n_items = (np.count_nonzero(dense, axis=axis).mean() for axis in (1, 0))
    sides = Side(n_users, n_users), Side(n_items, n_items)
    users, items = np.nonzero(dense)
    pairs = pd.DataFrame({"user": users, "item": items, "evidence": dense[users, items]})
    short = replace(SETTINGS, iterations=2)
    model = fitted_by_mllib(spark.createDataFrame(pairs), short, 2.0, sides)
    found = {row["id"]: row["features"] for row in model.userFactors.collect()}
    theirs = scale_of(sides) * np.array([found[user] for user in range(len(dense))])
    of_items = {row["id"]: row["features"] for row in model.itemFactors.collect()}
    vectors = np.array([of_items[i] for i in range(dense.shape[1])], np.float32)
    same = ALS(6, 3.0, 2.0, frequency_scaling=1.0).with_items(
        interactions(dense), vectors / np.float32(scale_of(sides)), 2.0, by_mllib.typical_pairs_
    )
    assert by_mllib.typical_pairs_.tolist() == [n_users, n_items]
    assert np.allclose(same.user_vectors_, theirs, atol=1e-4)
    assert np.abs(theirs).max() > 0.3


def test_the_lists_agree(dense, by_mllib):
    users = list(range(len(dense)))
    lists = [
        one.recommend(users, n=5).groupby("user_id")["item_id"].agg(set)
        for one in (SETTINGS.fit(interactions(dense)), by_mllib)
    ]
    shared = np.mean([len(a & b) / 5 for a, b in zip(*lists, strict=True)])
    assert shared > 0.9


def test_folding_in_agrees_with_the_fit(dense, by_mllib):
    assert np.array_equal(by_mllib.fold_in(interactions(dense)), by_mllib.user_vectors_)


def test_rows_of_a_pair_add_up_and_text_ids_stay(spark, dense, by_mllib, checkpoints):
    one = frame(spark, dense / 2)
    twice = one.union(one).selectExpr(
        "concat('u', user_id) user_id", "concat('i', item_id) item_id", "evidence"
    )
    kept = interactions(dense[:4])
    found = fit_mllib(twice, replace(SETTINGS, iterations=1), kept, checkpoints)
    assert found.typical_pairs_.tolist() == by_mllib.typical_pairs_.tolist()
    assert sorted(found.items_.ids.tolist()) == sorted(f"i{i}" for i in range(48))


def test_what_mllib_cannot_do_is_refused(spark, dense, checkpoints):
    pairs = frame(spark, dense)
    with pytest.raises(ConfigError, match="frequency_scaling=1"):
        fit_mllib(pairs, ALS(6, alpha=1.0), interactions(dense), checkpoints)
    with pytest.raises(ConfigError, match="a number for alpha"):
        fit_mllib(pairs, ALS(6, frequency_scaling=1.0), interactions(dense), checkpoints)
    with pytest.raises(InputError, match="no pair has evidence"):
        fit_mllib(pairs.where("evidence < 0"), SETTINGS, interactions(dense), checkpoints)
