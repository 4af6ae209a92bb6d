"""What every recommender must do, as checks that anyone can run on their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.columns import ITEM_ID, RANK, SCORE, USER_ID
from prodgen_rec.errors import InputError, NotFittedError, UnknownIdError
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import Recommender, VectorRecommender
from prodgen_rec.testing._require import require, require_refusal

Factory = Callable[[], Recommender]

_N_USERS, _N_ITEMS, _N = 30, 24, 5
_VALUE = "value"
_ALIKE = ("\u00e9", "e\u0301", "\u0435\u0301", "\u00e9 ", "\u00e9\u200b")


def check_recommender(factory: Factory, *, personalized: bool = True) -> None:
    """Check a recommender against the contract of `prodgen_rec.preferences.Recommender`.

    Small worlds with known answers are fitted, so factors and iterations should be few
    (8 and 10, say) and regularization weak (0.1).

    Parameters
    ----------
    factory
        Makes a new, unfitted recommender; the same one, seed included, at every call.
    personalized
        False for a recommender that means to give everyone the same list: it is spared the
        one check that tastes are told apart.

    Raises
    ------
    AssertionError
        Says which part of the contract is broken, and how.
    """
    _check_unfitted(factory())
    _check_nothing_to_learn(factory())
    if personalized:
        _check_tells_tastes_apart(factory())
    for ids in (_integers, _texts):
        world = _world(ids)
        model = factory().fit(world)
        _check_fit(model, world)
        _check_lists(model, world)
        _check_ties(model, world)
        _check_users_alone(model, world)
        _check_filters(model, world)
        _check_too_few(model, world)
        _check_fold_in(model, world)
        _check_refusals(model, world)
        _check_files(model, world)
        if personalized:
            _check_explanations(model, world)
        _check_same_again(model, factory().fit(_world(ids, shuffled=True)))
    _check_odd_histories(factory())


# Worlds


def _integers(index: npt.NDArray[np.int64]) -> list[Any]:
    return [int(i) for i in 1000 - 7 * index]


def _texts(index: npt.NDArray[np.int64]) -> list[Any]:
    """Ids in groups of five that look alike: é in one character and in two, Cyrillic, blanks."""
    return [f"0{500 + i // 5}{_ALIKE[i % 5]}" for i in index]


def _world(
    ids: Callable[[npt.NDArray[np.int64]], list[Any]], *, shuffled: bool = False
) -> Interactions:
    """Some pairs of evidence 0.5 to 5, some returned, some of none; item 0 is never touched."""
    rng = np.random.default_rng(17)
    user, item = np.nonzero(rng.random((_N_USERS, _N_ITEMS)) < 0.35)
    user, item = user[item > 0], item[item > 0]
    value = rng.choice(
        [0.5, 1.0, 2.0, 5.0, 0.0, -1.0], len(user), p=[0.2, 0.4, 0.2, 0.1, 0.05, 0.05]
    )
    if shuffled:
        order = rng.permutation(len(user))
        user, item, value = user[order], item[order], value[order]
    return _interactions(ids(user), ids(item), value, catalogue=ids(np.arange(_N_ITEMS)))


def _interactions(
    user_ids: list[Any], item_ids: list[Any], value: npt.NDArray[Any], catalogue: list[Any]
) -> Interactions:
    users, items = IdMap.of(user_ids), IdMap.of(catalogue)
    places = (users.index(user_ids), items.index(item_ids))
    matrix = csr_array((value.astype(np.float32), places), shape=(len(users), len(items)))
    matrix.sort_indices()
    return Interactions(users, items, matrix)


def _part(world: Interactions, rows: npt.NDArray[np.int64]) -> Interactions:
    users = IdMap(world.users.arrow.take(pa.array(rows)))
    return Interactions(users, world.items, world.matrix[rows])


def _pairs(world: Interactions) -> set[tuple[Any, Any]]:
    rows = np.repeat(np.arange(world.n_users), np.diff(world.matrix.indptr))
    return set(zip(world.users.take(rows), world.items.take(world.matrix.indices), strict=True))


def _pairs_of(lists: pd.DataFrame) -> set[tuple[Any, Any]]:
    return set(zip(lists[USER_ID], lists[ITEM_ID], strict=True))


# Checks


def _check_unfitted(model: Recommender) -> None:
    world = _world(_integers)
    calls: list[Callable[[], Any]] = [
        lambda: model.recommend(None, 1),
        lambda: model.recommend(None, 1, history=world),
        lambda: model.items_,
        lambda: model.save("nowhere"),
    ]
    for call in calls:
        require_refusal(NotFittedError, "fit", call)


def _check_nothing_to_learn(model: Recommender) -> None:
    """Whatever was taken came back, or was worth nothing."""
    world = _world(_integers)
    matrix = world.matrix.copy()
    matrix.data = -np.abs(matrix.data)
    returned = Interactions(world.users, world.items, matrix)
    require_refusal(InputError, "positive evidence", lambda: model.fit(returned))


def _check_odd_histories(model: Recommender) -> None:
    """Users of no event, of one, of returns alone and of everything; items of returns alone."""
    dense = _world(_integers).matrix.toarray()
    dense[0] = 0.0
    dense[1] = np.eye(1, _N_ITEMS, 3)
    dense[2] = -np.abs(dense[2])
    dense[3] = 1.0
    dense[:, 5] = -np.abs(dense[:, 5])
    world = Interactions(IdMap.of(range(_N_USERS)), IdMap.of(range(_N_ITEMS)), csr_array(dense))
    model.fit(world)
    _check_fit(model, world)
    others = [user for user in range(_N_USERS) if user != 3]
    for lists in (model.recommend(others, _N), model.recommend(others, _N, history=world)):
        require(len(lists) == _N * len(others), "a user of an odd history gets no list")
        require(bool(np.isfinite(lists[SCORE]).all()), "a score is not finite")
    require_refusal(InputError, "user 3: ", lambda: model.recommend([3], 1))
    require_refusal(InputError, "user 3: ", lambda: model.recommend([3], 1, history=world))


def _check_tells_tastes_apart(model: Recommender) -> None:
    """On a checkerboard of two tastes, the best unseen items are of the user's own taste."""
    size = 60
    own = np.add.outer(np.arange(size), np.arange(size)) % 2 == 0
    user, item = np.nonzero(own & (np.random.default_rng(23).random(own.shape) < 0.7))
    world = _interactions(list(user), list(item), np.ones(len(user)), list(range(size)))
    best = model.fit(world).recommend(None, _N)
    right = own[world.users.index(best[USER_ID]), world.items.index(best[ITEM_ID])].mean()
    require(right > 0.8, f"on a checkerboard {right:.0%} of the lists are to the user's taste")


