"""The synthetic shop: its pictures are told apart, its log shows the planted tastes."""

import hashlib
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from implicit.als import AlternatingLeastSquares
from PIL import Image
from scipy.sparse import csr_matrix
from sklearn.linear_model import RidgeClassifier
from threadpoolctl import threadpool_limits

from prodgen_rec.columns import EVENT_WEIGHTS
from prodgen_rec.datasets import (
    COLORS,
    PATTERNS,
    PRODUCT_TYPES,
    Shop,
    draw_photo,
    make_shop,
    write_shop,
)
from prodgen_rec.datasets.behavior import BREAKAGES, BROKEN_SHARE, holdout_weeks
from prodgen_rec.errors import ConfigError, InputError


@cache
def photo(kind: str, color: str, pattern: str, *, seed: int = 0, size: int = 48) -> np.ndarray:
    return draw_photo(kind, color, pattern, rng=np.random.default_rng(seed), size=size)


def colored(kind: str, color: str, pattern: str) -> np.ndarray:
    """The pixels that turn into something else when only the color does, shape (n, 3)."""
    other = "teal" if color in {"red", "orange", "pink", "white", "yellow", "beige"} else "yellow"
    one, two = (photo(kind, c, pattern).astype(int) for c in (color, other))
    return one[np.abs(one - two).max(axis=2) > 60]


# --- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PRODUCT_TYPES)
def test_solid_products_have_the_color_of_their_name(kind):
    for color, rgb in COLORS.items():
        pixels = colored(kind, color, "solid")
        assert len(pixels) > 0.05 * 48 * 48, color
        assert np.abs(np.median(pixels, axis=0) - rgb).max() < 55, color


@pytest.mark.parametrize("kind", PRODUCT_TYPES)
def test_patterned_products_show_their_color_and_a_second_one(kind):
    for color, pattern in product(COLORS, PATTERNS[1:]):
        patterned, solid = (photo(kind, color, p).astype(int) for p in (pattern, "solid"))
        second = np.abs(patterned - solid).max(axis=2) > 30
        body = len(colored(kind, color, "solid"))
        assert 0.08 < second.sum() / body < 0.8, (color, pattern)


@pytest.mark.parametrize("kind", PRODUCT_TYPES)
def test_products_lie_inside_the_frame_on_a_light_ground(kind):
    for seed in range(8):
        picture = photo(kind, "black", "solid", seed=seed)
        dark = np.argwhere(picture.max(axis=2) < 150)
        low, high = dark.min(axis=0), dark.max(axis=0)
        assert 0.6 < (high - low + 1).max() / 48 < 0.9
        # The toe cap of a sneaker is white and shifts what is dark.
        assert np.abs((low + high) / 2 - 23.5).max() < 5
        edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert edge.min() > 205


@pytest.mark.parametrize("kind", PRODUCT_TYPES)
def test_white_products_stand_out_from_the_ground(kind):
    picture = photo(kind, "white", "solid", size=64).astype(int)
    ground = np.median(picture[:4].reshape(-1, 3), axis=0)
    assert (np.abs(picture - ground).max(axis=2) > 25).mean() > 0.05


def test_a_linear_classifier_tells_the_types_apart():
    rng = np.random.default_rng(0)
    names = np.repeat(PRODUCT_TYPES, 40)
    photos = [
        Image.fromarray(
            draw_photo(n, rng.choice(list(COLORS)), rng.choice(PATTERNS), rng=rng, size=64)
        )
        for n in names
    ]
    pixels = np.stack(
        [np.asarray(p.resize((32, 32), Image.Resampling.BOX)).ravel() for p in photos]
    )
    held_out = np.arange(len(names)) % 5 == 0
    model = RidgeClassifier(10.0).fit(pixels[~held_out] / 255, names[~held_out])
    assert model.score(pixels[held_out] / 255, names[held_out]) >= 0.95


