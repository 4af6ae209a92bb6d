"""The nearest photo of a picture, exactly, though most photos are not compared in full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.imagery import nearest
from prodgen_rec.imagery.nearest import ItemLatents


def items_of(latents):
    return ItemLatents(IdMap(as_id_array(np.arange(len(latents)))), latents)


def by_brute_force(items, latents):
    """Index and cosine of the nearest, equals to the first, by float64 products of all pairs."""
    cosines = np.vecdot(
        items._directions_of(latents)[:, None].astype(np.float64),
        items._directions.astype(np.float64),
    )
    index = cosines.argmax(axis=1)
    return index, cosines[np.arange(len(latents)), index].astype(np.float32)


def check(items, latents):
    index, similarity = items.nearest(latents)
    expected, cosine = by_brute_force(items, latents)
    assert index.tolist() == expected.tolist()
    assert similarity.tolist() == np.clip(cosine, -1, 1).tolist()


@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 80),
    size=st.sampled_from([1, 2, 7, 95, 97, 160]),
    decay=st.floats(0.0, 0.2),
)
def test_no_photo_is_nearer_than_the_one_found(seed, n_items, size, decay):
    rng = np.random.default_rng(seed)
    scales = np.exp(-decay * np.arange(size))
    latents, asked = (
        (rng.standard_normal((n, size)) * scales).astype(np.float32) for n in (n_items, 30)
    )
    twice = np.concatenate([latents, latents[::2]])  # equals go to the first
    asked[:5] = twice[rng.integers(0, len(twice), 5)]
    check(items_of(twice), asked)


def test_what_the_axes_do_not_see_is_compared_in_full(monkeypatch):
    monkeypatch.setattr(nearest, "_N_AXES", 2)
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((3000, 40)).astype(np.float32)
    check(items_of(latents), rng.standard_normal((600, 40)).astype(np.float32))


def test_a_latent_at_the_centre_is_like_the_first_item():
    latents = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    items = items_of(latents)
    index, similarity = items.nearest(items.centre[None])
    assert (index.tolist(), similarity.tolist()) == ([0], [0.0])


def test_equal_photos_of_a_whole_shop_are_told_apart_by_their_order():
    latents = np.tile(np.float32([3, 4, 0]), (70_000, 1))
    latents[-1] = [3, 4, 5]
    index, _ = items_of(latents).nearest(latents[[0, 1, -1]])
    assert index.tolist() == [0, 0, 69_999]


def test_nobody_asked():
    index, similarity = items_of(np.eye(4, dtype=np.float32)).nearest(np.empty((0, 4), np.float32))
    assert index.shape == similarity.shape == (0,)


@pytest.mark.parametrize("size", [512, 4096])
def test_rounding_stays_below_the_slack(size):
    """Of bounds computed in float32, for cosines of nearly parallel vectors, the worst of all."""
    rng = np.random.default_rng(2)
    photo = rng.standard_normal(size)
    latents = np.float32(photo + 1e-3 * rng.standard_normal((200, size)))
    found = nearest._Directions(np.float32(latents / np.linalg.norm(latents, axis=1)[:, None]))
    bound = found._code(found._directions) @ found._coded
    exact = found._directions.astype(np.float64) @ found._directions.astype(np.float64).T
    assert (exact - bound).max() < found._slack / 2
