"""The personalizer on a shop whose truth is known."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from settings import PLAIN
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from prodgen_rec import Personalizer, PersonalizerConfig, read_catalog
from prodgen_rec.bundle import verified_bundle, write_bundle
from prodgen_rec.errors import (
    BundleCorruptError,
    CatalogError,
    ConfigError,
    InputError,
    NotFittedError,
    UnknownIdError,
)
from prodgen_rec.personalizer import Imagined

N = 4
USERS = [f"user-{number:05d}" for number in range(0, 60, 5)]


# Planted taste


@pytest.fixture(scope="module")
def types(small_shop) -> pd.Series:
    """Type of each item."""
    return pd.read_csv(small_shop.items).set_index("item_id")["type"]


@pytest.fixture(scope="module")
def favorites(small_shop) -> Mapping[str, set[str]]:
    """The two planted types of each user."""
    truth = pd.read_csv(small_shop.truth)
    return truth[truth["attribute"] == "type"].groupby("user_id")["value"].agg(set)


@pytest.fixture(scope="module")
def chance(types, favorites) -> float:
    """Mean share of the catalogue that is of a user's planted types."""
    return float(np.mean([types.isin(wanted).mean() for wanted in favorites]))


@pytest.fixture(scope="module")
def imagined(fitted):
    """Pictures for everybody by guidance, made once."""
    return cache(lambda guidance: fitted.imagine(None, N, guidance=guidance))


@pytest.fixture(scope="module")
def type_of_pixels(fitted, types):
    """A classifier of pictures that has seen nothing but the photos of the catalogue."""
    ids = fitted.catalog_.with_photo()
    photos = fitted.catalog_.photos_of(ids)
    classifier = make_pipeline(PCA(40, random_state=0), LogisticRegression(max_iter=2000))
    classifier.fit(halved(photos), types[ids])
    return lambda images: classifier.predict(halved(images))


def halved(images: np.ndarray) -> np.ndarray:
    """Pixels of pictures at half their side, (n, features)."""
    n, side = images.shape[:2]
    blocks = images.reshape(n, side // 2, 2, side // 2, 2, 3) / 255
    return blocks.mean(axis=(2, 4)).reshape(n, -1)


def agreement(user_ids: Any, shown: Any, favorites: Mapping[str, set[str]]) -> float:
    """Share of what users are shown that is of their planted types."""
    return float(
        np.mean([one in favorites[user] for user, one in zip(user_ids, shown, strict=True)])
    )


def test_recommended_items_are_of_the_planted_types(fitted, types, favorites, chance):
    lists = fitted.recommend(None, 8)
    assert agreement(lists["user_id"], types[lists["item_id"]], favorites) > 2.5 * chance


def test_pictures_show_the_planted_types(imagined, types, favorites, chance, type_of_pixels):
    made = imagined(None)
    users = made.table["user_id"]
    assert agreement(users, types[made.table["item_id"]], favorites) > 3.5 * chance
    assert agreement(users, type_of_pixels(made.images), favorites) > 3.5 * chance


def test_without_guidance_the_taste_does_not_show(
    imagined, types, favorites, chance, type_of_pixels
):
    made = imagined(0.0)
    users = made.table["user_id"]
    assert agreement(users, types[made.table["item_id"]], favorites) < 1.4 * chance
    assert agreement(users, type_of_pixels(made.images), favorites) < 1.4 * chance


def test_the_default_guidance_is_that_of_the_settings(fitted, imagined):
    same(imagined(None), imagined(fitted.config.imagery.guidance))


# The table of pictures


def test_pictures_are_ranked_by_the_score_of_their_nearest_item(fitted, imagined):
    table = imagined(None).table
    assert list(table) == ["user_id", "rank", "item_id", "score", "similarity"]
    assert table["rank"].tolist() == list(range(1, N + 1)) * 200
    assert (table.groupby("user_id")["score"].diff().dropna() <= 0).all()
    assert table["similarity"].between(-1, 1).all()
    recommender = fitted.recommender_
    users = recommender.users_.find(table["user_id"])
    items = recommender.items_.find(table["item_id"])
    products = (recommender.user_vectors_[users] * recommender.item_vectors_[items]).sum(axis=1)
    expected = np.where(items >= 0, products, 0)
    assert table["score"].to_numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["fitted", "odd"])
