"""The search for hyper-parameters: what it finds, and that it goes on where it was stopped."""

import logging
import signal
import subprocess
import sys

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation import evaluate_ranking
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, EASE, ItemFeatures, ItemKNN, Popularity
from prodgen_rec.tuning import tune
from prodgen_rec.tuning.holdouts import held_out, numbers_held_out

N_USERS, N_ITEMS = 150, 60


@pytest.fixture(scope="module")
def world():
    """Users take items of one of ten kinds, and now and then another; item i is of kind i // 6."""
    rng = np.random.default_rng(0)
    own = np.arange(N_USERS)[:, None] % 10 == np.arange(N_ITEMS) // 6
    taken = rng.random(own.shape) < np.where(own, 0.5, 0.03)
    taken[:, 0] |= ~taken.any(axis=1)
    matrix = csr_array(taken.astype(np.float32))
    return Interactions(IdMap.of(range(N_USERS)), IdMap.of(range(N_ITEMS)), matrix)


def quick(**settings):
    return ALS(iterations=3, **settings)


def test_the_best_trial_is_what_is_returned(world):
    tuned = tune(world, quick(), n_trials=8, k=5)
    best = tuned.trials.loc[tuned.trials["value"].idxmax()]
    assert len(tuned.trials) == 8
    assert tuned.value == best["value"] > tuned.trials["value"].min()
    assert tuned.recommender.factors == best["factors"]
    assert tuned.recommender.alpha == best["alpha"]
    assert tuned.recommender.iterations == 3  # not searched for
    fitted = tuned.fit(world)
    assert fitted.interactions_.n_pairs == world.n_pairs


def test_the_first_trial_is_of_the_settings_that_are_given(world):
    given = quick(factors=33, regularization=7.5, alpha=0.25)
    trials = tune(world, given, n_trials=1, k=5).trials
    assert trials.loc[0, ["factors", "regularization", "alpha"]].tolist() == [33, 7.5, 0.25]
    outside = tune(world, quick(factors=2), n_trials=1, k=5).trials
    assert outside["factors"][0] >= 16


def test_who_is_far_behind_on_the_first_hold_out_is_given_up(world):
    """A fourth goes on; what is given up has no value, and is not what is found."""
    tuned = tune(world, quick(), n_trials=30, patience=30, k=5)
    values = tuned.trials["value"]
    assert values[:5].notna().all()  # with these the others are compared
    assert 3 <= values[5:].notna().sum() <= 18
    assert tuned.value == values.max()
    kept = tune(world, quick(), n_trials=5, k=5).trials
    pd.testing.assert_frame_equal(kept, tuned.trials[:5])


