"""Users without a history: what their attributes say, and that nothing is made up."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.evaluation.ranking import compare, evaluate_ranking
from prodgen_rec.ids import IdMap
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, NewcomerTaste, Popularity
from prodgen_rec.preferences.topk import ItemIndex

N_USERS, N_NEW, N_ITEMS = 300, 100, 60


def people(n=N_USERS + N_NEW, seed=0):
    """A country of three, a channel of two, each unknown of a tenth."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "user_id": [f"u{i:03}" for i in range(n)],
            "country": rng.choice(["de", "fr", "it"], n, p=[0.5, 0.3, 0.2]),
            "channel": rng.choice(["shop", "online"], n),
        }
    )
    for name in ("country", "channel"):
        table.loc[rng.random(n) < 0.1, name] = None
    return table


def taken(table, seed=1):
    """Every country takes a third of the items, every channel a half of them, and noise."""
    rng = np.random.default_rng(seed)
    index = np.arange(N_ITEMS)
    of_country = table["country"].map({"de": 0, "fr": 1, "it": 2}).to_numpy()[:, None] == index % 3
    of_channel = table["channel"].map({"shop": 0, "online": 1}).to_numpy()[:, None] == index // 30
    chance = 0.02 + 0.1 * of_country + 0.1 * of_channel + 0.2 * (of_country & of_channel)
    return rng.random(chance.shape) < chance


def interactions(users, dense):
    matrix = csr_array(dense.astype(np.float32))
    return Interactions(IdMap.of(users), IdMap.of(range(N_ITEMS)), matrix)


@pytest.fixture(scope="module")
def table():
    return people()


@pytest.fixture(scope="module")
def log(table):
    """What the first of them took; the others are new."""
    return interactions(table["user_id"][:N_USERS], taken(table)[:N_USERS])


@pytest.fixture(scope="module")
def als(log):
    return ALS(8, regularization=1.0, alpha=5.0, iterations=10).fit(log)


@pytest.fixture(scope="module")
def taste(als, table):
    return NewcomerTaste.fit(als, table)


def recommended(als, taste, table, n=10):
    vectors = taste.vectors_of(table["user_id"], table)
    nothing = interactions(table["user_id"], np.zeros((len(table), N_ITEMS)))
    return als.with_users(nothing, vectors).recommend(None, n)


# The regression


def design(table):
    """φ, by the book: rows that are taught, a column for each value, centred where it is known."""
    columns = []
    for name in ("country", "channel"):
        known = table[name].notna()
        for value in sorted(table.loc[known, name].unique()):
            has = (table[name] == value).astype(float)
            columns.append((has - known * has.sum() / known.sum()).to_numpy())
    return np.stack(columns, axis=1)


def solved(phi, x, ridge, rows=slice(None)):
    """Intercept and coefficients of ridge regression on some rows."""
    with_one = np.column_stack([np.ones(len(phi)), phi])[rows]
    penalty = ridge * np.diag([0.0] + [1.0] * phi.shape[1])
    return np.linalg.solve(with_one.T @ with_one + penalty, with_one.T @ x[rows])


@pytest.fixture(scope="module")
def taught(als, table):
    """Attributes and vectors of the users who are learned from."""
    known = table[:N_USERS][["country", "channel"]].notna().any(axis=1).to_numpy()
    rows = known & als.user_vectors_.any(axis=1)
    return table[:N_USERS][rows], als.user_vectors_[rows].astype(float)


def test_vectors_solve_the_normal_equations(taste, taught):
    known, x = taught
    phi = design(known)
    coefficients = solved(phi, x, taste.ridge)
    found = taste.vectors_of(known["user_id"], known)
    np.testing.assert_allclose(found, coefficients[0] + phi @ coefficients[1:], atol=1e-5)
    np.testing.assert_allclose(taste.mean, x.mean(axis=0), atol=1e-6)