def test_a_photo_is_nearest_to_its_own_item(name, request):
    personalizer = request.getfixturevalue(name)
    ids = personalizer.catalog_.with_photo()[::7]
    latents = personalizer.image_model_.encode(personalizer.catalog_.photos_of(ids))
    items = personalizer._fitted().items
    nearest, similarity = items.nearest(latents)
    assert items.items.take(nearest).tolist() == ids.tolist()
    assert similarity == pytest.approx(1, abs=1e-6)


def test_pictures_of_a_user(imagined):
    made = imagined(None)
    assert np.array_equal(made.of("user-00001"), made.images[N : 2 * N])
    assert made.of("user-99999").shape == (0, 32, 32, 3)


# The same to the last bit


def same(one: Imagined, other: Imagined) -> None:
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    assert np.array_equal(one.images, other.images)


def part(made: Imagined, user_ids: list[Any]) -> Imagined:
    """The pictures of some users, in their order."""
    places = np.concatenate([np.flatnonzero(made.table["user_id"] == one) for one in user_ids])
    return Imagined(made.table.iloc[places].reset_index(drop=True), made.images[places])


def test_pictures_depend_on_neither_order_nor_company(fitted, imagined):
    everybody = imagined(None)
    same(fitted.imagine(USERS, N), part(everybody, USERS))
    same(fitted.imagine(USERS[::-1], N), part(everybody, USERS[::-1]))
    for user in USERS[:3]:
        same(fitted.imagine([user], N), part(everybody, [user]))


def test_recommendations_depend_on_neither_order_nor_company(fitted):
    everybody = fitted.recommend(None, 5)
    some = fitted.recommend(USERS[::-1], 5)
    expected = pd.concat([everybody[everybody["user_id"] == user] for user in USERS[::-1]])
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True), check_exact=True)


def test_another_seed_makes_other_pictures(fitted):
    one, other = (fitted.imagine(USERS, N, seed=seed).images for seed in (0, 1))
    assert all((a != b).any() for a, b in zip(one, other, strict=True))


def log(**histories: list[str]) -> pd.DataFrame:
    """Purchases by user."""
    pairs = [(user, item) for user, items in histories.items() for item in items]
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    return table.assign(event="purchase", timestamp=pd.Timestamp("2025-05-05", tz="UTC"))


def test_an_id_is_the_same_user_as_text_and_as_a_number(fitted):
    as_text = log(**{"17": ["SKU-00001", "SKU-00013"], "4": ["SKU-00002"]})
    as_number = as_text.astype({"user_id": "int64"})
    one, other = (fitted.imagine(None, N, events=table) for table in (as_text, as_number))
    assert other.table["user_id"].dtype == np.int64
    pictures = [other.of(17), other.of(4)]
    assert np.array_equal(pictures, [one.of("17"), one.of("4")])
    asked = fitted.imagine(["17"], N, events=as_number)
    assert np.array_equal(asked.images, pictures[0])


# Histories


def test_folding_in_the_log_of_the_fit_gives_the_vectors_of_the_fit(fitted, small_shop):
    user_ids, vectors = fitted.fold_in(small_shop.events)
    assert user_ids.tolist() == fitted.recommender_.users_.ids.tolist()
    assert np.array_equal(vectors, fitted.recommender_.user_vectors_)