def test_trials_follow_from_the_seed(world):
    first, again = (tune(world, quick(), n_trials=4, k=5, seed=3).trials for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(tune(world, quick(), n_trials=4, k=5, seed=4).trials)


def test_the_value_of_a_trial_is_its_mean_over_the_hold_outs(world):
    one, again, three = (tune(world, EASE(), n_trials=1, k=5, n_holdouts=n) for n in (1, 1, 3))
    assert one.value == again.value != three.value
    assert one.trials["regularization"].equals(three.trials["regularization"])
    fitted = EASE(float(one.trials["regularization"].iloc[0]))
    values = [tuning_value(world, fitted, seed) for seed in (0, 1_000_003, 2_000_006)]
    assert one.value == pytest.approx(values[0])
    assert three.value == pytest.approx(np.mean(values))


def tuning_value(world, recommender, seed):
    n_out = numbers_held_out(world, world.n_items, 5)
    training, pairs = held_out(world, n_out, seed)
    lists = recommender.fit(training).recommend(pairs["user_id"].unique(), 5)
    return evaluate_ranking(lists, pairs, k=5, n_boot=1).intervals["ndcg@5"].value


class Interrupted(ALS):
    """A fit that is stopped at a certain trial, once."""

    stop_at = 3

    def fit(self, interactions, features=None):
        Interrupted.stop_at -= 1
        if Interrupted.stop_at == 0:
            raise KeyboardInterrupt
        return super().fit(interactions, features)


def test_a_search_that_was_stopped_goes_on_to_the_same_result(world, tmp_path):
    Interrupted.stop_at = 100
    unbroken = tune(world, Interrupted(iterations=3), n_trials=6, k=5)
    Interrupted.stop_at = 4
    file = tmp_path / "trials.log"
    with pytest.raises(KeyboardInterrupt):
        tune(world, Interrupted(iterations=3), n_trials=6, k=5, file=file)
    resumed = tune(world, Interrupted(iterations=3), n_trials=6, k=5, file=file)
    pd.testing.assert_frame_equal(resumed.trials, unbroken.trials)


_KILLED = """
import os, signal, sys
from prodgen_rec import ALS, Recommender, tune

class Killed(ALS):
    n_fits = 0

    def _learn(self, evidence, features):
        super()._learn(evidence, features)
        Killed.n_fits += 1
        if Killed.n_fits == 4:
            os.kill(os.getpid(), signal.SIGKILL)

Killed.__name__ = "ALS"
world = Recommender.load(sys.argv[1]).interactions_
tune(world, Killed(iterations=3), n_trials=6, k=5, n_holdouts=1, file=sys.argv[2])
"""


def test_a_search_that_was_killed_goes_on_to_the_same_result(world, tmp_path):
    """A real process, by a real SIGKILL, in the middle of its fourth trial."""
    model, file = tmp_path / "model", tmp_path / "trials.log"
    Popularity().fit(world).save(model)
    words = [sys.executable, "-c", _KILLED, model, file]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    settings = {"n_trials": 6, "k": 5, "n_holdouts": 1}
    resumed = tune(world, quick(), file=file, **settings)
    assert file.read_text().count('"op_code":4,') == 7  # six trials and the one that was killed
    pd.testing.assert_frame_equal(resumed.trials, tune(world, quick(), **settings).trials)


_KILLED_WRITING = """
import os, signal, sys
from prodgen_rec import EASE, Recommender, tune

os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
tune(Recommender.load(sys.argv[1]).interactions_, EASE(), n_trials=1, k=5, file="some/trials.log")
"""


def test_the_lock_of_a_search_that_was_killed_can_be_told_to_be_old(world, tmp_path):
    """Optuna waits half a minute for it, but for ever if it is a link that leads nowhere."""
    Popularity().fit(world).save(tmp_path / "model")
    (tmp_path / "some").mkdir()
    words = [sys.executable, "-c", _KILLED_WRITING, "model"]
    assert subprocess.run(words, check=False, cwd=tmp_path).returncode == -signal.SIGKILL
    lock = tmp_path / "some" / "trials.log.lock"
    assert lock.is_symlink()
    assert lock.exists()


def test_other_data_in_the_same_file_are_another_search(world, tmp_path):
    file = tmp_path / "trials.log"
    tune(world, EASE(), n_trials=2, k=5, file=file)
    fewer = world.where(np.arange(world.n_pairs) % 7 > 0)
    assert len(tune(fewer, EASE(), n_trials=3, k=5, file=file).trials) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"notes of mine",
        b"notes of mine\n",
        b"notes\nof mine\n",
        b"\n",
        b'{"op_code": 0}',
        b"[1]\n[2]\n",
        b"\xff\xfe\n",
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(world, tmp_path, content):
    file = tmp_path / "trials.log"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"trials.log cannot be read as the trials of a search"):
        tune(world, EASE(), n_trials=1, k=5, file=file)
    assert file.read_bytes() == content


@pytest.mark.parametrize("verbosity", [logging.INFO, logging.ERROR])
def test_what_optuna_logs_is_left_as_it_was(world, caplog, verbosity):
    """The search says nothing through it, and others hear it as before."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(verbosity)
    logging.getLogger("optuna").addHandler(caplog.handler)
    try:
        tune(world, EASE(), n_trials=2, k=5)
        assert caplog.records == []
        assert optuna.logging.get_verbosity() == verbosity
        optuna.create_study()
        assert len(caplog.records) == (verbosity == logging.INFO)
    finally:
        logging.getLogger("optuna").removeHandler(caplog.handler)
        optuna.logging.set_verbosity(before)


def test_it_ends_when_nothing_gets_better(world):
    tuned = tune(world, ItemKNN(), n_trials=60, patience=4, k=5)
    values = tuned.trials["value"].to_numpy()
    assert len(values) < 60
    assert np.nanargmax(values) == len(values) - 5


def test_it_ends_when_the_time_is_over(world):
    assert len(tune(world, EASE(), minutes=1e-9, k=5).trials) == 1


def test_features_that_help_get_their_weight(world):
    """The kinds are what users go by; chance is not."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"kind": np.arange(N_ITEMS) // 6, "chance": rng.integers(0, 10, N_ITEMS)},
    )
    features = {name: ItemFeatures.of_columns(world.items, table, {name: 1.0}) for name in table}
    sparse = world.where(rng.random(world.n_pairs) < 0.5)
    tuned = tune(sparse, EASE(), features=features, n_trials=25, k=5)
    without = tune(sparse, EASE(), n_trials=25, k=5)
    best = tuned.trials.loc[tuned.trials["value"].idxmax()]
    assert best["weight of kind"] > best["weight of chance"]
    assert tuned.value > without.value + 0.02
    assert tuned.features.matrix.shape == (20, N_ITEMS)
    assert tuned.weights == {name: best[f"weight of {name}"] for name in features}
    both = features["kind"].times(tuned.weights["kind"])
    both = both.and_also(features["chance"].times(tuned.weights["chance"]))
    assert (tuned.features.matrix != both.matrix).nnz == 0


