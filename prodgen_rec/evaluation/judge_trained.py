"""A judge that is trained on the catalogue's own photos and needs no downloaded weights.

It learns to tell attributes, such as type and color, of real photos alone. So it also says
what a made picture shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from keras import layers

from prodgen_rec.catalog import Catalog
from prodgen_rec.errors import InputError, MissingExtraError, NotFittedError
from prodgen_rec.evaluation.judge import (
    Floats,
    Judge,
    KerasJudge,
    Photos,
    check_photos,
    pretrained_judge,
    resized,
)
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.runtime import batches, by_tiles, compiled, seeded
from prodgen_rec.imagery.training import Phase, Player, Trainer

SIZE = 32
"""Side of the pictures that the judge looks at: enough for a shape and a color, and blind to
how sharp a picture is."""
MIN_PHOTOS = 5
"""Photos that a value must have to be learned."""
_MIN_LABELLED = 50
_BATCH_SIZE = 64
_FEATURES = 128
_MAX_SHIFT = 2


class CatalogJudge:
    """A small convolutional network that tells the attributes of products.

    Parameters
    ----------
    seed
        Decides initial weights, batches, augmentation, and which photos are held out.

    Attributes
    ----------
    values_
        Values of each attribute that it can tell, sorted; rarer ones than `MIN_PHOTOS` photos
        are treated as unknown.
    accuracy_
        Share of the held-out tenth of the photos whose attribute it tells right, among those
        where it is known; NaN where there are none.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(
        self,
        photos: Photos,
        labels: pd.DataFrame | Mapping[str, Sequence[Any]],
        budget: Budget | None = None,
        *,
        progress: bool = True,
    ) -> Self:
        """Learn to tell attributes.

        Parameters
        ----------
        photos
            uint8 RGB, shape (n, size, size, 3).
        labels
            Value of each attribute for each photo, n rows and a column per attribute; null
            where it is not known.
        budget
            How long to train; by default 40 passes over the photos, but at most 400 steps.
        progress
            Show a progress bar on a terminal.

        Raises
        ------
        InputError
            An attribute has fewer than two values that enough photos have, or there are not as
            many labels as photos.
        """
        check_photos(photos)
        table = _as_table(labels, len(photos))
        self.values_ = {str(name): _learnable_values(table[name]) for name in table}
        codes = np.stack([_codes(table[k], values) for k, values in self.values_.items()], axis=1)
        held_out = np.random.default_rng(self.seed).permutation(len(photos)) < len(photos) / 10
        with seeded(self.seed):
            network = _build([len(values) for values in self.values_.values()])
        small = by_tiles(compiled(_shrunk), photos)
        self._train(network, small[~held_out], codes[~held_out], budget, progress)
        self._features = KerasJudge(_part(network, "features"), "features", size=SIZE)
        self._logits = KerasJudge(_part(network, "logits"), "logits", size=SIZE)
        self.accuracy_ = self._accuracy(photos[held_out], codes[held_out])
        return self

    @property
    def name(self) -> str:
        """What figures call it."""
        self._check_fitted()
        return f"network trained on {' and '.join(self.values_)} of the catalogue"

    def features(self, photos: Photos) -> Floats:
        """Features float32 (n, 128) of pictures uint8 (n, size, size, 3): the last layer's."""
        self._check_fitted()
        return self._features.features(photos)

    def predict(self, photos: Photos) -> pd.DataFrame:
        """Attributes of pictures uint8 (n, size, size, 3).

        Returns
        -------
        DataFrame
            A row per picture; per attribute a column of its name with the likeliest value, and
            one called ``<attribute>_probability``, float32, 0 to 1.
        """
        self._check_fitted()
        columns: dict[str, Any] = {}
        start, logits = 0, self._logits.features(photos)
        for name, values in self.values_.items():
            likelihood = _softmax(logits[:, start : start + len(values)])
            columns[name] = values[likelihood.argmax(axis=1)]
            columns[f"{name}_probability"] = likelihood.max(axis=1)
            start += len(values)
        return pd.DataFrame(columns)

    def _train(
        self,
        network: keras.Model,
        photos: Photos,
        codes: npt.NDArray[np.int32],
        budget: Budget | None,
        progress: bool,
    ) -> None:
        sizes = [len(values) for values in self.values_.values()]

        def loss(batch: Any, seed: Any) -> Mapping[str, Any]:
            _, logits = network(augmented(batch[0], seed))
            heads = zip(tf.split(logits, sizes, axis=1), tf.unstack(batch[1], axis=1), strict=True)
            losses = [_known_cross_entropy(*head) for head in heads]
            return {"loss": tf.add_n(losses), **dict(zip(self.values_, losses, strict=True))}

        phase = Phase(
            "judge",
            {"loss": Player(network.trainable_variables, peak_rate=3e-3)},
            loss,
            lambda step: batches(
                lambda index: (photos[index], codes[index]),
                np.ones(len(photos)),
                _BATCH_SIZE,
                seed=self.seed,
                first_step=step,
            ),
        )
        enough = Budget(steps=min(400, math.ceil(40 * len(photos) / _BATCH_SIZE)))
        Trainer(seed=self.seed, progress=progress).run(phase, budget or enough)

    def _accuracy(self, photos: Photos, codes: npt.NDArray[np.int32]) -> dict[str, float]:
        told = self.predict(photos)
        accuracy = {}
        for name, true in zip(self.values_, codes.T, strict=True):
            right = _codes(told[name], self.values_[name])[true >= 0] == true[true >= 0]
            accuracy[name] = float(right.mean()) if len(right) else float("nan")
        return accuracy

    def _check_fitted(self) -> None:
        if not hasattr(self, "_logits"):
            raise NotFittedError("this CatalogJudge is not fitted; call fit first")