def test_newer_events_count_as_seen(fitted, small_shop):
    (first,) = fitted.recommend(USERS[:1], 1)["item_id"]
    events = pd.read_csv(small_shop.events)
    bought = log(**{USERS[0]: [first]}).astype({"timestamp": str})
    newer = pd.concat([events[events["user_id"] == USERS[0]], bought])
    lists = fitted.recommend(USERS[:1], 100, events=newer)
    assert first not in set(lists["item_id"])
    again = fitted.recommend(USERS[:1], 100, events=newer, exclude_seen=False)
    assert first in set(again["item_id"])


def test_a_user_who_was_not_in_the_fit_is_served_by_events(fitted, types):
    mugs = types.index[types == "mug"][:5].tolist()
    events = log(newcomer=mugs)
    lists = fitted.recommend(["newcomer"], 5, events=events)
    assert (types[lists["item_id"]] == "mug").mean() >= 0.6
    made = fitted.imagine(None, 8, events=events)
    assert (types[made.table["item_id"]] == "mug").mean() >= 0.6


def test_what_a_user_may_get_can_be_limited(fitted, types):
    mugs = types.index[types == "mug"].tolist()
    lists = fitted.recommend(USERS, 3, candidates=mugs, blocked=mugs[:4], exclude_seen=False)
    assert set(lists["item_id"]) <= set(mugs[4:])


# Users without a usable history

COLD = "cold user"


def test_a_user_without_a_history_is_refused(fitted):
    text = (
        r"2 of 3 users have no usable history, the first is 'cold user': no positive event on an "
        r"item that the fit knew; leave them out, pass their events, or .* cold='popular'"
    )
    for serve in (fitted.recommend, fitted.imagine):
        with pytest.raises(InputError, match=text):
            serve([USERS[0], COLD, "nobody"], 2)
    with pytest.raises(InputError, match="1 of 1 users have no usable history, the first is 'u'"):
        fitted.recommend(None, 2, events=log(u=["an item that the fit never saw"]))
    with pytest.raises(ConfigError, match="cold = 'warm': expected 'error' or 'popular'"):
        fitted.recommend(USERS, 2, cold="warm")


def test_cold_users_get_the_popular_items(fitted):
    history = fitted.recommender_.interactions_
    n_users = np.bincount(history.matrix.indices[history.matrix.data > 0])
    lists = fitted.recommend([COLD, "nobody"], 7, cold="popular")
    assert lists["user_id"].tolist() == [COLD] * 7 + ["nobody"] * 7
    assert lists["score"].tolist() == np.sort(n_users)[::-1][:7].tolist() * 2
    assert lists.loc[0, "item_id"] == history.items.take([n_users.argmax()])[0]


def test_cold_users_get_pictures_without_a_preference(fitted, imagined):
    made = fitted.imagine([COLD], N, cold="popular")
    assert (made.table["score"] == 0).all()
    same(made, fitted.imagine([COLD], N, cold="popular", guidance=0))
    warm, unguided = part(imagined(None), USERS[:1]), part(imagined(0.0), USERS[:1])
    assert (warm.images != unguided.images).any()


def test_a_mixture_keeps_the_order_asked_for(fitted, imagined):
    asked = [COLD, *USERS[:2], "nobody", USERS[2]]
    lists = fitted.recommend(asked, 3, cold="popular")
    assert lists["user_id"].tolist() == np.repeat(asked, 3).tolist()
    assert lists["rank"].tolist() == [1, 2, 3] * 5
    for user in USERS[:3]:
        own = lists[lists["user_id"] == user].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, fitted.recommend([user], 3))
    made = fitted.imagine(asked, N, cold="popular")
    assert made.table["user_id"].tolist() == np.repeat(asked, N).tolist()
    same(part(made, USERS[:3]), part(imagined(None), USERS[:3]))


@pytest.fixture(scope="module")
def described(small_shop) -> pd.DataFrame:
    """The best type of each user, and a lover of mugs and a stranger who are no users yet."""
    truth = pd.read_csv(small_shop.truth)
    first = truth[truth["attribute"] == "type"].groupby("user_id")["value"].first()
    users = first.rename("hobby").reset_index()
    more = pd.DataFrame({"user_id": [COLD, "nobody"], "hobby": ["mug", None]})
    return pd.concat([users, more], ignore_index=True)