def test_nothing_that_is_held_out_is_learned(world):
    """One user's items say nothing of the other's: no setting can do better than chance."""
    rng = np.random.default_rng(5)
    noise = csr_array((rng.random((400, 50)) < 0.2).astype(np.float32))
    chance = Interactions(IdMap.of(range(400)), IdMap.of(range(50)), noise)
    assert tune(chance, EASE(), n_trials=6, k=5).value < 0.15


def test_who_has_too_few_items_left_is_not_judged(world, caplog):
    """One user took all but four items, and another nearly so; k = 5 is for the others."""
    matrix = world.matrix.toarray()
    matrix[3, :56] = matrix[4, :59] = 1.0
    more = Interactions(world.users, world.items, csr_array(matrix))
    n_out = numbers_held_out(more, more.n_items, 11)
    assert n_out[3] == 0 < 4 + 6 < 11  # six more items held out would not do either
    assert n_out[4] == 0
    others = np.delete(np.arange(N_USERS), [3, 4])
    before = numbers_held_out(world, world.n_items, 11)
    assert (n_out[others] == before[others]).all()
    assert before[others].any()
    training, _ = held_out(more, n_out, 0)
    assert training.matrix.toarray()[3].sum() == 56  # what is not judged is learned from
    with caplog.at_level("INFO", "prodgen_rec"):
        assert tune(more, EASE(), n_trials=1, k=11).value > 0.2
    assert "of 147 users with something to hold out, 2 have fewer than k = 11 items" in caplog.text


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (lambda w: tune(w, Popularity()), ConfigError, "a Popularity has nothing to tune"),
        (lambda w: tune(w, EASE(), n_trials=0), ConfigError, "n_trials = 0: expected a whole"),
        (lambda w: tune(w, EASE(), n_trials=2.5), ConfigError, "n_trials = 2.5: expected a whole"),
        (lambda w: tune(w, EASE(), patience=1.5), ConfigError, "patience = 1.5: expected a whole"),
        (lambda w: tune(w, EASE(), k=2.0), ConfigError, "k = 2.0: expected a whole number"),
        (lambda w: tune(w, EASE(), seed=-1), ConfigError, "seed = -1: expected a whole number"),
        (lambda w: tune(w, EASE(), minutes=np.nan), ConfigError, "minutes = nan: expected a num"),
        (lambda w: tune(w, EASE(), minutes=-1), ConfigError, "minutes = -1: expected a number"),
        (lambda w: tune(w, EASE(), minutes="9"), ConfigError, "minutes = '9': expected a number"),
        (lambda w: tune(w, EASE), InputError, r"got the class EASE; pass EASE\(\)"),
        (lambda w: tune(w, "EASE"), InputError, r"expected a recommender, got str; pass one such"),
        (lambda w: tune(w.matrix, EASE()), InputError, "events cannot be read from a csr_array"),
        (
            lambda w: tune(w, EASE(), features=ItemFeatures.none(w.items)),
            InputError,
            "expected a mapping of names to ItemFeatures, got ItemFeatures; pass {'a name'",
        ),
        (
            lambda w: tune(w, EASE(), features={"kind": w.matrix}),
            InputError,
            "expected ItemFeatures for 'kind', got csr_array",
        ),
        (
            lambda w: tune(w, EASE(), k=60),
            InputError,
            "k = 60: no user has so many of the 60 items left to recommend, the most is 5.; pass a",
        ),
        (
            lambda w: tune(w.for_items(IdMap.of([0])), EASE()),
            InputError,
            "no user has two items",
        ),
        (
            lambda w: tune(Interactions(w.users, w.items, -w.matrix), quick()),
            InputError,
            "no user has two items with positive evidence",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(world, call, error, complaint):
    with pytest.raises(error, match=complaint):
        call(world)
