"""What a personalizer has learned, and how that becomes a bundle.

Reading a bundle needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.bundle import verified_bundle, write_bundle
from prodgen_rec.catalog import Catalog
from prodgen_rec.config import PersonalizerConfig
from prodgen_rec.errors import BundleCorruptError, CatalogError
from prodgen_rec.hashing import fingerprint
from prodgen_rec.ids import IdMap, as_id_array
from prodgen_rec.imagery.attributes import PhotoAttributes
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.exemplars import Exemplars
from prodgen_rec.imagery.nearest import ItemLatents
from prodgen_rec.imagery.pairs import taken_pairs
from prodgen_rec.imagery.saved import SavedImageModel
from prodgen_rec.imagery.taste import TasteReader
from prodgen_rec.interactions import Interactions
from prodgen_rec.preferences import ALS, ItemFeatures, NewcomerTaste, Popularity
from prodgen_rec.storage import load_arrays, save_arrays
from prodgen_rec.vocabulary import UNSAID, Codes, Vocabulary

if TYPE_CHECKING:
    from prodgen_rec.imagery import ConditionalVAE

_PREFERENCES, _CATALOG, _IMAGERY = "preferences", "catalog", "imagery"
_ITEM_LATENTS = "item_latents.npz"
_NEWCOMERS = "newcomers.npz"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a personalizer has learned.

    Parameters
    ----------
    config, seed
        Settings of the personalizer.
    recommender
        Fitted.
    catalog
        Items and photos.
    image_model
        Fitted, or as its files hold it.
    item_latents
        float32 (n_photos, latent_size), of the items with a photo, in the order of the catalogue.
    training
        Last figures of each training phase, by name.
    newcomers
        What attributes of users say about their preference, if that was learned.
    """

    config: PersonalizerConfig
    seed: int
    recommender: ALS
    catalog: Catalog
    image_model: ConditionalVAE | SavedImageModel
    item_latents: npt.NDArray[np.float32]
    training: dict[str, dict[str, float]]
    newcomers: NewcomerTaste | None = None

    @classmethod
    def learn(
        cls,
        config: PersonalizerConfig,
        seed: int,
        history: Interactions,
        catalog: Catalog,
        budget: Budget,
        *,
        checkpoint_folder: Path | None,
        progress: bool,
    ) -> Fitted:
        """Fit both halves; see `Personalizer.fit`.

        Raises
        ------
        CatalogError
            The photos have another size than the settings say, or no item of the log has one.
        """
        from prodgen_rec.imagery import ConditionalVAE

        _check_photos(history.items, catalog, config.imagery.size)
        known = photo_attributes(catalog, config.attributes)
        features = _features(catalog, config.item_features)
        recommender = config.preferences.recommender(seed=seed).fit(history, features)
        rows = photo_rows(recommender.items_, catalog)
        pairs = taken_pairs(recommender, rows, vectors=config.learned_from, attributes=known)
        model = ConditionalVAE(config.imagery, seed=seed).fit(
            catalog.photos,
            pairs,
            budget,
            checkpoint_folder=checkpoint_folder,
            progress=progress,
        )
        in_order = catalog.photo_index[catalog.photo_index >= 0]
        return cls(
            config,
            seed,
            recommender,
            catalog,
            image_model=model,
            item_latents=model.encode(catalog.photos)[in_order],
            training={
                phase: {str(name): float(value) for name, value in log.iloc[-1].items()}
                for phase, log in model.history_.items()
            },
        )

    @cached_property
    def model(self) -> ConditionalVAE:
        """The image model.

        A load leaves building its networks to the first picture: TensorFlow takes seconds to
        import, and recommending needs none of it.
        """
        if not isinstance(self.image_model, SavedImageModel):
            return self.image_model
        from prodgen_rec.imagery import ConditionalVAE

        return ConditionalVAE.restore(self.image_model)

    @cached_property
    def items(self) -> ItemLatents:
        """The items with a photo, to find what a picture looks like."""
        return ItemLatents(IdMap(as_id_array(self.catalog.with_photo())), self.item_latents)

    @cached_property
    def vectors_of_photos(self) -> npt.NDArray[np.float32]:
        """Vectors of the items with a photo, (n_photos, d), 0 for those that nobody took."""
        place = self.recommender.items_.find(self.items.items.arrow)
        return np.where((place >= 0)[:, None], self.recommender.item_vectors_[place], 0.0)

    @cached_property
    def reader(self) -> TasteReader:
        """Which taste a picture speaks to, learned from the items with a photo and a vector."""
        known = self.vectors_of_photos.any(axis=1)
        return TasteReader.fit(self.item_latents[known], self.vectors_of_photos[known])

    def exemplars(self, codes: Codes) -> Exemplars | None:
        """Items from whose photos pictures can start, as far as they have what is asked for.

        They are found once for each wish, because users are served a few at a time.

        Parameters
        ----------
        codes
            int32 (n_attributes,), values of attributes, -1 where any will do.

        Returns
        -------
        None if no item that somebody took has all of it.
        """
        key = codes.tobytes()
        if key not in self._exemplars_found:
            self._exemplars_found[key] = self._find_exemplars(codes)
        return self._exemplars_found[key]

    @cached_property
    def _exemplars_found(self) -> dict[bytes, Exemplars | None]:
        return {}

    def _find_exemplars(self, codes: Codes) -> Exemplars | None:
        items, known = self.items.items, self.recommender.items_
        place = known.find(items.arrow)
        taken = self.recommender.interactions_.matrix > 0
        weights = np.where(place >= 0, np.asarray(taken.sum(axis=0))[place], 0).astype(np.float64)
        of_items = self.model.vocabulary_.codes(self.catalog.attributes)
        of_items = of_items[self.catalog.photo_index >= 0]
        fits = ((codes == UNSAID) | (of_items == codes)).all(axis=1) & (weights > 0)
        if not fits.any():
            return None
        return Exemplars(
            IdMap(items.arrow.filter(pa.array(fits))),
            self.vectors_of_photos[fits],
            self.item_latents[fits],
            np.sqrt(weights[fits]),  # a shop is more than its best sellers
            self.config.imagery.sharpness,
            self.config.imagery.familiarity,
        )

    def vectors_of_takers(self, item_ids: pa.Array) -> npt.NDArray[np.float32]:
        """Vectors float32 (n, d) of users who took one item each, as strongly as one can.

        Items that the recommender does not know give zeros, that is no preference.
        """
        known = self.recommender.items_
        place = known.find(item_ids)
        rows = np.flatnonzero(place >= 0)
        evidence = np.full(len(rows), max(self.config.event_weights.values()), np.float32)
        matrix = csr_array((evidence, (rows, place[rows])), shape=(len(place), len(known)))
        takers = IdMap(pa.array(np.arange(len(place))))
        return self.recommender.fold_in(Interactions(takers, known, matrix))

    @cached_property
    def popularity(self) -> Popularity:
        """What users without a usable history are recommended."""
        return Popularity().fit(self.recommender.interactions_)

    def save(self, path: Path | str) -> None:
        """Write a bundle; see `prodgen_rec.bundle.write_bundle`."""

        def write_parts(folder: Path) -> None:
            self.recommender.save(folder / _PREFERENCES)
            self.catalog.save(folder / _CATALOG)
            (folder / _IMAGERY).mkdir()
            self.image_model.save(folder / _IMAGERY)
            save_arrays(folder / _IMAGERY / _ITEM_LATENTS, {"latents": self.item_latents})
            if self.newcomers is not None:
                save_arrays(folder / _NEWCOMERS, _arrays_of(self.newcomers))

        known = None if self.newcomers is None else self.newcomers.vocabulary.values
        content = {
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "item_vectors_sha256": fingerprint(self.recommender.item_vectors_),
            "data": _described(self.recommender.interactions_, self.catalog),
            "training": self.training,
            "user_attributes": known,
        }
        write_bundle(path, content, write_parts)

    @classmethod
    def load(cls, path: Path | str) -> Fitted:
        """Verify and read a bundle; see `prodgen_rec.bundle.verified_bundle`.

        Raises
        ------
        BundleError, BundleCorruptError, BundleVersionError
            There is no bundle, a part is damaged, or a newer version wrote it.
        """
        with verified_bundle(path) as (folder, content):
            recommender = ALS.load(folder / _PREFERENCES)
            # Retraining a factorization turns its space around, which no shape betrays.
            if fingerprint(recommender.item_vectors_) != content["item_vectors_sha256"]:
                raise BundleCorruptError(
                    f"{path}: the image model was trained on other item vectors than those in "
                    f"{_PREFERENCES}/; a refitted recommender needs a new image model: fit again"
                )
            catalog = Catalog.load(folder / _CATALOG)
            return cls(
                config=PersonalizerConfig.parse(content["config"]),
                seed=content["seed"],
                recommender=recommender,
                catalog=catalog,
                image_model=SavedImageModel.read(folder / _IMAGERY),
                item_latents=_latents_of(catalog, folder / _IMAGERY / _ITEM_LATENTS),
                training=content["training"],
                newcomers=_newcomers_of(folder / _NEWCOMERS, content.get("user_attributes")),
            )