@pytest.fixture(scope="module")
def welcoming(bundle, described) -> Personalizer:
    """The personalizer, which knows what hobbies say."""
    return Personalizer.load(bundle).learn_newcomers(described)


def test_newcomers_are_served_by_what_is_known_of_them(welcoming, described, types, chance):
    lists = welcoming.recommend([COLD], 8, cold=described)
    assert (types[lists["item_id"]] == "mug").mean() > 0.8
    made = welcoming.imagine([COLD], 16, cold=described)
    assert (types[made.table["item_id"]] == "mug").mean() > 2.5 * chance
    assert (made.table["score"] > 0).any()


def test_newcomers_of_whom_nothing_is_known_are_served_as_before(welcoming, fitted, described):
    for table in (described, described[:0]):
        lists = welcoming.recommend(["nobody"], 5, cold=table)
        pd.testing.assert_frame_equal(lists, fitted.recommend(["nobody"], 5, cold="popular"))
    same(
        welcoming.imagine(["nobody"], N, cold=described),
        fitted.imagine(["nobody"], N, cold="popular"),
    )


def test_who_has_a_history_is_not_judged_by_attributes(welcoming, fitted, described):
    asked = [COLD, *USERS[:2], "nobody", USERS[2]]
    other = described.assign(hobby="mug")
    lists = welcoming.recommend(asked, 3, cold=other)
    assert lists["user_id"].tolist() == np.repeat(asked, 3).tolist()
    warm = lists[lists["user_id"].isin(USERS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(warm, fitted.recommend(USERS[:3], 3))


def test_newcomers_never_get_what_they_returned(welcoming, described, types):
    mugs = types.index[types == "mug"].tolist()
    events = log(**{COLD: mugs[:5]}).assign(event="return")
    lists = welcoming.recommend([COLD], 20, events=events, cold=described)
    assert not set(lists["item_id"]) & set(mugs[:5])
    assert set(lists["item_id"]) & set(mugs[5:])


def test_a_bundle_keeps_what_was_learned_of_newcomers(welcoming, described, tmp_path):
    welcoming.save(tmp_path / "bundle")
    again = Personalizer.load(tmp_path / "bundle")
    asked = [COLD, "nobody", USERS[0]]
    lists = (one.recommend(asked, 5, cold=described) for one in (welcoming, again))
    pd.testing.assert_frame_equal(*lists, check_exact=True)
    same(*(one.imagine([COLD], N, cold=described) for one in (welcoming, again)))


def test_effects_that_are_not_of_the_known_values_are_refused(welcoming, tmp_path):
    welcoming.save(tmp_path / "bundle")
    with verified_bundle(tmp_path / "bundle") as (folder, content):
        content["user_attributes"]["hobby"].pop()
        all_but = shutil.ignore_patterns("bundle.json")
        copied = partial(shutil.copytree, folder, dirs_exist_ok=True, ignore=all_but)
        write_bundle(tmp_path / "other", content, copied)
    with pytest.raises(BundleCorruptError, match="does not fit the attributes of users"):
        Personalizer.load(tmp_path / "other")


def test_a_table_of_users_needs_something_learned(fitted, described):
    for serve in (fitted.recommend, fitted.imagine):
        with pytest.raises(InputError, match="call learn_newcomers with a table of users"):
            serve([COLD], 2, cold=described)


def test_a_user_is_cold_whose_vector_is_zero(fitted):
    catalog_ids = fitted.catalog_.items.ids
    events = log(a=[catalog_ids[0]], b=["no such item"], c=[catalog_ids[3], "nor this"])
    returned = log(d=[catalog_ids[0]], c=[catalog_ids[3]]).assign(event="return")
    history = fitted.interactions(pd.concat([events, returned]))
    assert history.users.ids.tolist() == ["a", "b", "c", "d"]
    assert fitted.is_cold(history).tolist() == [False, True, True, True]
    assert (fitted.recommender_.fold_in(history).any(axis=1) == ~fitted.is_cold(history)).all()


def test_nobody_gets_nothing(fitted):
    assert fitted.recommend([], 3).empty
    made = fitted.imagine([], 3)
    assert made.table.empty
    assert made.images.shape == (0, 32, 32, 3)


# What is refused


@pytest.mark.parametrize("n", [0, -1, 2.5, "4", None])
def test_a_wrong_number_is_refused(fitted, n):
    with pytest.raises(InputError, match=f"n = {n!r}: expected a whole number of items"):
        fitted.recommend(USERS, n)
    with pytest.raises(InputError, match=f"n = {n!r}: expected a whole number of pictures"):
        fitted.imagine(USERS, n)


def test_more_items_than_there_are_cannot_be_recommended(fitted):
    with pytest.raises(InputError, match="235"):
        fitted.recommend(USERS, 236, exclude_seen=False)
    with pytest.raises(InputError, match=r"'user-00000'"):
        fitted.recommend(USERS[:1], 235)


def test_users_named_twice_or_of_two_kinds_are_refused(fitted):
    with pytest.raises(InputError, match="1 of the 3 users are named more than once"):
        fitted.imagine([USERS[0], USERS[1], USERS[0]], 1)
    with pytest.raises(InputError, match="users: ids mix int and str"):
        fitted.imagine([USERS[0], 7], 1)
    with pytest.raises(InputError, match=r"users: expected several ids, got 'user-00000'"):
        fitted.imagine(USERS[0], 1)


@pytest.mark.parametrize(
    "use",
    [
        lambda new: new.recommend([1], 1),
        lambda new: new.imagine([1], 1),
        lambda new: new.fold_in(log(a=["b"])),
        lambda new: new.is_cold(log(a=["b"])),
        lambda new: new.learn_newcomers(pd.DataFrame()),
        lambda new: new.save("nowhere"),
        lambda new: new.training_logs(),
        lambda new: new.without_photo(),
        lambda new: new.recommender_,
        lambda new: new.catalog_,
        lambda new: new.image_model_,
    ],
)
def test_an_unfitted_personalizer_says_so(use):
    with pytest.raises(NotFittedError, match="this Personalizer has not been fitted; call fit or"):
        use(Personalizer())


def test_both_budgets_at_once_are_refused(small_shop, fitted):
    with pytest.raises(ConfigError, match="either steps or minutes, and not both"):
        Personalizer().fit(small_shop.events, fitted.catalog_, steps=1, minutes=1)


def test_photos_of_another_size_are_refused(small_shop, fitted):
    text = "have 32 pixels a side, and the setting imagery.size is 64; read .* with size=64"
    with pytest.raises(CatalogError, match=text):
        Personalizer().fit(small_shop.events, fitted.catalog_, steps=1)


def test_a_log_of_other_items_is_refused(fitted):
    events = log(a=["0108775015", "0110065001"])
    text = (
        "none of the 2 items of the log has a photo in the catalogue; ids of the log look like "
        "'0108775015', of the catalogue like 'SKU-00000'"
    )
    with pytest.raises(CatalogError, match=text):
        Personalizer(fitted.config).fit(events, fitted.catalog_, steps=1)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"imagery": {"gidance": 3}}, r"setting imagery\.gidance = 3: extra inputs are not"),
        ({"imagery": {"size": 48}}, r"setting imagery\.size = 48: .* must be 16, 32, 64 or 128"),
        ({"half_life_days": 0}, "setting half_life_days = 0: input should be greater than 0"),
        ({"preferences": {"factors": 0}}, "setting preferences = .*factors = 0: expected a whole"),
        ({"learned_from": ["half"]}, "learned_from.0 = 'half': input should be 'full', 'leave"),
    ],
)
def test_a_wrong_setting_is_refused(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PersonalizerConfig.parse(settings)


# A log and a catalogue that fit together only in part


@pytest.fixture(scope="module")
def odd() -> Personalizer:
    """Number ids, photos in no order, an item without photo, photos without events."""
    rng = np.random.default_rng(5)
    photos = {item: rng.integers(0, 255, (16, 16, 3), np.uint8) for item in rng.permutation(40)}
    items = pd.DataFrame({"item_id": np.arange(42)})  # 40 and 41 have no photo
    events = pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, 300),
            "item_id": rng.choice([*range(5, 41), 99], 300),
            "event": "purchase",
            "timestamp": pd.Timestamp("2025-05-05", tz="UTC"),
        }
    )
    settings = PersonalizerConfig.parse(
        {
            "learned_from": ["leave_one_out"],
            "preferences": {"factors": 4, "iterations": 3},
            "imagery": PLAIN | {"size": 16, "width": 4, "latent_channels": 1, "prior_width": 8},
        }
    )
    catalog = read_catalog(items, photos, size=16)
    return Personalizer(settings, seed=1).fit(events, catalog, steps=4, progress=False)


