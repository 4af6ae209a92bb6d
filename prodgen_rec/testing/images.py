"""What every image model must do, as checks that anyone can run on their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prodgen_rec.errors import InputError, NotFittedError
from prodgen_rec.imagery.noise import user_noise
from prodgen_rec.imagery.pairs import Pairs
from prodgen_rec.testing._require import require, require_refusal

if TYPE_CHECKING:
    from prodgen_rec.imagery.model import ImageModel

    Factory = Callable[[], ImageModel]

_SIZE, _N_PHOTOS = 16, 256
# More users than networks see at a time, and not a multiple of it.
_N_USERS = 150
_RED, _BLUE = (200, 40, 40), (40, 60, 200)
_FEW_STEPS = 5


def check_image_model(factory: Factory, *, n_steps: int = 600) -> None:
    """Check an image model against the contract of `prodgen_rec.imagery.ImageModel`.

    A tiny world is learned in which half of the users take red squares and the others take
    blue discs, so the networks should be small and the learning rates high. A model that is not
    conditional must ignore the vectors; one that has latents must agree with itself about them.
    This loads TensorFlow.

    Parameters
    ----------
    factory
        Makes a new, unfitted model of 16-pixel pictures; the same one, seed included, at every
        call.
    n_steps
        Training budget that is enough to tell red from blue.

    Raises
    ------
    AssertionError
        Says which part of the contract is broken, and how.
    """
    photos, pairs = planted_world()
    _check_unfitted(factory())
    _check_wrong_photos(factory(), photos, pairs)
    _check_same_again(_fitted(factory, _FEW_STEPS), _fitted(factory, _FEW_STEPS))
    model = _fitted(factory, n_steps)
    users = _users(model.latent_size)
    _check_form(model, users)
    if hasattr(model, "sample_latents"):
        _check_latents(model, users, photos)
    _check_noise(model, users)
    if model.conditional:
        _check_preferences(model, users)
        _check_no_preference(model, users)
    else:
        _check_vectors_are_ignored(model, users)
    _check_rows_alone(model, users)
    _check_refusals(model, users)
    _check_files(model, users)


# The world


class _Users(NamedTuple):
    """Users that no training saw: their vectors, their noise and whether they take red."""

    vectors: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32]
    red: npt.NDArray[np.bool_]


def planted_world() -> tuple[npt.NDArray[np.uint8], Pairs]:
    """Photos of red squares and blue discs, and a user's vector for each.

    Returns
    -------
    photos
        uint8 (256, 16, 16, 3), the even ones red.
    pairs
        A pair per photo; vectors are float32 (256, 4) in two overlapping clouds.
    """
    rng = np.random.default_rng(31)
    red = np.arange(_N_PHOTOS) % 2 == 0
    photos = np.stack([_photo(rng, bool(is_red)) for is_red in red])
    rows = np.arange(_N_PHOTOS)
    return photos, Pairs(_vectors(rng, red), rows, rows, np.ones(_N_PHOTOS))


def redness(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How much more red than blue each picture holds, (n,), in steps of 0 to 255."""
    channels = images.mean(axis=(1, 2))
    return np.asarray(channels[:, 0] - channels[:, 2])


def _photo(rng: np.random.Generator, red: bool) -> npt.NDArray[np.uint8]:
    top, left = rng.uniform(6.5, 8.5, 2)
    radius = rng.uniform(4, 6)
    down, right = np.abs(np.mgrid[:_SIZE, :_SIZE] - np.array([top, left])[:, None, None])
    inside = np.maximum(down, right) < radius if red else np.hypot(down, right) < radius
    return np.where(inside[..., None], _RED if red else _BLUE, 235).astype(np.uint8)