def photo_rows(items: IdMap, catalog: Catalog) -> npt.NDArray[np.int64]:
    """Row in the photos of a catalogue of each item, int64 (n_items,), -1 where there is none."""
    place = catalog.items.find(items.arrow)
    return np.where(place >= 0, catalog.photo_index[place], -1)


def photo_attributes(catalog: Catalog, names: Iterable[str]) -> PhotoAttributes | None:
    """What some columns of a catalogue say about the products on its photos.

    Raises
    ------
    ConfigError
        There is no such column, or it holds more values than one can ask for.
    """
    vocabulary = Vocabulary.of(catalog.attributes, names)
    if not vocabulary.values:
        return None
    shown = catalog.photo_index >= 0
    codes = np.full((catalog.report.n_photos, len(vocabulary.values)), UNSAID, np.int32)
    codes[catalog.photo_index[shown]] = vocabulary.codes(catalog.attributes)[shown]
    return PhotoAttributes(vocabulary, codes)


def _check_photos(items: IdMap, catalog: Catalog, size: int) -> None:
    if catalog.size != size:
        raise CatalogError(
            f"the photos of the catalogue have {catalog.size} pixels a side, and the setting "
            f"imagery.size is {size}; read the catalogue with size={size}"
        )
    if (photo_rows(items, catalog) < 0).all():
        of_log, of_catalog = (repr(ids.arrow[0].as_py()) for ids in (items, catalog.items))
        raise CatalogError(
            f"none of the {len(items)} items of the log has a photo in the catalogue; ids of the "
            f"log look like {of_log}, of the catalogue like {of_catalog}"
        )