def test_features_bring_new_items_to_those_whom_they_suit(tmp_path):
    """Everyone takes one kind of three, and the first three items are new."""
    rng = np.random.default_rng(6)
    item = rng.integers(3, 40, 3000)
    events = pd.DataFrame({"user_id": rng.integers(0, 30, 3000), "item_id": item})
    events = events[events["user_id"] % 3 == events["item_id"] % 3].assign(
        event="purchase", timestamp=pd.Timestamp("2025-05-05", tz="UTC")
    )
    items = pd.DataFrame({"item_id": np.arange(40), "kind": [*"abc"] * 13 + ["a"]})
    photos = {item: rng.integers(0, 255, (16, 16, 3), np.uint8) for item in range(40)}
    settings = PersonalizerConfig.parse(
        {
            "item_features": {"kind": 20.0},
            "preferences": {"factors": 4},
            "imagery": PLAIN | {"size": 16, "width": 4, "latent_channels": 1, "prior_width": 8},
        }
    )
    model = Personalizer(settings).fit(
        events, read_catalog(items, photos, size=16), steps=4, progress=False
    )
    model.save(tmp_path / "bundle")
    first = Personalizer.load(tmp_path / "bundle").recommend(None, 1, candidates=[0, 1, 2])
    assert (first["item_id"] == first["user_id"] % 3).all()
    newcomer = events[events["user_id"] == 4].assign(user_id=1000)
    assert model.recommend([1000], 1, candidates=[0, 1, 2], events=newcomer)["item_id"][0] == 1


