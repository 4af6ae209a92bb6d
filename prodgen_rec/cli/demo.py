"""``demo``: the whole path on a synthetic shop, through the same commands as anybody's."""

from __future__ import annotations

from pathlib import Path

from prodgen_rec.cli import fitting, reports, serving
from prodgen_rec.cli.console import Reporter, as_json
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.outputs import check_folder
from prodgen_rec.cli.settings import write_settings
from prodgen_rec.config import PersonalizerConfig
from prodgen_rec.datasets import ShopFiles, write_shop
from prodgen_rec.errors import InputError
from prodgen_rec.imagery import ImageryConfig
from prodgen_rec.storage import atomic_file

_NOTE = "Small networks, for a small shop and a few minutes on two cores."
_PREFERENCES = {"factors": 32, "regularization": 1.0}
_N_USERS_JUDGED = 1000
_N_USERS_SHOWN = 16


def run(
    out: Path,
    *,
    items: int,
    users: int,
    minutes: float | None,
    steps: int | None,
    seed: int,
    report: Reporter,
) -> Path:
    """Make a shop in ``out`` and run everything on it; returns the gallery page."""
    check_folder(out)
    shop = _shop(out, items, users, seed, report)
    settings = out / "settings.toml"
    quick = ImageryConfig.quick().model_dump(exclude_defaults=True)
    chosen = PersonalizerConfig.parse({"preferences": _PREFERENCES, "imagery": quick})
    write_settings(settings, chosen, _NOTE)
    bundle, events, inputs = out / "bundle", shop.events, Inputs(report=report)
    fitting.fit(
        events=events,
        items=shop.items,
        photos=shop.photos,
        out=bundle,
        minutes=minutes,
        steps=steps,
        seed=seed,
        config=settings,
        inputs=inputs,
    )
    lists, pictures = out / "recommendations.parquet", out / "pictures.parquet"
    serving.recommend(bundle=bundle, events=events, out=lists, inputs=inputs)
    serving.imagine(bundle=bundle, events=events, out=pictures, seed=seed, inputs=inputs)
    reports.evaluate(
        bundle=bundle,
        events=events,
        holdout=shop.holdout,
        out=out / "evaluation",
        truth=shop.truth,
        max_users=_N_USERS_JUDGED,
        seed=seed,
        inputs=inputs,
    )
    return reports.gallery(
        bundle=bundle,
        events=events,
        out=out / "gallery",
        max_users=_N_USERS_SHOWN,
        seed=seed,
        inputs=inputs,
    )


def _shop(out: Path, items: int, users: int, seed: int, report: Reporter) -> ShopFiles:
    """The shop in ``out``, made if it is not there yet; one of another size is refused."""
    shop, record = ShopFiles(out / "shop"), out / "shop.json"
    wanted = as_json({"items": items, "users": users, "seed": seed}) + "\n"
    if shop.truth.is_file() and (not record.is_file() or record.read_text("utf-8") != wanted):
        raise InputError(
            f"--out: {out} holds a demo of other --items, --users or --seed; name another folder, "
            "or delete this one"
        )
    if not shop.truth.is_file():
        with report.step(f"making a shop in {shop.folder}"):
            with atomic_file(record) as temporary:
                temporary.write_text(wanted, encoding="utf-8")
            write_shop(shop.folder, n_items=items, n_users=users, seed=seed)
    return shop