def _features(catalog: Catalog, weights: Mapping[str, float]) -> ItemFeatures | None:
    """What some columns of a catalogue say about its items."""
    return ItemFeatures.of_columns(catalog.items, catalog.attributes, weights) if weights else None


def _described(history: Interactions, catalog: Catalog) -> dict[str, Any]:
    """What was fitted, in numbers."""
    matrix = history.matrix
    return {
        "n_users": history.n_users,
        "n_items": history.n_items,
        "n_pairs": history.n_pairs,
        "n_photos": catalog.report.n_photos,
        "interactions_sha256": fingerprint(matrix.indptr, matrix.indices, matrix.data),
    }


def _latents_of(catalog: Catalog, path: Path) -> npt.NDArray[np.float32]:
    latents = load_arrays(path).get("latents", np.empty(0, np.float32))
    n_photos = catalog.report.n_photos
    if latents.ndim != 2 or len(latents) != n_photos:
        raise BundleCorruptError(
            f"{path}: latents of shape {latents.shape} for {n_photos} items with a photo; fit again"
        )
    return latents


def _arrays_of(newcomers: NewcomerTaste) -> dict[str, npt.NDArray[Any]]:
    names = "mean", "effects", "ridge"
    return {name: np.asarray(getattr(newcomers, name)) for name in names}


def _newcomers_of(path: Path, known: Mapping[str, list[str]] | None) -> NewcomerTaste | None:
    if known is None:
        return None
    vocabulary = Vocabulary({name: tuple(values) for name, values in known.items()})
    try:
        arrays = load_arrays(path)
        return NewcomerTaste(vocabulary, arrays["mean"], arrays["effects"], float(arrays["ridge"]))
    except (KeyError, ValueError) as error:
        raise BundleCorruptError(
            f"{path}: it does not fit the attributes of users in bundle.json ({error}); fit again"
        ) from error
