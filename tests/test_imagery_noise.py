from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prodgen_rec.errors import InputError
from prodgen_rec.hashing import user_seed
from prodgen_rec.imagery.noise import user_noise


def test_is_the_philox_stream_keyed_by_the_seed_of_the_user() -> None:
    noise = user_noise(5, ["a", "b"], 3, 7)
    for row, user in zip(noise, "ab", strict=True):
        alone = np.random.Generator(np.random.Philox(key=user_seed(5, user)))
        assert np.array_equal(row, alone.standard_normal((3, 7), np.float32))


def test_is_standard_normal() -> None:
    noise = user_noise(0, range(2000), 2, 64).ravel()
    assert noise.dtype == np.float32
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)


def test_users_pictures_and_seeds_are_independent() -> None:
    n = 4096
    noise = np.concatenate([user_noise(seed, [1, 2, -1, 10], 2, n) for seed in (0, 1, 2)])
    correlations = np.corrcoef(noise.reshape(-1, n))
    off_diagonal = correlations[np.triu_indices(len(correlations), 1)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(n)
    # 276 correlations of variance 1 / n: their spread is that of independent numbers.
    assert np.sqrt(n) * off_diagonal.std() == pytest.approx(1, abs=0.2)


@settings(max_examples=30, deadline=None)
@given(
    users=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True),
    n=st.integers(0, 4),
    more=st.integers(0, 4),
    seed=st.integers(),
    data=st.data(),
)
def test_depends_on_seed_and_user_alone(
    users: list[int], n: int, more: int, seed: int, data: st.DataObject
) -> None:
    noise = user_noise(seed, users, n, 5)
    order = data.draw(st.permutations(range(len(users))))
    shuffled = user_noise(seed, [users[i] for i in order], n + more, 5)
    assert np.array_equal(shuffled[:, :n], noise[order])
    assert np.array_equal(user_noise(seed, [str(user) for user in users], n, 5), noise)


def test_takes_every_form_of_ids() -> None:
    expected = user_noise(3, [17, 4], 2, 3)
    for ids in (np.array([17, 4]), pa.array([17, 4]), pa.array(["17", "4"]), iter([17, 4])):
        assert np.array_equal(user_noise(3, ids, 2, 3), expected)
    assert user_noise(3, [], 2, 3).shape == (0, 2, 3)


def test_refusals() -> None:
    with pytest.raises(InputError, match="user_ids: 1 of 2 ids are null"):
        user_noise(0, ["a", None], 1, 4)
    with pytest.raises(InputError, match="n=-1, latent_size=4"):
        user_noise(0, ["a"], -1, 4)