def _check_fit(model: Recommender, world: Interactions) -> None:
    require(model.users_ == world.users, "users_ are not the users of the fit")
    require(model.items_ == world.items, "items_ are not the items of the fit")
    if isinstance(model, VectorRecommender):
        _check_vectors(model, world)


def _check_vectors(model: VectorRecommender, world: Interactions) -> None:
    for name, vectors, ids in (
        ("user_vectors_", model.user_vectors_, world.users),
        ("item_vectors_", model.item_vectors_, world.items),
    ):
        require(vectors.dtype == np.float32, f"{name} is {vectors.dtype}, not float32")
        require(vectors.ndim == 2, f"{name} has shape {vectors.shape}")
        require(len(vectors) == len(ids), f"{name} has {len(vectors)} rows for {len(ids)} ids")
        require(np.isfinite(vectors).all(), f"{name} is not finite everywhere")


def _all_scores(model: Recommender, world: Interactions) -> npt.NDArray[np.float64]:
    """What lists must be sorted by: float64 (n_users, n_items)."""
    if isinstance(model, VectorRecommender):
        return model.user_vectors_.astype(np.float64) @ model.item_vectors_.astype(np.float64).T
    everything = model.recommend(None, world.n_items, exclude_seen=False)
    scores = np.empty(world.matrix.shape)
    places = (world.users.index(everything[USER_ID]), world.items.index(everything[ITEM_ID]))
    scores[places] = everything[SCORE]
    return scores


