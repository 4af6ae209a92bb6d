"""Ranking metrics against their definitions, scikit-learn's figures and planted answers."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation import compare, evaluate_ranking, mean_interval, paired_difference
from prodgen_rec.evaluation.ranking import METRICS

N_ITEMS = 12


def lists_of(ranked: dict) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (user, rank, item)
            for user, items in ranked.items()
            for rank, item in enumerate(items, 1)
        ],
        columns=["user_id", "rank", "item_id"],
    ).assign(score=0.0)


def holdout_of(taken: dict) -> pd.DataFrame:
    return pd.DataFrame(
        [(user, item) for user, items in taken.items() for item in items],
        columns=["user_id", "item_id"],
    )


def by_definition(ranked: list, taken: set, k: int) -> dict[str, float]:
    hit = [item in taken for item in ranked[:k]]
    discounted = sum(1 / np.log2(place + 2) for place, is_hit in enumerate(hit) if is_hit)
    ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(taken))))
    precisions = [sum(hit[: place + 1]) / (place + 1) for place in range(len(hit)) if hit[place]]
    return {
        "recall": sum(hit) / len(taken),
        "precision": sum(hit) / k,
        "ndcg": discounted / ideal,
        "map": sum(precisions) / min(k, len(taken)),
        "mrr": 1 / (hit.index(True) + 1) if any(hit) else 0.0,
        "hit_rate": float(any(hit)),
    }


rankings = st.permutations(range(N_ITEMS))
baskets = st.sets(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(rankings, baskets), min_size=1, max_size=4), st.integers(1, N_ITEMS))
def test_every_metric_agrees_with_its_definition(people, k):
    ranked = {user: items for user, (items, _) in enumerate(people)}
    taken = {user: items for user, (_, items) in enumerate(people)}
    report = evaluate_ranking(lists_of(ranked), holdout_of(taken), k=k, n_boot=2)
    for user in ranked:
        for metric, expected in by_definition(ranked[user], taken[user], k).items():
            assert report.per_user.loc[user, f"{metric}@{k}"] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(rankings, baskets, st.integers(1, N_ITEMS))
def test_ndcg_and_average_precision_are_scikit_learns(ranked, taken, k):
    report = evaluate_ranking(
        lists_of({"u": ranked}), holdout_of({"u": taken}), k=[k, N_ITEMS], n_boot=2
    )
    relevance = np.isin(np.arange(N_ITEMS), list(taken)).astype(int)
    score = -np.argsort(ranked)
    ndcg = ndcg_score([relevance], [score], k=k)
    assert report.per_user.loc["u", f"ndcg@{k}"] == pytest.approx(ndcg, abs=1e-8)
    average_precision = average_precision_score(relevance, score)
    assert report.per_user.loc["u", f"map@{N_ITEMS}"] == pytest.approx(average_precision, abs=1e-8)


def test_a_random_recommender_finds_k_over_n_items():
    rng = np.random.default_rng(4)
    n_users, n_items, k = 3000, 50, 10
    ranked = {user: rng.permutation(n_items)[:k] for user in range(n_users)}
    taken = {user: rng.choice(n_items, 3, replace=False) for user in range(n_users)}
    report = evaluate_ranking(lists_of(ranked), holdout_of(taken), k=k, n_boot=200)
    recall = report.intervals["recall@10"]
    # Hypergeometric variance of the hits among 3, over 3² and the users: four standard errors.
    error = np.sqrt(3 * 0.2 * 0.8 * (n_items - k) / (n_items - 1) / 9 / n_users)
    assert recall.value == pytest.approx(k / n_items, abs=4 * error)
    assert recall.high - recall.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_rows_and_repeated_purchases_do_not_matter():
    rng = np.random.default_rng(1)
    lists = lists_of({user: rng.permutation(N_ITEMS)[:5] for user in range(30)})
    taken = holdout_of({user: rng.choice(N_ITEMS, 2, replace=False) for user in range(30)})
    again = pd.concat([taken, taken.head(9)]).sample(frac=1, random_state=2)
    report = evaluate_ranking(lists, taken, k=(2, 5), n_items=N_ITEMS)
    shuffled = evaluate_ranking(
        lists.sample(frac=1, random_state=3), again, k=(5, 2), n_items=N_ITEMS
    )
    pd.testing.assert_frame_equal(report.per_user, shuffled.per_user, check_exact=True)
    assert report.to_dict() == shuffled.to_dict()


def test_users_without_recommendations_count_as_zero_and_are_told():
    report = evaluate_ranking(
        lists_of({"a": [1, 2], "visitor": [3, 4]}),
        holdout_of({"a": [1], "b": [1], "c": [2]}),
        k=2,
        n_items=8,
    )
    assert report.n_users == 3
    assert report.n_users_without_list == 2
    assert report.intervals["hit_rate@2"].value == pytest.approx(1 / 3)
    assert "3 users, 2 of them without recommendations (counted as 0)" in repr(report)
    # The visitor is not judged, but was recommended items: 4 of 8 in all.
    assert report.coverage == {2: 0.5}


@given(st.integers(1, 5), st.integers(1, 6))
def test_coverage_of_disjoint_lists_is_users_times_k(n_users, k):
    ranked = {user: [user * 6 + place for place in range(6)] for user in range(n_users)}
    report = evaluate_ranking(lists_of(ranked), holdout_of({0: [0]}), k=k, n_items=30, n_boot=1)
    assert report.coverage == {k: n_users * k / 30}


def test_a_skipped_rank_is_a_miss():
    lists = lists_of({"u": ["x", "y", "z"]}).drop(index=0)
    report = evaluate_ranking(lists, holdout_of({"u": ["y"]}), k=3)
    assert report.per_user.loc["u", "mrr@3"] == 0.5


def test_items_in_place_of_ranks_are_noticed():
    """Items that are numbers pass for ranks, and ranks for items."""
    right = lists_of({1: [7, 3, 4], 2: [9, 7, 1], 3: [3]})
    swapped = right.rename(columns={"rank": "item_id", "item_id": "rank"})
    taken = holdout_of({1: [3], 2: [9]})
    evaluate_ranking(right, taken, k=2)
    with pytest.raises(InputError, match="rank, from 1 to 9, does not; the two seem to be swapped"):
        evaluate_ranking(swapped, taken, k=2)
    first = lists_of({1: [2, 1], 2: [1, 2]})  # the catalogue has no others
    assert evaluate_ranking(first, taken, k=2).per_user["recall@2"].tolist() == [0, 0]
    gap = right.drop(index=1)
    assert evaluate_ranking(gap, taken, k=2).per_user["recall@2"].tolist() == [0, 1]


def test_integer_ids_meet_their_text():
    ranked, taken = {1: [10, 20], 2: [20, 30]}, {1: [20], 2: [20, 40]}
    same = evaluate_ranking(lists_of(ranked), holdout_of(taken), k=2)
    text = evaluate_ranking(lists_of(ranked).astype({"user_id": str}), holdout_of(taken), k=2)
    other = evaluate_ranking(lists_of(ranked), holdout_of(taken).astype(str), k=2)
    assert same.to_dict() == text.to_dict() == other.to_dict()
    assert list(other.per_user.index) == ["1", "2"]


def test_table_and_dictionary_hold_the_same_figures():
    report = evaluate_ranking(
        lists_of({1: [1, 2], 2: [2, 1]}), holdout_of({1: [1], 2: [3]}), k=(1, 2), n_items=4
    )
    table = report.table().set_index(["metric", "k"])
    figures = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(table) == 2 * (len(METRICS) + 1)
    assert table.loc[("ndcg", 2), "value"] == figures["metrics"]["ndcg@2"]["value"]
    assert table.loc[("coverage", 1), "value"] == figures["coverage"]["1"] == 0.5
    assert table.loc[("coverage", 1), ["low", "high"]].isna().all()


def test_compare_is_signed_and_finds_a_planted_difference():
    n_users = 200
    taken = holdout_of({user: ["hit"] for user in range(n_users)})
    good = {user: ["hit", "a"] if user % 4 else ["a", "b"] for user in range(n_users)}
    bad = {user: ["a", "hit"] if user % 2 else ["a", "b"] for user in range(n_users)}
    a, b = (evaluate_ranking(lists_of(ranked), taken, k=2) for ranked in (good, bad))
    difference = compare(a, b, "recall@2")
    assert difference.value == pytest.approx(0.25)
    assert difference.low > 0
    assert difference.p_value < 0.01
    reverse = compare(b, a, "recall@2")
    assert (reverse.low, reverse.high) == pytest.approx((-difference.high, -difference.low))
    assert compare(a, a, "mrr@2").p_value == 1


def test_interval_of_normal_values_is_the_normal_approximation():
    values = np.random.default_rng(0).normal(3, 2, size=2000)
    interval = mean_interval(values, n_boot=4000, level=0.9)
    half = stats.norm.ppf(0.95) * values.std() / np.sqrt(len(values))
    assert (interval.low, interval.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )
    assert interval == mean_interval(values, n_boot=4000, level=0.9)
    assert interval != mean_interval(values, n_boot=4000, level=0.9, seed=1)


def test_paired_p_value_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(7)
    a = rng.normal(size=500)
    b = a + rng.normal(0.05, 0.6, size=500)
    difference = paired_difference(a, b, n_boot=8000)
    expected = stats.ttest_rel(a, b).pvalue
    assert 0.01 < expected < 0.5
    assert difference.p_value == pytest.approx(expected, abs=0.02)


def test_a_value_that_never_varies_has_an_interval_of_no_width():
    interval = mean_interval([0.5, 0.5, 0.5])
    assert (interval.value, interval.low, interval.high, interval.n) == (0.5, 0.5, 0.5, 3)


LISTS = lists_of({"a": ["x", "y"]})
TAKEN = holdout_of({"a": ["x"]})


@pytest.mark.parametrize(
    ("lists", "taken", "message"),
    [
        (LISTS, TAKEN.head(0), "holdout: the table has no rows"),
        (LISTS.head(0), TAKEN, "recommendations: the table has no rows"),
        (LISTS.drop(columns="rank"), TAKEN, "recommendations: no column rank; it has user_id"),
        (LISTS, TAKEN.rename(columns={"item_id": "sku"}), "holdout: no column item_id.*rename"),
        (LISTS.assign(item_id="x"), TAKEN, "list of user 'a' holds item_id 'x' more than once"),
        (LISTS.assign(rank=1), TAKEN, "list of user 'a' holds rank 1 more than once"),
        (LISTS.assign(rank=[0, 1]), TAKEN, "rank is int64 from 0 to 1; expected integers from 1"),
        (LISTS.assign(rank=[1.0, 2.0]), TAKEN, "rank is float64"),
        (LISTS, TAKEN.assign(user_id="z"), "no user_id in common: 'a' against 'z'; .* zeros"),
        (LISTS, TAKEN.assign(item_id=7), "no item_id in common: 'x', 'y' against 7"),
        (LISTS, TAKEN.assign(user_id=None), "holdout, user_id: "),
        (LISTS, TAKEN.set_axis(["item_id", "user_id"], axis=1), "no user_id .* columns swapped"),
    ],
)
def test_unusable_tables_are_refused(lists, taken, message):
    with pytest.raises(InputError, match=message):
        evaluate_ranking(lists, taken, k=2)


def test_a_recommender_that_misses_everything_gets_zero_not_an_error():
    report = evaluate_ranking(LISTS, TAKEN.assign(item_id="new"), k=2)
    assert all(interval.value == 0 for interval in report.intervals.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 3}, "k is 3, but no list goes beyond rank 2; recommend 3 items per user"),
        ({"k": 0}, "k is 0; expected one or more integers from 1"),
        ({"k": ()}, r"k is \(\); expected one or more"),
        ({"k": 1.5}, "k is 1.5; expected one or more integers"),
        ({"k": [1, 1.5]}, r"k is \[1, 1.5\]; expected one or more integers"),
        ({"k": "2"}, "k is '2'; expected one or more integers"),
        ({"k": None}, "k is None; expected one or more integers"),
        ({"k": 2, "n_items": 1}, "n_items is 1, but 2 distinct items are recommended"),
        ({"k": 2, "n_boot": 0}, "n_boot is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_ranking(LISTS, TAKEN, **settings)


def test_comparisons_that_make_no_sense_are_refused():
    report = evaluate_ranking(LISTS, TAKEN, k=2)
    other = evaluate_ranking(LISTS, holdout_of({"a": ["x"], "b": ["x"]}), k=2)
    with pytest.raises(InputError, match="no metric 'ndcg@10' in the report; it has recall@2"):
        compare(report, report, "ndcg@10")
    with pytest.raises(InputError, match="about 1 and 2 users, of whom 1 are the same"):
        compare(report, other, "ndcg@2")
    with pytest.raises(InputError, match="paired values are 2 and 3"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="1 of 2 values are NaN"):
        mean_interval([1.0, np.nan])
    with pytest.raises(InputError, match="shape"):
        mean_interval([])
    with pytest.raises(ConfigError, match="level is 95"):
        mean_interval([1.0], level=95)


def test_a_segment_is_judged_as_if_its_users_were_all():
    rng = np.random.default_rng(4)
    ranked = {user: list(rng.permutation(N_ITEMS)[:5]) for user in range(30)}
    taken = {user: list(rng.permutation(N_ITEMS)[:3]) for user in range(30)}
    report = evaluate_ranking(lists_of(ranked), holdout_of(taken), k=[2, 5])
    segments = pd.Series({user: ["loyal", "new", None][user % 3] for user in range(40)})
    table = report.by_segment(segments)
    assert table["segment"].unique().tolist() == ["loyal", "new"]
    for segment, rest in (("loyal", 0), ("new", 1)):
        own = [user for user in range(30) if user % 3 == rest]
        alone = evaluate_ranking(
            lists_of({user: ranked[user] for user in own}),
            holdout_of({user: taken[user] for user in own}),
            k=[2, 5],
        )
        of_segment = table[table["segment"] == segment].drop(columns="segment")
        pd.testing.assert_frame_equal(of_segment.reset_index(drop=True), alone.table())


def test_segments_of_other_users_or_of_one_twice_are_refused():
    report = evaluate_ranking(lists_of({1: [1]}), holdout_of({1: [1]}), k=1)
    with pytest.raises(InputError, match=r"none of the 1 users .* among the 1 with a segment"):
        report.by_segment(pd.Series({2: "new"}))
    with pytest.raises(InputError, match="user 1 has more than one segment"):
        report.by_segment(pd.Series(["new", "old"], index=[1, 1]))
