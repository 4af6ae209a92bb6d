"""The contract of recommenders, that its checks can fail, their errors and their files."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import (
    BundleCorruptError,
    BundleError,
    BundleVersionError,
    InputError,
    UnknownIdError,
)
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, Popularity, Recommender
from prodgen_rec.testing import check_recommender


def small_als(kind=ALS):
    return kind(factors=8, regularization=0.1, iterations=10)


def test_als_keeps_the_contract():
    check_recommender(small_als)


def test_popularity_keeps_the_contract():
    check_recommender(Popularity, personalized=False)


# Each of these breaks one promise, and must be caught for it.


class OneSeenItemSlipsThrough(ALS):
    def recommend(self, users, n, *, exclude_seen=True, **options):
        if not exclude_seen or options.get("history") is not None:
            return super().recommend(users, n, exclude_seen=exclude_seen, **options)
        record = self._fitted().interactions_
        start, end = record.matrix.indptr[:-1], record.matrix.indptr[1:]
        seen = {
            user: record.items.take(record.matrix.indices[low : max(low, high - 1)])
            for user, low, high in zip(record.users.ids, start, end, strict=True)
        }
        return super().recommend(users, n, exclude_seen=False, blocked=seen)


class Pads(ALS):
    def recommend(self, users, n, **options):
        try:
            return super().recommend(users, n, **options)
        except InputError:
            if not isinstance(n, int) or n < 2 or n > len(self.items_):
                raise
            shorter = self.recommend(users, n - 1, **options)
            return pd.concat([shorter, shorter.tail(1)], ignore_index=True)


class WorstFirst(ALS):
    def recommend(self, users, n, **options):
        best = super().recommend(users, n, **options)
        turned = best.groupby("user_id", sort=False, group_keys=False)["item_id"]
        return best.assign(item_id=turned.transform(lambda items: items.to_numpy()[::-1]))


class SortsUsers(ALS):
    def recommend(self, users, n, **options):
        return super().recommend(None if users is None else sorted(users), n, **options)


class IgnoresWhatIsBlockedForAUser(ALS):
    def recommend(self, users, n, *, blocked=None, **options):
        blocked = None if isinstance(blocked, dict) else blocked
        return super().recommend(users, n, blocked=blocked, **options)


class IgnoresCandidates(ALS):
    def recommend(self, users, n, *, candidates=None, **options):
        return super().recommend(users, n, **options)


class FoldsInWithoutConfidence(ALS):
    def fold_in(self, history):
        matrix = history.matrix.copy()
        matrix.data = np.sign(matrix.data)
        return super().fold_in(Interactions(history.users, history.items, matrix))


class FoldsInRelativeToTheBatch(ALS):
    def _vectors_of(self, histories):
        vectors = super()._vectors_of(histories)
        return vectors - vectors.mean(axis=0)


class StartsAnywhere(ALS):
    def _learn_items(self, evidence, features):
        self.seed = StartsAnywhere.start = getattr(StartsAnywhere, "start", 0) + 1
        return super()._learn_items(evidence, features)


class TurnsIdsIntoText(ALS):
    def recommend(self, users, n, **options):
        return super().recommend(users, n, **options).astype({"user_id": str, "item_id": str})


class ExplainsByEvidence(ALS):
    def _parts(self, history, item):
        return history.data.astype(float)


class ExplainsByWhatIsLikedAlone(ALS):
    def explain(self, user, item, **options):
        parts = super().explain(user, item, **options)
        return parts[parts["value"] > 0]


class ForgetsOnDisk(ALS):
    def save(self, folder):
        rounded = small_als(type(self)).fit(self._fitted().interactions_)
        rounded.item_vectors_ = self.item_vectors_.round(1)
        ALS.save(rounded, folder)


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (OneSeenItemSlipsThrough, "not the best ones of unseen items"),
        (Pads, "expected InputError"),
        (WorstFirst, "not those with the best scores"),
        (SortsUsers, "order in which users were asked for"),
        (IgnoresWhatIsBlockedForAUser, "an item blocked for a user was recommended"),
        (IgnoresCandidates, "outside the candidates"),
        (FoldsInWithoutConfidence, "does not give the fitted vectors"),
        (FoldsInRelativeToTheBatch, "depends on who else is folded in"),
        (StartsAnywhere, "learn something different"),
        (TurnsIdsIntoText, "must hold exactly 5 rows per user"),
        (ForgetsOnDisk, "after save and load"),
        (ExplainsByEvidence, "parts of a score sum to"),
        (ExplainsByWhatIsLikedAlone, "one row for each item"),
    ],
)
def test_the_checks_catch(broken, finding):
    with pytest.raises(AssertionError, match=finding):
        check_recommender(lambda: small_als(broken))


def test_the_checks_catch_one_list_for_all():
    with pytest.raises(AssertionError, match="on a checkerboard"):
        check_recommender(Popularity)


# A world small enough to know everything by hand


@pytest.fixture
def record():
    """Items a to e; ann took a and b, bob b and c and returned d, cem b."""
    users, items = IdMap.of(["ann", "bob", "cem"]), IdMap.of(list("abcde"))
    rows, cols = [0, 0, 1, 1, 1, 2], [0, 1, 1, 2, 3, 1]
    value = np.array([5, 1, 1, 5, -5, 40], np.float32)
    return Interactions(users, items, csr_array((value, (rows, cols)), shape=(3, 5)))


@pytest.fixture
def popular(record):
    return Popularity().fit(record)


def listed(recommendations):
    return list(zip(recommendations["user_id"], recommendations["item_id"], strict=True))


def test_an_explanation_names_the_items_that_speak_for_another():
    """Two worlds without anything in common: the parts come from the item's own."""
    users, items = IdMap.of(range(40)), IdMap.of(range(10))
    dense = np.zeros((40, 10), np.float32)
    dense[:20, :5] = dense[20:, 5:] = 1
    dense[np.arange(40), np.arange(40) % 10] = 0  # everyone lacks one item, if not of the other
    dense[0] = [0, 1, 1, 0, 0, 0, 1, 0, -1, 0]
    model = ALS(2, regularization=1.0, alpha=2.0).fit(Interactions(users, items, csr_array(dense)))
    why = model.explain(0, 3)
    assert set(why["item_id"][:2]) == {1, 2}
    assert why["part"].is_monotonic_decreasing
    assert why.set_index("item_id").loc[8, ["value", "part"]].tolist() == [-1, 0]
    assert why["part"][:2].sum() > 0.5 > why.set_index("item_id")["part"][6]
    others = Interactions(IdMap.of(["new"]), items, csr_array(dense[[20]]))
    again = model.explain("new", 7, history=others)
    assert again["part"].sum() == pytest.approx(model.explain(20, 7)["part"].sum())