def test_same_seed_same_photo():
    assert np.array_equal(photo("hat", "red", "dots", seed=3), photo("hat", "red", "dots", seed=3))
    assert not np.array_equal(photo("hat", "red", "dots"), photo("hat", "red", "dots", seed=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("boat", "red", "solid"), "product type 'boat' is unknown; known are tee, dress"),
        (("tee", "mauve", "solid"), "color 'mauve' is unknown; known are black, white"),
        (("tee", "red", "paisley"), "pattern 'paisley' is unknown; known are solid, stripes"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        photo(*arguments)


def test_tiny_photos_are_refused():
    with pytest.raises(ConfigError, match="photo size is 8 pixels; it must be at least 16"):
        photo("tee", "red", "solid", size=8)


# --- behaviour --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(n_items=600, n_users=800, photo_size=16, seed=1)


@pytest.fixture(scope="module")
def good(shop) -> pd.DataFrame:
    """All good rows, with what is known about their item and their user."""
    broken = np.logical_or.reduce([shop.events[c] == value for c, value in BREAKAGES])
    log = pd.concat([shop.events[~broken], shop.holdout], ignore_index=True)
    log["timestamp"] = pd.to_datetime(log["timestamp"], utc=True)
    items = shop.items[["item_id", "type", "color"]]
    return log.merge(items, on="item_id").merge(
        tastes(shop), on="user_id", suffixes=("", "_liked"), validate="m:1"
    )


def tastes(shop: Shop) -> pd.DataFrame:
    """A row per user: first_type, second_type, color."""
    name = shop.truth["attribute"].where(shop.truth["share"] != 0.54, "first_type")
    wide = shop.truth.assign(name=name.replace("type", "second_type"))
    return wide.pivot_table("value", "user_id", "name", aggfunc="first").reset_index()


def test_purchases_show_the_planted_tastes(good):
    bought = good[good["event"] == "purchase"]
    first = (bought["type"] == bought["first_type"]).mean()
    second = (bought["type"] == bought["second_type"]).mean()
    # Planted: 54 % and 36 %, and a twelfth of the remaining 10 % by chance.
    assert first == pytest.approx(0.548, abs=0.03)
    assert second == pytest.approx(0.368, abs=0.03)
    # Planted: 80 % of 90 %, and a fourteenth of the rest by chance.
    assert (bought["color"] == bought["color_liked"]).mean() == pytest.approx(0.74, abs=0.03)


def test_users_do_enough_to_be_known(shop, good):
    train = good[good["timestamp"] < pd.Timestamp(shop.holdout["timestamp"].min())]
    assert 20 <= train.groupby("user_id").size().median() <= 35
    bought = train[train["event"] == "purchase"].groupby("user_id").size()
    assert bought.reindex(shop.truth["user_id"].unique(), fill_value=0).median() >= 6
    assert set(shop.holdout["user_id"]) <= set(train["user_id"]) == set(shop.truth["user_id"])


def test_popularity_and_activity_are_skewed(good):
    for column in ("item_id", "user_id"):
        counts = good[column].value_counts()
        top_tenth = counts.iloc[: len(counts) // 10].sum() / counts.sum()
        assert 0.2 < top_tenth < 0.5, column


def test_the_funnel_narrows_and_keeps_its_order(good):
    counts = good["event"].value_counts()
    assert counts.index.tolist() == ["view", "cart", "purchase", "wishlist", "return"]
    assert set(counts.index) <= set(EVENT_WEIGHTS)
    first = good.groupby(["user_id", "item_id", "event"])["timestamp"].min().unstack()
    bought = first[first["purchase"].notna()]
    assert (bought["view"] < bought["cart"]).all()
    assert (bought["cart"] < bought["purchase"]).all()
    returned = first[first["return"].notna()]
    assert (returned["return"] - returned["purchase"]).min() >= pd.Timedelta(days=2)


def test_shoppers_come_in_evenings_and_at_weekends(good):
    views = good.loc[good["event"] == "view", "timestamp"].dt
    assert (views.day_of_week >= 5).mean() > 0.36  # 2/7 = 0.29 without a rhythm
    assert views.hour.between(18, 22).mean() > 0.4  # 5/24 = 0.21 without a rhythm


def test_broken_rows_are_as_many_as_promised(shop):
    found = [int((shop.events[column] == value).sum()) for column, value in BREAKAGES]
    n_good = len(shop.events) - sum(found)
    assert sum(found) == round(BROKEN_SHARE * n_good)
    assert max(found) - min(found) <= 1
    assert not any((shop.holdout[column] == value).any() for column, value in BREAKAGES)


def test_the_holdout_follows_the_log(shop, good):
    cutoff = pd.Timestamp(shop.holdout["timestamp"].min())
    train = good["timestamp"] < cutoff
    assert cutoff.floor("D") == pd.Timestamp("2025-03-03", tz="UTC") + pd.Timedelta(weeks=8)
    assert len(shop.holdout) == (~train).sum()
    assert [holdout_weeks(n) for n in (2, 5, 10, 20)] == [1, 1, 2, 4]


def test_the_truth_names_what_users_want_in_the_words_of_the_items(shop):
    assert shop.truth.columns.tolist() == ["user_id", "attribute", "value", "share"]
    assert shop.truth["attribute"].tolist() == ["type", "type", "color"] * 800
    for attribute, wanted in shop.truth.groupby("attribute"):
        assert set(wanted["value"]) == set(shop.items[attribute])
    shares = shop.truth.groupby("attribute")["share"].unique()
    assert shares.map(list).to_dict() == {"type": [0.54, 0.36], "color": [0.72]}


def test_a_factorization_finds_the_tastes(shop, good):
    train = good[(good["timestamp"] < pd.Timestamp(shop.holdout["timestamp"].min()))]
    truth = tastes(shop)
    user = pd.Index(truth["user_id"]).get_indexer(train["user_id"])
    item = pd.Index(shop.items["item_id"]).get_indexer(train["item_id"])
    weights = train["event"].map(EVENT_WEIGHTS).to_numpy()
    matrix = csr_matrix((weights, (user, item)), shape=(len(truth), len(shop.items)))
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(64, alpha=2, random_state=0, num_threads=1)
        model.fit(matrix, show_progress=False)
    top, _ = model.recommend(np.arange(len(truth)), matrix, N=5)
    types, colors = (shop.items[c].to_numpy(dtype=object)[top] for c in ("type", "color"))
    liked = truth[["first_type", "second_type", "color"]].to_numpy(dtype=object)
    # By chance: two types in twelve = 17 %, one color in fourteen = 7 %.
    assert ((types == liked[:, :1]) | (types == liked[:, 1:2])).mean() > 0.6
    assert (colors == liked[:, 2:]).mean() > 0.4


def test_the_assortment_covers_every_type_in_every_color(shop):
    cells = shop.items.groupby(["type", "color"]).size()
    assert len(cells) == len(PRODUCT_TYPES) * len(COLORS)
    assert cells.max() - cells.min() <= 1
    assert set(shop.items["pattern"]) == set(PATTERNS)
    assert shop.items["price"].between(2, 999).all()


# --- files ------------------------------------------------------------------------------------


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*.*"))
    }


def test_same_seed_same_bytes(tmp_path):
    one, two, other = (
        hashes(write_shop(tmp_path / name, n_items=40, n_users=30, n_weeks=3, seed=seed).folder)
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    )
    assert one == two
    assert set(one) != set(other)  # other photos are missing
    assert not set(one.values()) & set(other.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other", "two"]


def test_files_hold_what_memory_holds(tmp_path):
    files = write_shop(tmp_path / "shop", n_items=60, n_users=20, n_weeks=3, seed=2)
    shop = make_shop(n_items=60, n_users=20, n_weeks=3, seed=2)
    for file, table in (
        (files.items, shop.items),
        (files.events, shop.events),
        (files.holdout, shop.holdout),
        (files.truth, shop.truth),
    ):
        read = pd.read_csv(file, keep_default_na=False)
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
    titles = " ".join(shop.items["title"])
    assert all(mark in titles for mark in ('"', "<b>", "&", ",", "é"))


def test_photos_are_those_of_the_items_but_for_a_few(tmp_path):
    files = write_shop(tmp_path / "shop", n_items=48, n_users=10, n_weeks=2, seed=3)
    shop = make_shop(n_items=48, n_users=10, n_weeks=2, seed=3)
    missing, truncated = 0, 0
    for item_id, expected in zip(shop.items["item_id"], shop.photos, strict=True):
        file = files.photos / f"{item_id}.jpg"
        if not file.exists():
            missing += 1
            continue
        with Image.open(file) as image:
            try:
                read = np.asarray(image.convert("RGB"), dtype=int)
            except OSError:
                truncated += 1
                continue
        assert np.abs(read - expected).mean() < 3
    assert (missing, truncated) == (1, 1)


def test_a_full_folder_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        write_shop(tmp_path, n_items=12, n_users=5)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    files = write_shop(tmp_path, n_items=12, n_users=5)
    assert files.folder == tmp_path
    assert files.events.exists()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_items": 11}, "n_items is 11; a shop needs at least 12"),
        ({"n_users": 0}, "n_users is 0; a shop needs at least 1"),
        ({"n_weeks": 1}, "n_weeks is 1; a shop needs at least 2"),
    ],
)
def test_too_small_a_shop_is_refused(tmp_path, sizes, message):
    with pytest.raises(ConfigError, match=message):
        write_shop(tmp_path / "shop", **sizes)
    assert not list(tmp_path.iterdir())
