"""Pictures that start from photos of items, on a shop whose truth is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import InputError

USERS = [f"user-{number:05d}" for number in range(0, 200, 4)]


@pytest.fixture(scope="module")
def imagined(fitted):
    """Pictures by likeness, made once."""
    return cache(lambda likeness: fitted.imagine(USERS, 4, guidance=1.0, likeness=likeness))


@pytest.fixture(scope="module")
def types(small_shop) -> pd.Series:
    return pd.read_csv(small_shop.items).set_index("item_id")["type"]


def agreement(made, small_shop, types) -> float:
    """Share of pictures whose nearest item is of one of the user's planted types."""
    truth = pd.read_csv(small_shop.truth)
    planted = truth[truth["attribute"] == "type"].groupby("user_id")["value"].agg(set)
    table = made.table
    pairs = zip(table["user_id"], types[table["item_id"]], strict=True)
    return float(np.mean([shown in planted[user] for user, shown in pairs]))


def test_the_more_likeness_the_nearer_to_a_photo(imagined):
    nearness = [imagined(likeness).table["similarity"].mean() for likeness in (0.0, 0.4, 0.8)]
    assert nearness[0] < nearness[1] < nearness[2]


def test_pictures_from_exemplars_are_of_the_planted_types_more_often(imagined, small_shop, types):
    alone, near = (agreement(imagined(likeness), small_shop, types) for likeness in (0.0, 0.5))
    assert near > 0.75
    assert near > alone + 0.1


def test_at_full_likeness_all_would_be_copies_and_none_is_shown(imagined, fitted):
    made = imagined(1.0)
    assert made.n_rejected >= len(made.table)
    assert (made.table["similarity"] <= fitted._fitted().items.copy_similarity).all()


def test_exemplars_of_a_user_depend_on_nobody_else(imagined, fitted):
    some = fitted.imagine([USERS[7], USERS[2]], 4, guidance=1.0, likeness=0.4)
    for user in (USERS[7], USERS[2]):
        assert np.array_equal(some.of(user), imagined(0.4).of(user))


def test_exemplars_have_what_is_asked_for(fitted, types):
    made = fitted.imagine(USERS, 2, guidance=1.0, likeness=0.8, conditions={"type": "sneaker"})
    assert (types[made.table["item_id"]] == "sneaker").mean() > 0.9
    exemplars = fitted._fitted().exemplars(fitted.image_model_.vocabulary_.asked({"type": "hat"}))
    assert set(types[exemplars.items.ids]) == {"hat"}


def test_a_user_without_a_preference_gets_popular_exemplars(fitted, small_shop):
    nobody = [f"new-{number}" for number in range(400)]
    learned = fitted._fitted()
    vectors = np.zeros((400, learned.recommender.item_vectors_.shape[1]), np.float32)
    exemplars = learned.exemplars(fitted.image_model_.vocabulary_.asked({}))
    nothing = csr_array((400, len(exemplars.items)))
    drawn = exemplars.draw(nobody, vectors, nothing, 1, seed=0, guidance=1.0)[:, 0]
    counts = exemplars.weights
    expected = (counts**2).sum() / counts.sum()  # size-biased mean of the counts
    assert counts[drawn].mean() == pytest.approx(expected, rel=0.1)
    made = fitted.imagine(nobody[:3], 2, events=empty(small_shop), cold="popular", likeness=0.4)
    assert len(made.table) == 6


def empty(small_shop) -> pd.DataFrame:
    return pd.read_csv(small_shop.events, nrows=1)


@pytest.mark.parametrize("likeness", [-0.1, 1.01, float("nan")])
def test_a_likeness_out_of_range_is_refused(fitted, likeness):
    with pytest.raises(InputError, match="likeness"):
        fitted.imagine(USERS[:2], 1, likeness=likeness)


def test_latents_of_a_model_with_full_likeness_are_the_exemplars(fitted):
    model, latents = fitted.image_model_, fitted._fitted().item_latents[:5]
    vectors = fitted.recommender_.user_vectors_[:5]
    noise = np.random.default_rng(0).standard_normal(latents.shape).astype(np.float32)
    same = model.sample_latents(vectors, noise, exemplars=latents, likeness=1.0)
    np.testing.assert_allclose(same, latents, atol=1e-4)
    alone = model.sample_latents(vectors, noise, guidance=2)
    none = model.sample_latents(vectors, noise, exemplars=latents, likeness=0.0, guidance=2)
    assert np.array_equal(alone, none)


def test_exemplars_that_do_not_fit_are_refused(fitted):
    model, latents = fitted.image_model_, fitted._fitted().item_latents[:5]
    vectors = fitted.recommender_.user_vectors_[:5]
    noise = np.zeros_like(latents)
    with pytest.raises(InputError, match="4 exemplars came with noise for 5 pictures"):
        model.sample_latents(vectors, noise, exemplars=latents[:4], likeness=0.5)
    broken = latents.copy()
    broken[3, 0] = np.nan
    with pytest.raises(InputError, match=r"exemplars.*3"):
        model.sample_latents(vectors, noise, exemplars=broken, likeness=0.5)