def test_what_is_similar_is_what_the_cosine_says(record):
    model = small_als().fit(record)
    for ids, vectors, similar, column in (
        (record.items, model.item_vectors_, model.similar_items, "item_id"),
        (record.users, model.user_vectors_, model.similar_users, "user_id"),
    ):
        some = ids.ids[[2, 0]].tolist()
        found = similar(some, 2)
        assert found[column].tolist() == np.repeat(some, 2).tolist()
        assert not (found[column] == found["similar_id"]).any()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine = vectors @ vectors.T / np.maximum(lengths * lengths.T, 1e-30)
        np.fill_diagonal(cosine, -np.inf)
        best = -np.sort(-cosine, axis=1)[[2, 0], :2].ravel()
        np.testing.assert_allclose(found["similarity"], best, atol=1e-6)
        given = cosine[ids.index(found[column]), ids.index(found["similar_id"])]
        np.testing.assert_allclose(given, best, atol=1e-6)


def test_more_similar_ones_than_there_are_are_refused(popular):
    with pytest.raises(InputError, match="n = 5, but there are 4 other items"):
        popular.similar_items(["a"], 5)
    with pytest.raises(UnknownIdError, match="'z'"):
        popular.similar_items(["z"], 1)


def test_explanations_are_refused_where_there_is_none(popular):
    with pytest.raises(UnknownIdError, match="'dan'"):
        popular.explain("dan", "a")
    with pytest.raises(UnknownIdError, match="'z'"):
        popular.explain("ann", "z")
    with pytest.raises(InputError, match="looks at nobody's history"):
        popular.explain("ann", "c")


def test_popularity_counts_users_not_events(popular):
    assert popular.item_vectors_.ravel().tolist() == [1, 3, 1, 0, 0]
    best = popular.recommend(["cem"], 5, exclude_seen=False)
    assert best["item_id"].tolist() == ["b", "a", "c", "d", "e"]
    assert best["score"].tolist() == [3, 1, 1, 0, 0]


def test_a_returned_item_is_seen(popular):
    assert listed(popular.recommend(["bob", "ann"], 2)) == [
        ("bob", "a"), ("bob", "e"), ("ann", "c"), ("ann", "d"),
    ]  # fmt: skip


def test_history_takes_the_place_of_the_fit(popular):
    history = Interactions(
        IdMap.of(["ann", "new"]),
        IdMap.of(["a", "z"]),
        csr_array(np.array([[0, 1], [1, 1]], np.float32)),
    )
    assert listed(popular.recommend(None, 2, history=history)) == [
        ("ann", "b"), ("ann", "a"), ("new", "b"), ("new", "c"),
    ]  # fmt: skip
    with pytest.raises(UnknownIdError, match=r"'bob'.*must hold every user asked for"):
        popular.recommend(["bob"], 1, history=history)


def test_unknown_ids_in_filters_filter_nothing(popular):
    assert popular.recommend(["cem"], 2, blocked=["z"], candidates=["z", "e", "a"])[
        "item_id"
    ].tolist() == ["a", "e"]
    blocked = {"nobody": ["a"], "cem": ["a", "z"], "ann": []}
    assert popular.recommend(["cem"], 1, blocked=blocked)["item_id"].tolist() == ["c"]