def test_log_items_without_a_photo_are_counted_and_recommended(odd):
    assert list(odd.without_photo()) == [40, 99]  # no photo; not in the catalogue
    lists = odd.recommend(None, 37, exclude_seen=False)
    assert set(lists["item_id"]) == {*range(5, 41), 99}


def test_photos_without_events_can_be_looked_like_and_score_nothing(odd):
    table = odd.imagine(None, 40).table
    assert set(table["item_id"]) <= set(range(40))
    unseen = table[table["item_id"] < 5]
    assert len(unseen)
    assert (unseen["score"] == 0).all()


def test_the_order_of_the_photos_does_not_get_lost_on_disk(odd, tmp_path):
    assert np.diff(odd.catalog_.photo_index).min() < -1  # which is not that of the items
    odd.save(tmp_path / "bundle")
    same(Personalizer.load(tmp_path / "bundle").imagine(None, 3), odd.imagine(None, 3))


def test_a_reloaded_personalizer_serves_the_same(odd, tmp_path):
    odd.save(tmp_path / "bundle")
    loaded = Personalizer.load(tmp_path / "bundle")
    assert loaded.config == odd.config
    assert loaded.training_logs() == {}
    assert list(loaded.without_photo()) == list(odd.without_photo())
    pd.testing.assert_frame_equal(loaded.recommend(None, 5), odd.recommend(None, 5))
    guided = [one.imagine(None, 3, seed=4, guidance=1.5) for one in (loaded, odd)]
    same(*guided)


