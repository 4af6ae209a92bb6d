"""Pictures on the H&M log: one row of the table of models and ablations.

    python benchmarks/pictures.py --row full --minutes 120 --out build/pictures

Trains one model on nine tenths of the photos and the training pairs of core53, and judges it on
the other tenth and the held-out purchases, by EfficientNet-Lite2 at 128 px, which no loss uses.
Beside its figures, figures.json, a row gets a page for people, report.html.
The data is not part of this project: PRODGEN_REC_DATA names the folder that holds hm_fashion.
A run that was stopped goes on from its checkpoints; a row that has phases in common with the row
full takes them from there, if that was trained in the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import prodgen_rec as pg
from prodgen_rec.catalog.catalog import PhotoReport
from prodgen_rec.display import ReportSection, comparison_rows, write_report
from prodgen_rec.evaluation.bootstrap import Interval
from prodgen_rec.evaluation.fidelity import (
    Diversity,
    diversity,
    fidelity_report,
    kernel_distance,
    nearest_photos,
)
from prodgen_rec.evaluation.findings import DrawnPictures, ImageEvaluation
from prodgen_rec.evaluation.judge import pretrained_judge
from prodgen_rec.evaluation.judged_items import JudgedItems
from prodgen_rec.evaluation.personalization import brackets, match_auc
from prodgen_rec.evaluation.report import image_report
from prodgen_rec.ids import as_id_array
from prodgen_rec.imagery import (
    DCGAN,
    Budget,
    ConditionalGAN,
    ConditionalVAE,
    GANConfig,
    ImageModel,
    ImageryConfig,
    Pairs,
    PlainCVAE,
    PlainVAE,
    PlainVAEConfig,
    taken_pairs,
)
from prodgen_rec.imagery.noise import user_noise
from prodgen_rec.imagery.pairs import LearnedFrom
from prodgen_rec.interactions import build_interactions
from prodgen_rec.personalizer.drawing import Wish, draw
from prodgen_rec.personalizer.fitted import Fitted, photo_rows


class Row(NamedTuple):
    """A model, the vectors it learns from, and phases that it has in common with the row full."""

    kind: type[ImageModel]
    config: Any
    vectors: tuple[LearnedFrom, ...] = ("full",)
    shared: tuple[str, ...] = ()


def _full(
    shared: tuple[str, ...] = (), vectors: tuple[LearnedFrom, ...] = ("full",), **other: Any
) -> Row:
    return Row(ConditionalVAE, ImageryConfig(**other), vectors, shared)


_PICTURES = ("autoencoder", "refinement")


def _prior(vectors: tuple[LearnedFrom, ...] = ("full",), **other: Any) -> Row:
    """Another prior for the same decoder, to compare with the row "no sharpening"."""
    return _full(_PICTURES, vectors, sharpening_share=0.0, **other)


ROWS = {
    "full": _full(),
    "no sharpening": _full((*_PICTURES, "prior"), sharpening_share=0.0),
    "no refinement": _full(("autoencoder",), refinement_share=0.0),
    "no perceptual": _full(perceptual_weight=0.0, refinement_share=0.0),
    "gaussian prior": _prior(prior="gaussian"),
    "leave-one-out": _prior(("leave_one_out",)),
    "subset": _prior(("subset",)),
    "item": _prior(("item",)),
    "mixture": _prior(("full", "leave_one_out", "subset", "item")),
    "plain VAE": Row(PlainVAE, PlainVAEConfig()),
    "plain CVAE": Row(PlainCVAE, PlainVAEConfig()),
    "DCGAN": Row(DCGAN, GANConfig()),
    "conditional GAN": Row(ConditionalGAN, GANConfig()),
}
N_USERS = 2000
N_SHOWN = 10
N_SHEETS = 8


def main() -> None:
    """Train and judge one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", choices=ROWS, default="full")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--size", type=int, choices=[64, 128], default=64, help="in pixels")
    parser.add_argument("--out", type=Path, default=Path("build/pictures"))
    parser.add_argument("--guidance", type=float, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--pool", type=int, nargs="*", default=[4], help="at guidance 1")
    parser.add_argument("--likeness", type=float, nargs="*", default=[0.0], help="at guidance 1")
    arguments = parser.parse_args()
    data = Path(os.environ.get("PRODGEN_REC_DATA", "../shared/data")) / "hm_fashion"
    if not data.is_dir():
        print(f"skipped: there is no {data}; set PRODGEN_REC_DATA to the folder that holds it")
        return
    folder = arguments.out if arguments.size == 64 else arguments.out / f"{arguments.size}"
    out = folder / arguments.row.replace(" ", "-")
    out.mkdir(parents=True, exist_ok=True)
    shop = Shop(data, folder, arguments.size)
    start = time.monotonic()
    model = trained(arguments.row, shop, arguments.minutes, out)
    figures = {"row": arguments.row, "minutes": (time.monotonic() - start) / 60}
    ways = [Way(guidance=guidance) for guidance in arguments.guidance]
    if isinstance(model, ConditionalVAE):
        ways += [Way(pool=pool) for pool in arguments.pool]
        ways += [Way(likeness=likeness) for likeness in arguments.likeness]
    found, evaluation = judged(model, shop, ways, out)
    (out / "figures.json").write_text(json.dumps(figures | found, indent=1), encoding="utf-8")
    write_page(evaluation, shop, out)


class Way(NamedTuple):
    """How pictures are drawn; what is None is what the settings of the model say."""

    guidance: float = 1.0
    pool: int | None = None
    likeness: float | None = None

    def __str__(self) -> str:
        said = (f"{name} {value:g}" for name, value in self._asdict().items() if value is not None)
        return ", ".join(said)


class Shop:
    """Photos, pairs and users of the experiment."""

    def __init__(self, data: Path, cache: Path, size: int) -> None:
        self.catalog = pg.read_catalog(
            data / "items.csv.gz", data / f"images_{size}.parquet", size=size, cache_dir=cache
        )
        split = pd.read_parquet(data / "split_core53.parquet")
        log = split.assign(event="purchase", timestamp=pd.Timestamp("2020-09-20", tz="UTC"))
        self.history, self.future = (
            build_interactions(pg.read_events(log[log["split"] == side].drop(columns="split")))
            for side in ("train", "test")
        )
        n = self.catalog.report.n_photos
        self.held_out = np.random.default_rng(0).permutation(n) < n // 10
        self.recommender = pg.ALS(128, 10.0, 4.0, frequency_scaling=0.0).fit(self.history)
        self.photos = np.asarray(self.catalog.photos)
        self.known = self._known_catalog()
        self.judge = pretrained_judge()
        self._cache = cache

    def _known_catalog(self) -> pg.Catalog:
        """The catalogue as a model may see it, without the photos that are held out."""
        catalog = self.catalog
        place = np.where(self.held_out, -1, np.cumsum(~self.held_out) - 1)
        index = np.where(catalog.photo_index < 0, -1, place[catalog.photo_index]).astype(np.int64)
        photos = self.photos[~self.held_out]
        report = PhotoReport(len(catalog.items), len(photos))
        return pg.Catalog(catalog.items, catalog.attributes, photos, index, report)

    def pairs(self, vectors: tuple[LearnedFrom, ...]) -> Pairs:
        """What a model learns from."""
        rows = photo_rows(self.history.items, self.known)
        return taken_pairs(self.recommender, rows, vectors=vectors)

    def judged_photos(self) -> np.ndarray:
        """The judge's features of all photos, kept for the next run."""
        path = self._cache / "features.npy"
        if not path.exists():
            np.save(path, self.judge.features(self.photos))
        return np.load(path)


def trained(name: str, shop: Shop, minutes: float, out: Path) -> ImageModel:
    """The model of a row, from its files if it is there already."""
    row = ROWS[name]
    if (out / "image_model.json").exists():
        model = row.kind.load(out)
        of_drawing = {name: getattr(row.config, name) for name in row.config.of_drawing}
        model.config = model.config.model_copy(update=of_drawing)
        return model
    for phase in row.shared:
        there = out.parent / "full" / f"{phase}.npz"
        if there.exists() and not (out / there.name).exists():
            shutil.copy(there, out)
    config = row.config.model_copy(update={"size": shop.catalog.size})
    model = row.kind(config).fit(
        shop.known.photos, shop.pairs(row.vectors), Budget(minutes=minutes), checkpoint_folder=out
    )
    model.save(out)
    return model


def judged(
    model: ImageModel, shop: Shop, ways: list[Way], out: Path
) -> tuple[dict[str, Any], ImageEvaluation]:
    """All figures of a model for each way to draw, and pictures to look at."""
    features = shop.judged_photos()
    training, held_out = features[~shop.held_out], features[shop.held_out]
    figures: dict[str, Any] = {}
    sheet = {"photos": shop.photos[shop.held_out][:12]}
    rebuilt, rebuilt_kernel = reconstructed(model, shop.photos[shop.held_out]), None
    if rebuilt is not None:
        sheet["rebuilt"] = rebuilt[:12]
        seen = shop.judge.features(rebuilt)
        rebuilt_kernel = kernel_distance(held_out, seen)
        figures["rebuilt"] = tell("rebuilt", rebuilt_kernel)
        figures["told"] = told_attributes(shop, features, seen)
        print(figures["told"])
    users = served_users(shop)
    vectors = shop.recommender.fold_in(shop.history.for_users(users))
    items = JudgedItems(shop.catalog.with_photo(), in_item_order(shop, features), shop.judge.name)
    future = pairs_of(shop, users)
    # Pictures come best first: one of each user, of every rank as often.
    alike = 4 * np.arange(N_USERS) + np.arange(N_USERS) % 4
    drawn, imagined = {}, []
    for one_way in ways:
        way = str(one_way)
        made = pictures(model, shop, users, vectors, one_way)
        seen = shop.judge.features(made)
        nearest, _ = nearest_photos(training, seen[alike[:N_SHOWN]])
        drawn[way] = one = DrawnPictures(
            fidelity_report(training, held_out, seen[alike]),
            match_auc(np.repeat(users, 4), seen, future, items),
            diversity(np.repeat(users, 4), items.directions_of(seen)),
            images=made[alike[:N_SHOWN]],
            nearest=shop.known.photos[nearest],
        )
        figures[way] = {
            "fidelity": one.fidelity.to_dict(),
            "match_auc": vars(one.match.mean),
            "shuffled": one.match.permuted_mean,
            "diversity": vars(one.diversity),
        }
        tell(way, one.fidelity.kernel)
        among, floor = one.fidelity.among, one.fidelity.among_floor
        print(f"  coverage {among.coverage:.3f} of {floor.coverage:.3f}, {one.match}")
        sheet[way] = made[alike[:12]]
        imagined.append(made[: 4 * N_SHEETS].reshape(N_SHEETS, 4, *made.shape[1:]))
    unknown = pictures(model, shop, users, np.zeros_like(vectors), Way())[alike]
    unknown_kernel = kernel_distance(held_out, shop.judge.features(unknown))
    figures["cold"] = tell("cold", unknown_kernel)
    comparison_rows(sheet, out / "sheet.png")
    user_sheets(shop, users, np.stack(imagined, axis=1), list(drawn), out / "users.png")
    lists = shop.recommender.recommend(users, 10)
    taken = shop.history.for_users(users)
    history = table_of(taken)
    real = brackets(items, future, history, lists)
    figures["real"] = {name: vars(one.mean) for name, one in real.items()}
    print({name: round(one["value"], 3) for name, one in figures["real"].items()})
    real_diversity = listed_diversity(lists, items)
    figures["real_diversity"] = vars(real_diversity)
    evaluation = ImageEvaluation(
        drawn,
        real,
        photos=shop.photos[shop.held_out][:N_SHOWN],
        rebuilt=None if rebuilt is None else rebuilt[:N_SHOWN],
        rebuilt_kernel=rebuilt_kernel,
        unknown_kernel=unknown_kernel,
        real_diversity=real_diversity,
    )
    return figures, evaluation


def user_sheets(
    shop: Shop, users: np.ndarray, imagined: np.ndarray, ways: list[str], path: Path
) -> None:
    """For some users what they took, and below it what was imagined, uint8 (n, n_ways, 4, …)."""
    rows = {}
    for user, made in zip(users, imagined, strict=False):
        taken = shop.catalog.items.find(shop.history.history(user)["item_id"].to_numpy())
        index = shop.catalog.photo_index[taken[taken >= 0]]
        rows[f"{user} took"] = shop.photos[index[index >= 0][:12]]
        for way, pictures in zip(ways, made, strict=True):
            rows[f"{user}, {way}"] = pictures
    comparison_rows(rows, path)


def told_attributes(
    shop: Shop, features: np.ndarray, rebuilt: np.ndarray
) -> dict[str, dict[str, float]]:
    """How often a classifier of training photos tells an attribute, of photos and rebuilt ones."""
    item = np.empty(len(shop.photos), np.int64)
    shown = shop.catalog.photo_index >= 0
    item[shop.catalog.photo_index[shown]] = np.flatnonzero(shown)
    told = {}
    for name in ("product_type_name", "colour_group_name"):
        values = shop.catalog.attributes[name].to_numpy()[item]
        classifier = make_pipeline(StandardScaler(), RidgeClassifier(1000.0))
        classifier.fit(features[~shop.held_out], values[~shop.held_out])
        right = {
            "photos": classifier.predict(features[shop.held_out]) == values[shop.held_out],
            "rebuilt": classifier.predict(rebuilt) == values[shop.held_out],
        }
        told[name] = {which: float(one.mean()) for which, one in right.items()}
    return told


def write_page(evaluation: ImageEvaluation, shop: Shop, out: Path) -> None:
    """The figures as a page for people."""
    report = image_report(evaluation)
    write_report(
        out / "report.html",
        [ReportSection(**section) for section in report.sections],
        title=f"H&M, model “{out.name}”",
        note=f"{shop.catalog.size} pixels, {np.sum(~shop.held_out):,} photos to learn from, "
        f"{np.sum(shop.held_out):,} held out. {report.note}",
        summary=report.summary,
    )


def listed_diversity(lists: pd.DataFrame, items: JudgedItems) -> Diversity:
    """Diversity of the photos of each user's first four recommendations."""
    first = lists[lists["rank"] <= 4]
    rows = items.items.find(first["item_id"].to_numpy())
    return diversity(first["user_id"].to_numpy()[rows >= 0], items.directions[rows[rows >= 0]])


def pictures(
    model: ImageModel, shop: Shop, users: np.ndarray, vectors: np.ndarray, way: Way
) -> np.ndarray:
    """Four pictures of each user, uint8 (4 · n_users, size, size, 3), as a personalizer draws."""
    if not isinstance(model, ConditionalVAE):
        noise = user_noise(0, users, 4, model.latent_size).reshape(-1, model.latent_size)
        return model.sample(np.repeat(vectors, 4, axis=0), noise, guidance=way.guidance)
    config, index = model.config, shop.known.photo_index
    learned = Fitted(
        pg.PersonalizerConfig(imagery=config),
        0,
        shop.recommender,
        shop.known,
        model,
        model.encode(shop.known.photos)[index[index >= 0]],
        {},
    )
    likeness = config.likeness if way.likeness is None else way.likeness
    unsaid = model.vocabulary_.asked({})
    exemplars = learned.exemplars(unsaid) if likeness > 0 else None
    history = shop.history.for_users(users)
    wish = Wish(
        n=4,
        pool=way.pool or config.pool,
        seed=0,
        guidance=way.guidance,
        temperature=1.0,
        diversity=config.diversity,
        likeness=likeness,
        codes=np.tile(unsaid, (len(users), 1)),
        exemplars=exemplars,
        taken=None if exemplars is None else history.for_items(exemplars.items).matrix,
    )
    drawn = draw(learned, as_id_array(users), vectors, wish)
    print(f"{way}: {drawn.n_rejected} of {len(drawn.latents)} were copies and drawn again")
    return model.decode(drawn.latents)


def tell(what: str, distance: Interval) -> dict[str, float]:
    """Print a kernel distance, and return it for the file."""
    print(f"{what}: KID × 1000 {distance.value:.0f} ({distance.low:.0f} to {distance.high:.0f})")
    return vars(distance)


def reconstructed(model: Any, photos: np.ndarray) -> np.ndarray | None:
    """Photos through the model, if it can."""
    if hasattr(model, "encode"):
        return model.decode(model.encode(photos))
    return model.reconstruct(photos) if hasattr(model, "reconstruct") else None


def served_users(shop: Shop) -> np.ndarray:
    """Users with held-out purchases, drawn by a seed."""
    both = np.intersect1d(shop.history.users.ids, shop.future.users.ids)
    return np.sort(np.random.default_rng(0).choice(both, N_USERS, replace=False))


def pairs_of(shop: Shop, users: np.ndarray) -> pd.DataFrame:
    """Held-out purchases of users."""
    return table_of(shop.future.for_users(users))


def table_of(interactions: pg.Interactions) -> pd.DataFrame:
    """Pairs as ``user_id, item_id``."""
    pairs = interactions.matrix.tocoo()
    return pd.DataFrame(
        {
            "user_id": interactions.users.take(pairs.row),
            "item_id": interactions.items.take(pairs.col),
        }
    )


def in_item_order(shop: Shop, features: np.ndarray) -> np.ndarray:
    """Features of photos, in the order of the items that have one."""
    index = shop.catalog.photo_index
    return features[index[index >= 0]]


if __name__ == "__main__":
    main()
