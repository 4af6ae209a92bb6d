"""What recommenders have in common: filters, explanations, errors and files; popularity."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import (
    BundleCorruptError,
    BundleError,
    BundleVersionError,
    ConfigError,
    InputError,
    UnknownIdError,
)
from prodgen_rec.events import read_events
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions, build_interactions
from prodgen_rec.preferences import (
    ALS,
    BPR,
    EASE,
    GraphFilter,
    ItemKNN,
    Popularity,
    Recommender,
)
from prodgen_rec.storage import load_arrays, save_arrays

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
    model = ALS(8, regularization=0.1, iterations=10).fit(record)
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


@pytest.fixture
def fashion():
    """An old favorite of 30 users, a year ago; 20 others take a new one; one buys a third daily."""
    old = [(f"old-{i}", "classic", "2023-06-01") for i in range(30)]
    new = [(f"new-{i}", "trend", "2024-05-30") for i in range(20)]
    heavy = [("heavy", "whim", f"2024-05-{day:02}") for day in range(1, 31)]
    log = pd.DataFrame(old + new + heavy, columns=["user_id", "item_id", "timestamp"])
    return read_events(log.assign(event="purchase"))


def order(interactions, **settings):
    model = Popularity(**settings).fit(interactions)
    return model.recommend(["heavy"], 3, exclude_seen=False)


def test_popularity_follows_a_trend_where_old_evidence_counts_less(fashion):
    decayed = build_interactions(fashion, half_life_days=60)
    assert order(decayed)["item_id"].tolist() == ["classic", "trend", "whim"]
    ranked = order(decayed, full_evidence=5.0)
    assert ranked["item_id"].tolist() == ["trend", "whim", "classic"]
    assert ranked["score"].tolist() == pytest.approx([20, 1, 30 * 2 ** (-364 / 60)], rel=1e-4)


def test_a_heavy_buyer_counts_no_more_than_anyone(fashion):
    """Thirty purchases by one user are one, without decay and with it."""
    score = order(build_interactions(fashion), full_evidence=5.0)["score"]
    assert score.tolist() == [30, 20, 1]


def test_full_evidence_is_a_share_below_and_none_above(record):
    record.matrix.data[:2] = [0.5, 2.0]  # ann's a and b
    model = Popularity(full_evidence=2.0).fit(record)
    assert model.item_vectors_.ravel().tolist() == [0.25, 2.5, 1, 0, 0]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_full_evidence_out_of_range_is_refused(value):
    with pytest.raises(ConfigError, match=f"full_evidence = {value}: expected more than 0"):
        Popularity(full_evidence=value)


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
    for history in (popular.interactions_.matrix, {"ann": ["a"]}):
        came = f"history: expected Interactions, got {type(history).__name__}; build_interactions"
        for call in (
            lambda given: popular.recommend(None, 1, history=given),
            lambda given: popular.explain("ann", "b", history=given),
            popular.fold_in,
        ):
            with pytest.raises(InputError, match=came):
                call(history)


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
        "ALS(factors=2, regularization=0.5, alpha=None, iterations=2, seed=0, "
        "frequency_scaling=0.5)"
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


@pytest.mark.parametrize(
    "recommender",
    [ALS(2), BPR(2, iterations=2), GraphFilter(2), Popularity(), EASE(1.0), ItemKNN(2)],
    ids=lambda recommender: type(recommender).__name__,
)
def test_a_number_on_disk_that_is_not_finite_is_named(recommender, record, tmp_path):
    recommender.fit(record).save(tmp_path / "model")
    file = tmp_path / "model" / "arrays.npz"
    whole = load_arrays(file)
    numbers = [name for name, array in whole.items() if array.dtype.kind == "f"]
    assert len(numbers) > 1
    for name in numbers:
        broken = whole[name].copy()
        broken[(-1,) * broken.ndim] = np.nan
        save_arrays(file, whole | {name: broken})
        place = ", ".join(str(size - 1) for size in broken.shape)
        with pytest.raises(BundleCorruptError, match=rf"1 of {broken.size} {name} .*\({place},?\)"):
            Recommender.load(tmp_path / "model")
