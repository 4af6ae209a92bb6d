"""Pictures that are asked for by the attributes of the product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imagery_models import small_config

from prodgen_rec.errors import ConfigError, InputError
from prodgen_rec.imagery import Budget, ConditionalVAE
from prodgen_rec.imagery.attributes import PhotoAttributes
from prodgen_rec.imagery.noise import user_noise
from prodgen_rec.testing.images import planted_world, redness
from prodgen_rec.vocabulary import Vocabulary

TABLE = pd.DataFrame(
    {
        "type": ["shoe", "dress", None, "shoe", "dress"],
        "season": [2024, 2025, 2024, np.nan, 2024],
        "empty": [None] * 5,
    }
)
WORDS = Vocabulary.of(TABLE, ["type", "season"])

# Words


def test_codes_say_what_the_table_says():
    assert WORDS.sizes == (2, 2)
    assert WORDS.values["type"] == ("dress", "shoe")
    assert WORDS.codes(TABLE).tolist() == [[1, 0], [0, 1], [-1, 0], [1, -1], [0, 0]]
    other = pd.DataFrame({"type": ["hat", "shoe"], "season": [2025.0, 1999.0]})
    assert WORDS.codes(other).tolist() == [[-1, 1], [1, -1]]


def test_a_whole_number_is_the_same_word_in_any_column_of_numbers():
    assert WORDS.values["season"] == ("2024", "2025")
    whole = pd.DataFrame({"type": ["shoe"], "season": [2025]})
    assert WORDS.codes(whole).tolist() == [[1, 1]]


def test_a_wish_becomes_codes():
    assert WORDS.asked({}).tolist() == [-1, -1]
    assert WORDS.asked({"type": "shoe"}).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"type": "dres"}, "no item had type = 'dres'; near it: 'dress', of 2"),
        ({"typ": "dress"}, "cannot be asked for by 'typ'.*near it: 'type'"),
    ],
)
def test_a_wish_that_nobody_can_fulfil_is_refused(wanted, complaint):
    with pytest.raises(InputError, match=complaint):
        WORDS.asked(wanted)


def test_a_model_without_attributes_says_how_to_get_them():
    with pytest.raises(InputError, match="name columns of the catalogue in attributes, and fit"):
        Vocabulary().asked({"type": "dress"})


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("typ", "the table of items has no column 'typ'; near it: 'type'"),
        ("empty", "'empty' has 0 different values in 5 items"),
    ],
)
def test_columns_that_cannot_be_asked_for_are_refused(name, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Vocabulary.of(TABLE, [name])


def test_a_column_of_titles_is_refused():
    titles = pd.DataFrame({"title": [f"title {i}" for i in range(600)]})
    with pytest.raises(ConfigError, match="'title' has 600 different values in 600 items"):
        Vocabulary.of(titles, ["title"])


@pytest.mark.parametrize(
    ("codes", "complaint"),
    [
        (np.zeros((2, 2), np.int32), r"codes must be integers \(3, 2\), got int32 \(2, 2\)"),
        (np.zeros((3, 2)), "got float64"),
        (np.array([[0, 0], [1, -1], [0, 2]]), r"row 2 is \[0, 2\]"),
        (np.array([[0, -2], [1, -1], [0, 1]]), r"row 0 is \[0, -2\]"),
    ],
)
def test_codes_out_of_range_are_refused(codes, complaint):
    with pytest.raises(InputError, match=complaint):
        WORDS.checked(codes, 3)


# Pictures

N = 100


@pytest.fixture(scope="module")
def model() -> ConditionalVAE:
    """Learned from red squares and blue discs, and from the word for each."""
    photos, pairs = planted_world()
    words = pd.DataFrame({"color": np.where(np.arange(len(photos)) % 2, "blue", "red")})
    vocabulary = Vocabulary.of(words, ["color"])
    pairs = replace(pairs, attributes=PhotoAttributes(vocabulary, vocabulary.codes(words)))
    return ConditionalVAE(small_config("flow"), seed=3).fit(
        photos, pairs, Budget(steps=600), progress=False
    )


def share_of_red(model: ConditionalVAE, vector: list[float], guidance: float, **wish: str) -> float:
    vectors = np.tile(np.asarray(vector, np.float32), (N, 1))
    codes = np.tile(model.vocabulary_.asked(wish), (N, 1))
    noise = user_noise(1, range(N), 1, model.latent_size)[:, 0]
    images = model.sample(vectors, noise, guidance=guidance, codes=codes)
    return float((redness(images) > 0).mean())


RED_TASTE, NO_TASTE = [-1.0, 1.0, -0.5, 0.0], [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_what_is_asked_for_is_shown_whoever_asks(model, guidance):
    assert share_of_red(model, NO_TASTE, guidance, color="red") > 0.8
    assert share_of_red(model, NO_TASTE, guidance, color="blue") < 0.2


def test_a_taste_is_followed_where_nothing_is_asked_for(model):
    assert share_of_red(model, RED_TASTE, 1.0) > 0.85
    assert 0.2 < share_of_red(model, NO_TASTE, 1.0) < 0.8


def test_words_survive_a_reload(model, tmp_path: Path):
    model.save(tmp_path)
    loaded = ConditionalVAE.load(tmp_path)
    assert loaded.vocabulary_ == model.vocabulary_
    assert share_of_red(loaded, RED_TASTE, 2.0, color="blue") == share_of_red(
        model, RED_TASTE, 2.0, color="blue"
    )


def test_attributes_of_other_photos_are_refused():
    photos, pairs = planted_world()
    attributes = PhotoAttributes(WORDS, WORDS.codes(TABLE))
    with pytest.raises(InputError, match="attributes of 5 photos came with 256 photos"):
        ConditionalVAE(small_config("flow")).fit(
            photos, replace(pairs, attributes=attributes), Budget(steps=1), progress=False
        )