def _check_lists(model: Recommender, world: Interactions) -> None:
    """The lists are what sorting all inner products gives, in the promised form."""
    lists = model.recommend(None, _N)
    require(list(lists) == [USER_ID, RANK, ITEM_ID, SCORE], f"columns of the lists: {list(lists)}")
    require(lists[RANK].dtype == np.int32, f"rank is {lists[RANK].dtype}, not int32")
    require(lists[SCORE].dtype == np.float32, f"score is {lists[SCORE].dtype}, not float32")
    require(
        lists[USER_ID].tolist() == np.repeat(world.users.ids, _N).tolist(),
        f"a list of {_N} for everyone must hold exactly {_N} rows per user, in the users' order",
    )
    require(
        lists[RANK].tolist() == list(range(1, _N + 1)) * world.n_users,
        f"ranks must run from 1 to {_N} for every user",
    )
    scores = _all_scores(model, world)
    rows = np.repeat(np.arange(world.n_users), np.diff(world.matrix.indptr))
    scores[rows, world.matrix.indices] = -np.inf
    best = -np.sort(-scores, axis=1)[:, :_N].ravel()
    require(
        np.allclose(lists[SCORE], best, rtol=1e-5, atol=1e-6),
        "the scores are not the best ones of unseen items, best first",
    )
    given = scores[world.users.index(lists[USER_ID]), world.items.index(lists[ITEM_ID])]
    require(
        np.allclose(given, best, rtol=1e-5, atol=1e-6),
        "the items listed are not those with the best scores",
    )


def _check_ties(model: Recommender, world: Interactions) -> None:
    """Of a user without a history little is known, so that many scores are equal."""
    nothing = csr_array((1, world.n_items), dtype=np.float32)
    history = Interactions(IdMap.of(["stranger"]), world.items, nothing)
    listed = model.recommend(None, world.n_items, history=history)
    score, place = listed[SCORE].to_numpy(), world.items.index(listed[ITEM_ID])
    require(
        bool((np.diff(place)[score[1:] == score[:-1]] > 0).all()),
        "items of equal scores are not in the order of their ids",
    )


def _check_filters(model: Recommender, world: Interactions) -> None:
    seen = _pairs(world)
    require(not _pairs_of(model.recommend(None, _N)) & seen, "a seen item was recommended")
    everything = model.recommend(None, world.n_items, exclude_seen=False)
    require(seen <= _pairs_of(everything), "exclude_seen=False still left out seen items")
    one, other = world.users.ids[:2]
    wanted = model.recommend([one], 2)[ITEM_ID].tolist()
    blocked = model.recommend([one], _N, blocked=wanted)[ITEM_ID]
    require(not set(blocked) & set(wanted), "a blocked item was recommended")
    for_one = model.recommend([other, one], _N, blocked={one: wanted})
    require(
        not set(for_one[ITEM_ID][_N:]) & set(wanted), "an item blocked for a user was recommended"
    )
    require(
        for_one[ITEM_ID][:_N].tolist() == model.recommend([other], _N)[ITEM_ID].tolist(),
        "what is blocked for one user changed the list of another",
    )
    some = world.items.ids[::2]
    listed = model.recommend(None, 2, candidates=some)
    require(set(listed[ITEM_ID]) <= set(some), "an item outside the candidates was recommended")


def _check_too_few(model: Recommender, world: Interactions) -> None:
    """More than what remains is refused; exactly what remains is given."""
    seen = np.diff(world.matrix.indptr)
    row = int(seen.argmax())
    user, left = world.users.arrow[row].as_py(), int(world.n_items - seen[row])
    rest = model.recommend([user], left)
    require(rest[ITEM_ID].nunique() == left, f"{left} items remain, asked for all, not given")
    require_refusal(InputError, repr(user), lambda: model.recommend([user], left + 1))