# Asked for by attributes


def test_whoever_asks_for_a_type_gets_it(fitted, type_of_pixels, types):
    """Whatever these users like best; chance is one in twelve."""
    right = []
    for wanted in types.unique():
        made = fitted.imagine(USERS, N, conditions={"type": wanted}, guidance=1)
        right.append((type_of_pixels(made.images) == wanted).mean())
    assert np.mean(right) > 0.6


def test_a_value_that_no_item_has_is_refused(fitted):
    with pytest.raises(InputError, match="no item had type = 'mugs'; near it: 'mug'"):
        fitted.imagine(USERS, N, conditions={"type": "mugs"})


def test_items_are_illustrated_by_what_they_are(fitted, types, type_of_pixels):
    items = fitted.catalog_.items.ids[:60]
    made = fitted.illustrate(items)
    assert list(made.table["item_id"]) == list(items)
    assert made.table["generated"].all()
    assert (type_of_pixels(made.images) == types[items].to_numpy()).mean() > 0.6
    same_items = fitted.illustrate(items[::-1])
    assert np.array_equal(same_items.images[::-1], made.images)


def test_items_without_a_photo_are_illustrated_unless_others_are_named(odd):
    made = odd.illustrate()
    assert list(made.table["item_id"]) == [40, 41]
    assert made.images.shape == (2, 16, 16, 3)
    with pytest.raises(UnknownIdError, match="1 of 2 items are unknown, the first is 777"):
        odd.illustrate([40, 777])


# No copies of photos


def test_what_is_as_near_to_a_photo_as_its_neighbours_is_no_copy(fitted):
    """The photos themselves are held out from each other, and one in a hundred is nearer."""
    items = fitted._learned.items
    cosines = items._directions @ items._directions.T
    np.fill_diagonal(cosines, -1)
    nearest = cosines.max(axis=1)
    assert items.copy_similarity == pytest.approx(np.quantile(nearest, 0.99), abs=1e-5)
    nearer = nearest > items.copy_similarity + 1e-5  # of a pair that are each other's, one is tied
    assert 0 < nearer.mean() <= 0.013  # 3 of about 240


def test_copies_are_drawn_again_and_counted(fitted, monkeypatch):
    """A model that shows one photo at every third draw."""
    learned, model = fitted._learned, fitted.image_model_
    honest = type(model).sample_latents

    def copying(self, vectors, noise, **options):
        latents = honest(self, vectors, noise, **options)
        latents[noise[:, 0] > 0.43] = learned.item_latents[7]
        return latents

    before = fitted.imagine(USERS, N)
    monkeypatch.setattr(type(model), "sample_latents", copying)
    made = fitted.imagine(USERS, N)
    assert made.n_rejected >= before.n_rejected + len(USERS)
    assert (made.table["similarity"] <= learned.items.copy_similarity).all()
    same(fitted.imagine(USERS[::-1], N), part(made, USERS[::-1]))


def test_a_model_that_can_only_copy_shows_no_copy(fitted, monkeypatch):
    learned, model = fitted._learned, fitted.image_model_

    def copying(self, vectors, noise, **options):
        return learned.item_latents[np.arange(len(noise)) % len(learned.item_latents)].copy()

    monkeypatch.setattr(type(model), "sample_latents", copying)
    made = fitted.imagine(USERS, N)
    assert made.n_rejected == 9 * len(USERS) * N
    assert (made.table["similarity"] <= learned.items.copy_similarity).all()
    assert made.table["similarity"].min() > 0.5  # moved no farther than needed