def test_a_user_asked_for_twice_gets_two_lists(popular):
    twice = popular.recommend(["ann", "ann"], 1, blocked={"ann": ["c"]})
    assert listed(twice) == [("ann", "d"), ("ann", "d")]


def test_integer_ids_are_found_by_their_text():
    users, items = IdMap.of([1, 20]), IdMap.of([7, 8])
    model = Popularity().fit(Interactions(users, items, csr_array(np.eye(2, dtype=np.float32))))
    lists = model.recommend(["20"], 1, candidates=["7"])
    assert listed(lists) == [(20, 7)]
    assert lists["user_id"].dtype == lists["item_id"].dtype == np.int64


def test_who_has_too_few_left_and_why(popular):
    with pytest.raises(
        InputError,
        match=r"user 'bob': 3 items asked for, 1 remain \(catalogue 5, seen 3, blocked 2, "
        r"not candidates 0\); the fewest that any user has left is 1",
    ):
        popular.recommend(["cem", "bob"], 3, blocked={"bob": ["a", "c"]})
    with pytest.raises(
        InputError, match=r"0 remain \(catalogue 5, seen 0, blocked 0, not cand.* 5"
    ):
        popular.recommend(["cem"], 1, candidates=["z"], exclude_seen=False)


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None])
def test_n_must_be_a_count(popular, n):
    with pytest.raises(InputError, match="expected a whole number of items per user, at least 1"):
        popular.recommend(None, n)


def test_bad_arguments_are_refused_with_words(popular):
    with pytest.raises(InputError, match="n = 6, but the catalogue has 5 items"):
        popular.recommend(None, 6)
    with pytest.raises(UnknownIdError, match=r"'dan'.*history="):
        popular.recommend(["ann", "dan"], 1)
    for argument in ("users", "candidates", "blocked"):
        options = {"users": None, argument: "ann"}
        with pytest.raises(InputError, match=f"{argument}: expected several ids, got 'ann'"):
            popular.recommend(n=1, **options)


def test_nothing_liked_nothing_learned(record):
    record.matrix.data[:] = -1
    with pytest.raises(InputError, match="none of 6 pairs has positive evidence"):
        Popularity().fit(record)


# Files


@pytest.fixture
def folder(popular, tmp_path):
    popular.save(tmp_path / "model")
    return tmp_path / "model"


def test_saving_again_gives_the_same_bytes(popular, folder, tmp_path):
    Recommender.load(folder).save(tmp_path / "again")
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_was_seen_survives_the_file(popular, folder, record):
    loaded = Popularity.load(folder)
    np.testing.assert_array_equal(loaded.interactions_.matrix.toarray(), record.matrix.toarray())
    assert loaded.interactions_.n_pairs == record.n_pairs


def test_the_wrong_class_is_refused(folder):
    with pytest.raises(
        BundleError, match=r"holds the recommender 'Popularity'; expected one of \['ALS'"
    ):
        ALS.load(folder)
    about = json.loads((folder / "recommender.json").read_text())
    (folder / "recommender.json").write_text(json.dumps(about | {"class": "Elsewhere"}))
    with pytest.raises(BundleError, match=r"'Elsewhere'.*imported"):
        Recommender.load(folder)


@pytest.mark.parametrize("damage", [{"parameters": {"beta": 1}}, {"parameters": None}])
def test_parameters_that_do_not_fit_are_refused(folder, damage):
    about = json.loads((folder / "recommender.json").read_text())
    (folder / "recommender.json").write_text(json.dumps(about | damage))
    with pytest.raises(BundleCorruptError, match=r"recommender\.json: wrong parameters"):
        Recommender.load(folder)


def test_numpy_hyper_parameters_are_saved_as_plain_numbers(record, tmp_path):
    ALS(np.int64(2), np.float32(0.5), iterations=np.int64(2)).fit(record).save(tmp_path / "als")
    assert repr(ALS.load(tmp_path / "als")) == (
        "ALS(factors=2, regularization=0.5, alpha=None, iterations=2, seed=0)"
    )


def test_nobody_asked_nobody_listed(popular):
    nobody = popular.recommend([], 2, blocked={"ann": ["a"]})
    assert len(nobody) == 0
    assert list(nobody) == ["user_id", "rank", "item_id", "score"]


def test_a_newer_format_is_refused(folder):
    (folder / "recommender.json").write_text('{"format": 2, "kind": "nobody knows yet"}')
    with pytest.raises(BundleVersionError, match=r"format 2 is newer than 1.*upgrade"):
        Recommender.load(folder)


@pytest.mark.parametrize(
    "part", ["recommender.json", "users.parquet", "items.parquet", "arrays.npz"]
)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_part_is_named(folder, part, damage):
    path = folder / part
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BundleCorruptError, match=part):
        Recommender.load(folder)


def test_parts_of_different_models_are_refused(folder, record, tmp_path):
    Popularity().fit(record.for_items(IdMap.of(["a", "b"]))).save(tmp_path / "other")
    (tmp_path / "other" / "items.parquet").replace(folder / "items.parquet")
    with pytest.raises(BundleCorruptError, match="the parts do not fit together"):
        Recommender.load(folder)