def test_the_penalty_is_the_one_by_which_others_tell_a_user_best(taste, taught):
    known, x = taught
    phi = design(known)

    def error(ridge):
        residuals = []
        for left_out in range(len(x)):
            rows = np.arange(len(x)) != left_out
            coefficients = solved(phi, x, ridge, rows)
            residuals.append(x[left_out] - coefficients[0] - phi[left_out] @ coefficients[1:])
        return np.square(residuals).sum()

    step = 10**0.25
    assert 0.1 < taste.ridge < 1e6
    assert error(taste.ridge) < min(error(taste.ridge * step), error(taste.ridge / step))


def test_attributes_that_tell_nothing_are_not_believed(als, table):
    rng = np.random.default_rng(7)
    noise = pd.DataFrame({"user_id": table["user_id"], "star": rng.integers(12, size=len(table))})
    taste = NewcomerTaste.fit(als, noise)
    assert taste.ridge >= 1000
    assert np.linalg.norm(taste.effects, axis=1).max() < 0.05 * np.linalg.norm(taste.mean)


# What newcomers get


def test_newcomers_get_what_their_like_take(als, log, taste, table):
    """Better than popular items, and than those of their country alone."""
    new = table[N_USERS:]
    wanted = taken(table)[N_USERS:]
    rows, items = np.nonzero(wanted)
    holdout = pd.DataFrame({"user_id": new["user_id"].to_numpy()[rows], "item_id": items})
    nothing = interactions(new["user_id"], np.zeros((N_NEW, N_ITEMS)))
    report = evaluate_ranking(recommended(als, taste, new), holdout, k=10)
    popular = Popularity().fit(log).recommend(None, 10, history=nothing)
    lead = compare(report, evaluate_ranking(popular, holdout, k=10), "ndcg@10")
    assert lead.low > 0.15
    by_country = NewcomerTaste.fit(als, table.drop(columns="channel"))
    of_country = evaluate_ranking(recommended(als, by_country, new), holdout, k=10)
    assert compare(report, of_country, "ndcg@10").low > 0.02


def test_lists_hold_what_the_country_and_the_channel_like(als, taste):
    new = pd.DataFrame({"user_id": ["a", "b"], "country": ["fr", "it"], "channel": ["shop"] * 2})
    lists = recommended(als, taste, new, 8)
    assert (lists["item_id"] % 3 == np.repeat([1, 2], 8)).mean() > 0.9
    assert (lists["item_id"] < 30).all()


def test_of_whom_nothing_is_known_nothing_is_said(taste):
    new = pd.DataFrame({"user_id": [1, 2, 3], "country": ["es", None, "it"], "channel": None})
    found = taste.vectors_of([3, 2, 1, 4], new)
    assert found[0].any()
    assert not found[1:].any()


def test_an_unknown_attribute_adds_nothing_to_the_others(taste):
    channel = ["online", "online", None]
    new = pd.DataFrame({"user_id": [1, 2, 3], "country": [None, "es", "de"], "channel": channel})
    found = taste.vectors_of(new["user_id"], new)
    online = taste.mean.astype(float) + taste.effects[3]  # de, fr, it, online, shop
    assert np.array_equal(found[0], online.astype(np.float32))
    assert np.array_equal(found[0], found[1])
    of_country = taste.mean.astype(float) + taste.effects[0]
    assert np.array_equal(found[2], of_country.astype(np.float32))


def test_columns_may_come_in_any_order_and_others_beside_them(taste, table):
    other = table[["channel", "country", "user_id"]].assign(shoe_size=44)[::-1]
    one, two = (taste.vectors_of(table["user_id"], users) for users in (table, other))
    assert one.tobytes() == two.tobytes()
    alone = taste.vectors_of(table["user_id"][7:8], table)
    assert alone.tobytes() == one[7].tobytes()


def test_only_values_of_the_fit_are_learned(taste):
    assert taste.vocabulary.values == {"country": ("de", "fr", "it"), "channel": ("online", "shop")}


