"""The one object that joins both halves: preferences from a log, pictures from preferences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array

from prodgen_rec.catalog import Catalog
from prodgen_rec.columns import GENERATED, ITEM_ID, RANK, SCORE, SIMILARITY, USER_ID
from prodgen_rec.config import PersonalizerConfig
from prodgen_rec.errors import ConfigError, InputError, NotFittedError
from prodgen_rec.ids import IdArray, as_id_array
from prodgen_rec.imagery.budget import Budget
from prodgen_rec.imagery.saved import SavedImageModel
from prodgen_rec.interactions import Interactions, interactions_of
from prodgen_rec.personalizer.drawing import Wish, draw
from prodgen_rec.personalizer.fitted import Fitted, photo_rows
from prodgen_rec.personalizer.results import Illustrated, Imagined, UserVectors
from prodgen_rec.preferences import ALS, NewcomerTaste
from prodgen_rec.preferences.filters import Blocked, Quota, checked_count

if TYPE_CHECKING:
    from prodgen_rec.imagery import ConditionalVAE

Vectors = npt.NDArray[np.float32]

Cold = Literal["error", "popular"] | pd.DataFrame
"""What users without a usable history get: an error, what the shop's average user would, or what
suits those who are like them, by a table of what is known of users."""

_DEFAULT_MINUTES = 20.0


class Personalizer:
    """Fits a recommender and an image model on one shop, and serves its users.

    Parameters
    ----------
    config
        Settings; the defaults are meant to be good.
    seed
        Seed of everything that is drawn in fitting.
    """

    _learned: Fitted

    def __init__(self, config: PersonalizerConfig | None = None, *, seed: int = 0) -> None:
        self.config = config or PersonalizerConfig()
        self.seed = seed

    # Fitting ---------------------------------------------------------------------------

    def fit(
        self,
        events: Any,
        catalog: Catalog,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        checkpoint_folder: Path | str | None = None,
        progress: bool = True,
    ) -> Self:
        """Learn preferences from a log, and pictures from preferences and photos.

        Parameters
        ----------
        events
            `Events`, `Interactions`, or whatever `read_events` takes.
        catalog
            Items with photos, read with ``size=config.imagery.size``.
        minutes, steps
            Training budget of the image model, one of the two; 20 minutes by default. Minutes
            are turned into steps by the speed of the first ones.
        checkpoint_folder
            Keeps checkpoints and logs of the training; the same call resumes from them.
        progress
            Show progress bars on a terminal.

        Raises
        ------
        EventsError, CatalogError
            The log or catalogue cannot be used, or no item of the log has a photo.
        TrainingDivergedError
            The loss became NaN; the last good state is in the checkpoint folder.
        """
        if minutes is None and steps is None:
            minutes = _DEFAULT_MINUTES
        self._learned = Fitted.learn(
            self.config,
            self.seed,
            self.interactions(events),
            catalog,
            Budget(steps=steps, minutes=minutes),
            checkpoint_folder=None if checkpoint_folder is None else Path(checkpoint_folder),
            progress=progress,
        )
        return self

    def learn_newcomers(self, users: pd.DataFrame) -> Self:
        """Learn what attributes of users say about their preference, for ``cold=`` tables.

        This takes a moment, and may be done again, also after a load; `save` keeps it.

        Parameters
        ----------
        users
            What is known of users of the fit: ``user_id`` and a column for each attribute, such as
            a country or a segment; see `NewcomerTaste`.

        Raises
        ------
        InputError, ConfigError
            See `NewcomerTaste.fit`.
        """
        learned = self._fitted()
        self._learned = replace(learned, newcomers=NewcomerTaste.fit(learned.recommender, users))
        return self

    def interactions(self, events: Any) -> Interactions:
        """Evidence in a log, by the settings of this personalizer.

        ``events`` is `Events`, or whatever `read_events` takes; `Interactions` are returned
        unchanged. With ``half_life_days``, ages count from the newest event of this log.
        """
        return interactions_of(events, self.config.event_weights, self.config.half_life_days)

    # What was learned

    @property
    def recommender_(self) -> ALS:
        """The fitted recommender."""
        return self._fitted().recommender

    @property
    def catalog_(self) -> Catalog:
        """Items and photos."""
        return self._fitted().catalog

    @property
    def image_model_(self) -> ConditionalVAE:
        """The fitted image model; asking for it loads TensorFlow."""
        return self._fitted().model

    @property
    def newcomers_(self) -> NewcomerTaste | None:
        """What attributes of users say about their preference; None where nothing was learned."""
        return self._fitted().newcomers

    def training_logs(self) -> dict[str, pd.DataFrame]:
        """Log of each training phase, empty after a load; see `Trainer.run`."""
        model = self._fitted().image_model
        return {} if isinstance(model, SavedImageModel) else dict(model.history_)

    def without_photo(self) -> IdArray:
        """Ids of the items of the fitted log that have no photo in the catalogue, shape (n,)."""
        items = self.recommender_.items_
        return items.take(np.flatnonzero(photo_rows(items, self.catalog_) < 0))

    # Serving ---------------------------------------------------------------------------

    def fold_in(self, events: Any, *, cold: pd.DataFrame | None = None) -> UserVectors:
        """Preference vectors of the users of a log, known to the fit or not.

        They are what the fit would have found, with its item vectors held fixed; items that
        the fit did not know are ignored. Users without a usable history have zeros, or a preference
        by a table of what is known of them, as in `recommend`.
        """
        history = self.interactions(events)
        vectors = self._vectors(history, "popular" if cold is None else cold)
        return UserVectors(history.users.ids, vectors)

    def is_cold(self, events: Any) -> npt.NDArray[np.bool_]:
        """Whether a user has no usable history, bool (n_users,), in the order of the ids.

        Usable is positive evidence for an item that somebody took in the fit.
        """
        recommender = self.recommender_
        evidence = self.interactions(events).for_items(recommender.items_).matrix
        positive = csr_array(
            (np.maximum(evidence.data, 0), evidence.indices, evidence.indptr), shape=evidence.shape
        )
        return np.asarray(positive @ recommender.item_vectors_.any(axis=1) == 0)

    def recommend(
        self,
        users: Iterable[Any] | None,
        n: int,
        *,
        events: Any = None,
        exclude_seen: bool = True,
        candidates: Iterable[Any] | None = None,
        blocked: Blocked | None = None,
        quota: Quota | None = None,
        cold: Cold = "error",
    ) -> pd.DataFrame:
        """Best n items for each user, exactly, over the whole catalogue.

        Parameters
        ----------
        users
            Raw user ids, each once; None means everyone in ``events``, or else in the fit.
        n
            Items per user, at least 1.
        events
            Histories that take the place of those of the fit: newer ones, or of new users.
        exclude_seen, candidates, blocked, quota
            See `Recommender.recommend`.
        cold
            Users without a usable history are an error, or get the popular items; or a table of
            what is known of them, ``user_id`` and attributes, gives them a preference, by what
            `learn_newcomers` learned, and the popular items go to those of whom it says nothing.

        Returns
        -------
        Exactly n rows for each user, in the order given, with columns ``user_id``, ``rank``
        (int32 from 1), ``item_id``, ``score`` (float32; for popular items the number of users).

        Raises
        ------
        InputError
            Fewer than n items remain for some user, or a user has no usable history.
        """
        history = self._histories(users, events)
        vectors = self._vectors(history, cold)
        known = np.asarray(vectors.any(axis=1))
        learned = self._fitted()
        lists = [
            recommender.recommend(
                history.users.arrow.filter(pa.array(mask)),
                n,
                exclude_seen=exclude_seen,
                candidates=candidates,
                blocked=blocked,
                quota=quota,
                history=histories,
            )
            for recommender, histories, mask in (
                (learned.recommender.with_users(history, vectors), None, known),
                (learned.popularity, history, ~known),
            )
            if mask.any() or not len(mask)
        ]
        place = np.argsort(np.repeat(np.argsort(~known, kind="stable"), n), kind="stable")
        return pd.concat(lists, ignore_index=True).iloc[place].reset_index(drop=True)

    def imagine(
        self,
        users: Iterable[Any] | None,
        n: int,
        *,
        events: Any = None,
        seed: int = 0,
        guidance: float | None = None,
        temperature: float = 1.0,
        diversity: float | None = None,
        likeness: float | None = None,
        conditions: Mapping[str, str] | None = None,
        cold: Cold = "error",
    ) -> Imagined:
        """Make n pictures for each user.

        More are drawn than asked for; those that suit the user best, and differ, are decoded. What
        comes nearer to a photo than other products' photos do is drawn again. A user's pictures
        follow from the bundle, the user's history and id, and the arguments below
        but for the other users: order, batches and threads change nothing, to the last bit.

        Parameters
        ----------
        users
            Raw user ids, each once; None means everyone in ``events``, or else in the fit.
        n
            Pictures per user, at least 1.
        events
            Histories that take the place of those of the fit.
        seed
            Another seed gives other pictures of the same taste.
        guidance
            0 ignores the user's taste, 1 follows it, more exaggerates it; by default what
            ``config.imagery.guidance`` says.
        temperature
            Scale of the noise, above 0: below 1 pictures are more typical, above 1 more unusual.
        diversity
            0 takes the pictures that suit best, however alike, 1 those that differ most; by
            default what ``config.imagery.diversity`` says.
        likeness
            0 invents pictures from noise alone; the more, the nearer they are to the photo of an
            item that suits the user; by default what ``config.imagery.likeness`` says.
        conditions
            Values of attributes that the products shall have, such as ``{"type": "dress"}``, of
            the attributes that ``config.attributes`` named when the model was fitted.
        cold
            Users without a usable history are an error, or get pictures of the shop's average
            taste; or a table of what is known of them gives them a preference, as in `recommend`.

        Raises
        ------
        InputError
            n is below 1, another number is out of range, no item had a value that is asked for,
            or a user has no usable history.
        """
        settings, model = self.config.imagery, self.image_model_
        history = self._histories(users, events)
        user_vectors = self._vectors(history, cold)
        asked = model.vocabulary_.asked(conditions or {})
        likeness = settings.likeness if likeness is None else likeness
        exemplars = self._fitted().exemplars(asked) if likeness > 0 else None
        wish = Wish(
            n=checked_count(n, "pictures"),
            pool=settings.pool,
            seed=seed,
            guidance=settings.guidance if guidance is None else guidance,
            temperature=temperature,
            diversity=settings.diversity if diversity is None else diversity,
            likeness=likeness,
            codes=np.tile(asked, (history.n_users, 1)),
            exemplars=exemplars,
            taken=None if exemplars is None else history.for_items(exemplars.items).matrix,
        )
        drawn = draw(self._fitted(), history.users.arrow, user_vectors, wish)
        table = pd.DataFrame(
            {
                USER_ID: np.repeat(history.users.ids, n),
                RANK: np.tile(np.arange(1, n + 1, dtype=np.int32), history.n_users),
                ITEM_ID: drawn.item_ids,
                SCORE: drawn.score,
                SIMILARITY: drawn.similarity,
            }
        )
        return Imagined(table, model.decode(drawn.latents), drawn.n_rejected)

    def illustrate(
        self, items: Iterable[Any] | None = None, *, seed: int = 0, guidance: float = 1.0
    ) -> Illustrated:
        """Make a picture for each of some items, as a substitute for a photo it does not have.

        It shows what the item's attributes say, as far as ``config.attributes`` names them, and
        what appeals to a user who took this item alone. An item that the fit did not know is
        pictured by its attributes, and one without these, too, as an average product.

        Parameters
        ----------
        items
            Raw ids of items of the catalogue; None means all that have no photo.
        seed
            Another seed gives other pictures.
        guidance
            How strongly pictures follow the item's place in the space of preferences.

        Raises
        ------
        UnknownIdError
            An item is not in the catalogue.
        InputError
            The guidance is out of range.
        """
        learned, model = self._fitted(), self.image_model_
        catalog = learned.catalog
        place = catalog.items.index(catalog.without_photo() if items is None else items, "item")
        ids = as_id_array(catalog.items.take(place))
        wish = Wish(
            n=1,
            pool=self.config.imagery.pool,
            seed=seed,
            guidance=guidance,
            temperature=1.0,
            diversity=0.0,
            likeness=0.0,
            codes=model.vocabulary_.codes(catalog.attributes.iloc[place]),
        )
        drawn = draw(learned, ids, learned.vectors_of_takers(ids), wish)
        table = pd.DataFrame({ITEM_ID: catalog.items.take(place), GENERATED: True})
        return Illustrated(table, model.decode(drawn.latents))

    # Files -----------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write a bundle, whole or not at all; a bundle that stood there is replaced.

        Raises
        ------
        BundleError
            Something that is no bundle stands at ``path``.
        OSError
            For instance a full disk; what stood at ``path`` is intact.
        """
        self._fitted().save(path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a bundle; every part is verified first.

        What is loaded stays as it is when another bundle takes the place of this one.

        Raises
        ------
        BundleError, BundleCorruptError, BundleVersionError
            There is no bundle, a part is damaged, or a newer version wrote it.
        """
        learned = Fitted.load(path)
        personalizer = cls(learned.config, seed=learned.seed)
        personalizer._learned = learned
        return personalizer

    def drawing_with(self, image_model: ConditionalVAE) -> Self:
        """The same personalizer, whose pictures another computation of its image model makes.

        Parameters
        ----------
        image_model
            With the weights of this one's, such as that of a faster kernel.
        """
        personalizer = type(self)(self.config, seed=self.seed)
        personalizer._learned = replace(self._fitted(), image_model=image_model)
        return personalizer

    # Inside ----------------------------------------------------------------------------

    def _fitted(self) -> Fitted:
        if not hasattr(self, "_learned"):
            raise NotFittedError("this Personalizer has not been fitted; call fit or load first")
        return self._learned

    def _histories(self, users: Iterable[Any] | None, events: Any) -> Interactions:
        """Histories of exactly the users asked for, empty where there is none."""
        fitted = self.recommender_.interactions_
        record = fitted if events is None else self.interactions(events)
        return record if users is None else record.for_users(users, allow_unknown=True)

    def _vectors(self, history: Interactions, cold: Cold) -> Vectors:
        """Preference vectors float32 (n_users, d), zero where nothing is known of a user."""
        is_cold = self.is_cold(history)
        if isinstance(cold, str):
            _check_cold(history, is_cold, cold)
        vectors = self.recommender_.fold_in(history)
        if isinstance(cold, pd.DataFrame):
            newcomers = self.newcomers_
            if newcomers is None:
                raise InputError(
                    "cold: a table of users came, and nothing was learned of their attributes; "
                    "call learn_newcomers with a table of users of the fit first"
                )
            ids = history.users.arrow.filter(pa.array(is_cold))
            vectors[is_cold] = newcomers.vectors_of(ids, cold)
        return vectors


def _check_cold(history: Interactions, is_cold: npt.NDArray[np.bool_], cold: str) -> None:
    if cold not in ("error", "popular"):
        raise ConfigError(
            f"cold = {cold!r}: expected 'error' or 'popular', or a table of what is known of users"
        )
    if cold == "error" and is_cold.any():
        first = history.users.arrow[int(np.argmax(is_cold))].as_py()
        raise InputError(
            f"{int(is_cold.sum())} of {history.n_users} users have no usable history, the "
            f"first is {first!r}: no positive event on an item that the fit knew; leave them "
            "out, pass their events, or serve them like the average user with cold='popular'"
        )