def _check_users_alone(model: Recommender, world: Interactions) -> None:
    together = model.recommend(None, _N)
    alone = [model.recommend([user], _N) for user in reversed(world.users.ids)]
    require(
        together.equals(pd.concat(alone[::-1], ignore_index=True)),
        "users asked for together and one by one get different lists",
    )
    backwards = model.recommend(list(world.users.ids[::-1]), _N)
    require(
        backwards.equals(pd.concat(alone, ignore_index=True)),
        "lists do not come in the order in which users were asked for",
    )


def _check_fold_in(model: Recommender, world: Interactions) -> None:
    rows = np.arange(world.n_users)[::-3]
    if isinstance(model, VectorRecommender):
        folded = model.fold_in(world)
        require(folded.dtype == np.float32, f"fold_in gives {folded.dtype}, not float32")
        require(
            np.allclose(folded, model.user_vectors_, rtol=1e-5, atol=1e-6),
            "folding in the fitted histories does not give the fitted vectors",
        )
        require(
            np.array_equal(model.fold_in(_part(world, rows)), folded[rows]),
            "the vector of a user depends on who else is folded in",
        )
    # A new user with the history of a known one, and an item that nobody knows.
    known = _part(world, rows[:1])
    strangers = IdMap.of(["stranger"])
    more = IdMap(pa.concat_arrays([world.items.arrow, IdMap.of(_unknown(world.items)).arrow]))
    history = Interactions(strangers, world.items, known.matrix).for_items(more)
    listed = model.recommend(None, _N, history=history)
    require(set(listed[USER_ID]) == {"stranger"}, "history= must bring its own users")
    require(
        listed[ITEM_ID].tolist() == model.recommend(known.users.ids, _N)[ITEM_ID].tolist(),
        "a new user with the history of a known one gets another list",
    )


def _unknown(ids: IdMap) -> list[Any]:
    return [-5] if pa.types.is_integer(ids.arrow.type) else ["nobody knows"]


def _check_explanations(model: Recommender, world: Interactions) -> None:
    lists = model.recommend(None, 2, exclude_seen=False)
    for user, item, score in zip(lists[USER_ID], lists[ITEM_ID], lists[SCORE], strict=True):
        parts = model.explain(user, item)
        require(
            set(parts[ITEM_ID]) == set(world.history(user)[ITEM_ID]),
            "an explanation must have one row for each item of the user's history",
        )
        require(
            bool(np.isclose(parts["part"].sum(), score, rtol=1e-4, atol=1e-5)),
            f"the parts of a score sum to {parts['part'].sum():g}, not to {score:g}",
        )


def _check_refusals(model: Recommender, world: Interactions) -> None:
    require_refusal(InputError, "n = 0", lambda: model.recommend(None, 0))
    require_refusal(InputError, "catalogue", lambda: model.recommend(None, world.n_items + 1))
    unknown = _unknown(world.users)
    require_refusal(UnknownIdError, "history=", lambda: model.recommend(unknown, 1))


def _check_files(model: Recommender, world: Interactions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        loaded = Recommender.load(Path(folder) / "model")
    require(type(loaded) is type(model), f"a {type(model).__name__} came back as {loaded!r}")
    require(repr(loaded) == repr(model), f"hyper-parameters {model!r} came back as {loaded!r}")
    require(
        loaded.recommend(None, _N).equals(model.recommend(None, _N)),
        "the lists after save and load are not those before",
    )
    require(
        loaded.recommend(None, _N, history=world).equals(model.recommend(None, _N, history=world)),
        "the lists of new histories after save and load are not those before",
    )


def _check_same_again(first: Recommender, second: Recommender) -> None:
    one, other = first._arrays(), second._arrays()
    require(
        one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one),
        "two fits on the same interactions, in another order, learn something different",
    )