def test_users_of_the_fit_without_a_preference_teach_nothing(als, log, table, taste):
    """Neither do those who are in the table alone: only the first were learned from."""
    again = NewcomerTaste.fit(als, table[:N_USERS])
    assert again.effects.tobytes() == taste.effects.tobytes()
    more = IdMap.of([*table["user_id"][:N_USERS], "zero"])
    nobody = np.append(als.user_vectors_, np.zeros((1, 8), np.float32), axis=0)
    grown = als.with_users(log.for_users(more.arrow, allow_unknown=True), nobody)
    zero = pd.DataFrame({"user_id": ["zero"], "country": ["de"], "channel": ["shop"]})
    with_zero = NewcomerTaste.fit(grown, pd.concat([table[:N_USERS], zero]))
    assert with_zero.effects.tobytes() == taste.effects.tobytes()


def test_effects_of_other_values_are_refused(taste):
    with pytest.raises(ValueError, match="for 5 values"):
        NewcomerTaste(taste.vocabulary, taste.mean, taste.effects[1:], taste.ridge)


# Other users


def test_the_users_of_the_fit_as_other_users_get_the_same(als, log):
    same = als.with_users(log, als.user_vectors_).recommend(None, 5)
    pd.testing.assert_frame_equal(same, als.recommend(None, 5), check_exact=True)


def test_one_index_serves_all_copies(als, log, monkeypatch):
    """It is made when other items are allowed, not at every call."""
    made = []

    def counted(*arguments):
        made.append(arguments)
        return ItemIndex(*arguments)

    monkeypatch.setattr("prodgen_rec.preferences.vectors.ItemIndex", counted)
    stock, other = range(0, N_ITEMS, 2), range(1, N_ITEMS, 2)
    expected = als.recommend(None, 5, candidates=stock)
    for _ in range(3):
        same = als.with_users(log, als.user_vectors_).recommend(None, 5, candidates=stock)
        pd.testing.assert_frame_equal(same, expected, check_exact=True)
    assert len(made) <= 1
    als.with_users(log, als.user_vectors_).recommend(None, 5, candidates=other)
    assert len(made) <= 2


def test_a_vector_for_each_user_is_expected(als, log):
    with pytest.raises(InputError, match=r"vectors of shape \(299, 8\) came with 300 users"):
        als.with_users(log, als.user_vectors_[1:])


# What is refused


@pytest.mark.parametrize(
    ("users", "error", "complaint"),
    [
        ({"country": ["de"]}, InputError, r"expected a DataFrame with 'user_id' .* got \['count"),
        ({"user_id": ["u001"]}, InputError, "and a column for each attribute"),
        ({"user_id": ["a", "a"], "country": "de"}, InputError, "'a' comes more than once"),
        (
            {"user_id": ["U1", "U2"], "country": "de"},
            InputError,
            r"says something of 0 users .* ids of the fit begin with \['u000'\], of the table "
            r"with \['U1'\]",
        ),
        ({"user_id": ["u001", "u002"], "country": None}, InputError, "something of 0 users"),
        (
            {"user_id": ["u001", "u002"], "country": "de", "town": None},
            ConfigError,
            "'town' has 0 different values in 2 users of the fit",
        ),
    ],
)
def test_a_table_that_teaches_nothing_is_refused(als, users, error, complaint):
    with pytest.raises(error, match=complaint):
        NewcomerTaste.fit(als, pd.DataFrame(users))


def test_a_table_without_an_attribute_of_the_fit_is_refused(taste):
    users = pd.DataFrame({"user_id": ["a"], "country": ["de"], "chanel": ["shop"]})
    text = "the table of users has no column 'channel'; near it: 'chanel'"
    with pytest.raises(ConfigError, match=text):
        taste.vectors_of(["a"], users)


def test_what_is_no_table_is_refused(als):
    with pytest.raises(InputError, match="got str"):
        NewcomerTaste.fit(als, "users.csv")