def default_judge(
    catalog: Catalog,
    attributes: Sequence[str] = (),
    *,
    budget: Budget | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Judge:
    """The pretrained judge where its weights are installed, else one trained on the catalogue.

    Parameters
    ----------
    catalog
        Photos and attributes to train on.
    attributes
        Columns of the catalogue that a `CatalogJudge` learns to tell, such as type and color.
    budget, seed, progress
        Of the training, see `CatalogJudge`.

    Raises
    ------
    MissingExtraError
        The weights are not installed, and no attributes were named.
    InputError
        The catalogue has no such attributes, or too few photos.
    """
    try:
        return pretrained_judge()
    except MissingExtraError:
        if not attributes:
            raise
    photos, labels = labelled_photos(catalog, attributes)
    return CatalogJudge(seed=seed).fit(photos, labels, budget, progress=progress)


def labelled_photos(catalog: Catalog, attributes: Sequence[str]) -> tuple[Photos, pd.DataFrame]:
    """Photos of a catalogue and the attributes of their items, for `CatalogJudge.fit`.

    Raises
    ------
    InputError
        The catalogue has no such attribute.
    """
    missing = [name for name in attributes if name not in catalog.attributes]
    if missing:
        raise InputError(
            f"the catalogue has no attribute {', '.join(missing)}; "
            f"it has {', '.join(catalog.attributes.columns)}"
        )
    labels = catalog.attributes.loc[catalog.photo_index >= 0, list(attributes)]
    return catalog.photos_of(catalog.with_photo()), labels


def augmented(photos: Any, seed: Any) -> Any:
    """Pictures as a judge of type and color should not tell apart.

    Turned left or right, moved by up to 2 pixels, blurred by up to a Gaussian of 1.2 pixels,
    made brighter or darker by up to a tenth.

    Parameters
    ----------
    photos
        uint8 (n, 32, 32, 3).
    seed
        int32 (2,).

    Returns
    -------
    float32, the same shape, about 0 to 255.
    """
    seeds = tf.random.split(seed, 4)
    n = tf.shape(photos)[0]

    def uniform(i: int, low: float, high: float) -> Any:
        return tf.random.stateless_uniform((n, 1, 1, 1), seeds[i], low, high)

    x = tf.cast(photos, tf.float32)
    x = tf.where(uniform(0, 0, 1) < 0.5, x, x[:, :, ::-1])
    shifts = tf.random.stateless_uniform((2, n, 1), seeds[1], -_MAX_SHIFT, _MAX_SHIFT + 1, tf.int32)
    for axis in (1, 2):
        places = tf.clip_by_value(tf.range(SIZE) + shifts[axis - 1], 0, SIZE - 1)
        x = tf.gather(x, places, axis=axis, batch_dims=1)
    # A box of three pixels, twice: close to a Gaussian of 1.2 pixels.
    blurred = tf.nn.avg_pool2d(tf.nn.avg_pool2d(x, 3, 1, "SAME"), 3, 1, "SAME")
    x += uniform(2, 0, 1) * (blurred - x)
    return x * uniform(3, 0.9, 1.1)


def _build(n_values: Sequence[int]) -> keras.Model:
    """Pictures (n, 32, 32, 3), 0 to 255, to features (n, 128) and logits of all attributes."""
    inputs = keras.Input((SIZE, SIZE, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for channels in (24, 48, 96):
        x = layers.Conv2D(
            channels, 4, 2, "same", activation="silu", kernel_initializer="he_normal"
        )(x)
    x = layers.Flatten()(x)
    features = layers.Dense(_FEATURES, "silu", name="features")(x)
    return keras.Model(inputs, [features, layers.Dense(sum(n_values), name="logits")(features)])


def _part(network: keras.Model, output: str) -> keras.Model:
    return keras.Model(network.inputs, network.get_layer(output).output)


def _shrunk(photos: Any) -> Any:
    return tf.cast(tf.round(resized(photos, SIZE)), tf.uint8)


def _known_cross_entropy(logits: Any, codes: Any) -> Any:
    """Mean cross-entropy over the rows whose code is known, not -1."""
    known = tf.cast(codes >= 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(codes, 0), logits)
    return tf.reduce_sum(losses * known) / tf.maximum(tf.reduce_sum(known), 1.0)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _as_table(labels: pd.DataFrame | Mapping[str, Sequence[Any]], n_photos: int) -> pd.DataFrame:
    table = pd.DataFrame(labels)
    if len(table) != n_photos or not len(table.columns):
        raise InputError(
            f"there are {len(table)} labels of {len(table.columns)} attributes for {n_photos} "
            "photos; pass one label per photo for at least one attribute"
        )
    return table.set_axis(table.columns.astype(str), axis=1)


def _learnable_values(labels: pd.Series[Any]) -> npt.NDArray[Any]:
    counts = labels.value_counts()
    values = np.sort(counts.index[counts >= MIN_PHOTOS].to_numpy())
    n_labelled = int(counts.sum())
    if n_labelled < _MIN_LABELLED or len(values) < 2:
        raise InputError(
            f"attribute {labels.name!r}: {n_labelled} photos have a value, and {len(values)} "
            f"value(s) have at least {MIN_PHOTOS} photos; a judge needs {_MIN_LABELLED} photos "
            "and two such values"
        )
    return values


def _codes(labels: pd.Series[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Place of each label in the values, int32 (n,), -1 where it is null or none of them."""
    return np.asarray(pd.Index(values).get_indexer(pd.Index(labels)), np.int32)