def _vectors(rng: np.random.Generator, red: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    centre = np.where(red, -1, 1)[:, None] * np.array([1, -1, 0.5, 0])
    return np.asarray(centre + rng.normal(0, 0.5, (len(red), 4)), np.float32)


def _users(latent_size: int) -> _Users:
    red = np.arange(_N_USERS) % 3 == 0
    noise = user_noise(1, range(_N_USERS), 1, latent_size)[:, 0]
    return _Users(_vectors(np.random.default_rng(32), red), noise, red)


def _fitted(factory: Factory, n_steps: int) -> ImageModel:
    from prodgen_rec.imagery import Budget

    model, (photos, pairs) = factory(), planted_world()
    require(
        model.fit(photos, pairs, Budget(steps=n_steps), progress=False) is model,
        "fit must return the model itself",
    )
    return model


# Checks


def _check_unfitted(model: ImageModel) -> None:
    vectors, noise, _ = _users(model.latent_size)
    calls: list[Callable[[], Any]] = [
        lambda: model.sample(vectors, noise),
        lambda: model.save(Path("nowhere")),
    ]
    if hasattr(model, "decode"):
        calls.append(lambda: model.decode(noise))
    if hasattr(model, "encode"):
        calls.append(lambda: model.encode(planted_world()[0]))
    for call in calls:
        require_refusal(NotFittedError, "fit", call)


def _check_wrong_photos(model: ImageModel, photos: npt.NDArray[np.uint8], pairs: Pairs) -> None:
    from prodgen_rec.imagery import Budget

    wrong: list[npt.NDArray[Any]] = [photos[:, :8, :8], photos / np.float32(255), photos[:0]]
    for bad in wrong:
        refused = partial(model.fit, bad, pairs, Budget(steps=1))
        require_refusal(InputError, "photos must be uint8", refused)
    too_few = partial(model.fit, photos[:200], pairs, Budget(steps=1))
    require_refusal(InputError, "pair 200", too_few)


def _check_same_again(first: ImageModel, second: ImageModel) -> None:
    vectors, noise, _ = _users(first.latent_size)
    require(
        np.array_equal(first.sample(vectors, noise), second.sample(vectors, noise)),
        "two fits with the same seed on the same data give different pictures",
    )


def _check_form(model: ImageModel, users: _Users) -> None:
    images = model.sample(users.vectors, users.noise)
    shape = (_N_USERS, _SIZE, _SIZE, 3)
    require(images.dtype == np.uint8, f"pictures are {images.dtype}, not uint8")
    require(images.shape == shape, f"pictures of shape {images.shape}, expected {shape}")
    none = model.sample(users.vectors[:0], users.noise[:0])
    require(none.shape == (0, *shape[1:]), f"pictures for nobody have shape {none.shape}")


def _check_latents(model: Any, users: _Users, photos: npt.NDArray[np.uint8]) -> None:
    images = model.sample(users.vectors, users.noise)
    latents = model.sample_latents(users.vectors, users.noise)
    require(latents.dtype == np.float32, f"latents are {latents.dtype}, not float32")
    require(np.array_equal(model.decode(latents), images), "sample is not sample_latents, decoded")
    encoded = model.encode(photos)
    require(encoded.shape == (len(photos), model.latent_size), f"encoded photos: {encoded.shape}")


def _check_preferences(model: ImageModel, users: _Users) -> None:
    """New users get the color of their kind."""
    images = model.sample(users.vectors, users.noise)
    right = ((redness(images) > 0) == users.red).mean()
    require(right > 0.8, f"{right:.0%} of the users get the color that users like them took")


def _check_vectors_are_ignored(model: ImageModel, users: _Users) -> None:
    images = model.sample(users.vectors, users.noise)
    other = model.sample(users.vectors[::-1], users.noise, guidance=2)
    require(np.array_equal(images, other), "the model is not conditional, and the vectors matter")
    _check_both_colors(images)


def _check_both_colors(images: npt.NDArray[np.uint8]) -> None:
    red = (redness(images) > 0).mean()
    require(0.1 < red < 0.9, f"without a preference {red:.0%} of the pictures are red, not half")


def _check_noise(model: ImageModel, users: _Users) -> None:
    """More than one picture is possible."""
    one = np.repeat(users.vectors[:1], _N_USERS, axis=0)
    n_different = len(np.unique(model.sample(one, users.noise), axis=0))
    require(
        n_different > _N_USERS // 2,
        f"{_N_USERS} noises of one user give only {n_different} different pictures",
    )


def _check_no_preference(model: ImageModel, users: _Users) -> None:
    """Guidance 0 and the zero vector both mean that nothing is known about the user."""
    draw = getattr(model, "sample_latents", model.sample)
    ignored = draw(users.vectors, users.noise, guidance=0)
    other = draw(users.vectors[::-1], users.noise, guidance=0)
    require(np.array_equal(ignored, other), "with guidance 0 the vectors still matter")
    for guidance in (1.0, 3.0):
        unknown = draw(0 * users.vectors, users.noise, guidance=guidance)
        require(
            np.array_equal(unknown, ignored),
            "zero vectors, that is no preference, do not give what guidance 0 gives",
        )
    _check_both_colors(model.sample(users.vectors, users.noise, guidance=0))


def _check_rows_alone(model: ImageModel, users: _Users) -> None:
    """A picture follows from its own vector and noise, whatever is asked for beside it."""
    images = model.sample(users.vectors, users.noise, guidance=2)
    for rows in (np.s_[::-1], np.s_[:1], np.s_[70:71], np.s_[5:140:2]):
        require(
            np.array_equal(
                model.sample(users.vectors[rows], users.noise[rows], guidance=2), images[rows]
            ),
            "a picture changes with the order or number of pictures that are asked for with it",
        )


def _check_refusals(model: ImageModel, users: _Users) -> None:
    vectors, noise, _ = users
    nan_vectors, infinite_noise = vectors.copy(), noise.copy()
    nan_vectors[3, 1], infinite_noise[7] = np.nan, np.inf
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("row 3", lambda: model.sample(nan_vectors, noise)),
        ("row 7", lambda: model.sample(vectors, infinite_noise)),
        ("vectors must have shape", lambda: model.sample(vectors[:, :3], noise)),
        ("noise must have shape", lambda: model.sample(vectors, noise[:, :3])),
        ("noise for 1 pictures", lambda: model.sample(vectors, noise[:1])),
        ("guidance", lambda: model.sample(vectors, noise, guidance=-1)),
        ("guidance", lambda: model.sample(vectors, noise, guidance=np.nan)),
    ]
    for mention, call in refused:
        require_refusal(InputError, mention, call)


def _check_files(model: ImageModel, users: _Users) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "new"
        model.save(str(folder))
        loaded = type(model).load(str(folder))
        written = {path.name: path.read_bytes() for path in folder.iterdir()}
        loaded.save(folder)
        again = {path.name: path.read_bytes() for path in folder.iterdir()}
    require(
        np.array_equal(
            loaded.sample(users.vectors, users.noise, guidance=2),
            model.sample(users.vectors, users.noise, guidance=2),
        ),
        "the pictures after save and load are not those before",
    )
    require(again == written, "saving a loaded model writes other files than it was loaded from")
