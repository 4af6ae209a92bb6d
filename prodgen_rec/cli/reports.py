"""``evaluate`` and ``gallery``: figures and pages about a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodgen_rec.cli.console import Reporter, as_json
from prodgen_rec.cli.files import read_truth
from prodgen_rec.cli.inputs import Inputs
from prodgen_rec.cli.outputs import check_folder, spreadsheet_safe
from prodgen_rec.cli.startup import start_tensorflow
from prodgen_rec.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

    from prodgen_rec.evaluation.judge import Judge
    from prodgen_rec.evaluation.judge_trained import CatalogJudge
    from prodgen_rec.evaluation.offline import PictureEvaluation, RankingEvaluation
    from prodgen_rec.interactions import Interactions
    from prodgen_rec.personalizer import Personalizer

_TOLD_METRICS = ("recall@20", "ndcg@20")
_SHEET_USERS = 10
_SHEET_PICTURES = 100


def evaluate(
    *,
    bundle: Path,
    events: Path,
    holdout: Path,
    out: Path,
    truth: Path | None = None,
    max_users: int = 2000,
    seed: int = 0,
    guidance: float | None = None,
    inputs: Inputs,
) -> dict[str, Any]:
    """Measure a bundle; writes ``metrics.json``, tables and sheets."""
    check_folder(out)
    report = inputs.report
    tastes = None if truth is None else read_truth(truth)
    personalizer = inputs.open_bundle(bundle)
    history, held_out = (inputs.read_history(log, personalizer) for log in (events, holdout))
    inputs.check_columns_found()
    start_tensorflow(report)
    from prodgen_rec.evaluation.offline import evaluate_lists, evaluate_pictures

    teller = None if tastes is None else _teller(personalizer, tastes, seed, report)
    with report.step("ranking"):
        lists = evaluate_lists(personalizer, history, held_out, seed=seed)
        report.say(_lists_text(lists))
    metrics: dict[str, Any] = {"ranking": lists.to_dict()}
    judge = _judge(teller)
    if isinstance(judge, MissingExtraError):
        metrics["pictures"] = {"not_judged": str(judge)}
        report.say(f"pictures are not judged: {judge}")
    else:
        with report.step("judging pictures"):
            pictures = evaluate_pictures(
                personalizer,
                history,
                held_out,
                lists.recommendations,
                judge,
                max_users=max_users,
                seed=seed,
                guidance=guidance,
            )
            metrics["pictures"] = pictures.to_dict()
            if teller is not None and tastes is not None:
                metrics["agreement"] = _agreement(teller, pictures, tastes, seed)
            report.say(_pictures_text(metrics))
        _write_sheets(out, personalizer, history, pictures)
    _write_tables(out, lists, metrics)
    return metrics


def gallery(
    *,
    bundle: Path,
    events: Path,
    out: Path,
    users: str = "all",
    max_users: int = 24,
    n: int = 8,
    seed: int = 0,
    guidance: float | None = None,
    title: str = "Pictures for every shopper",
    inputs: Inputs,
) -> Path:
    """Write the gallery page and return its path."""
    from prodgen_rec.display import write_gallery
    from prodgen_rec.display.showcase import gallery_users

    check_folder(out)
    personalizer, history, user_ids = inputs.open_for_users(bundle, events, users)
    chosen = user_ids[:max_users]
    start_tensorflow(inputs.report)
    with inputs.report.step(f"making a gallery of {len(chosen)} users"):
        shown = gallery_users(personalizer, history, chosen, n=n, seed=seed, guidance=guidance)
        return write_gallery(
            out,
            shown,
            title=title,
            note="What each shopper took, what is recommended, and what was imagined for them. "
            "Imagined pictures are generated: no such product need exist.",
            summary={
                "Shoppers shown": f"{len(shown):,} of {history.n_users:,}",
                "Items": f"{len(personalizer.catalog_.items):,}",
            },
        )


def _teller(
    personalizer: Personalizer, tastes: pd.DataFrame, seed: int, report: Reporter
) -> CatalogJudge:
    """A network that tells the attributes of pictures, trained on the catalogue's photos."""
    from prodgen_rec.evaluation.judge_trained import CatalogJudge, labelled_photos

    attributes = [str(name) for name in tastes["attribute"].unique()]
    photos, labels = labelled_photos(personalizer.catalog_, attributes)
    with report.step(f"training a judge of {' and '.join(attributes)} on the catalogue"):
        return CatalogJudge(seed=seed).fit(photos, labels, progress=report.talks)


def _judge(teller: CatalogJudge | None) -> Judge | MissingExtraError:
    """The pretrained judge where it is installed, else the one trained on the catalogue."""
    from prodgen_rec.evaluation.judge import pretrained_judge

    try:
        return pretrained_judge()
    except MissingExtraError as error:
        return teller or error


def _agreement(
    teller: CatalogJudge, pictures: PictureEvaluation, tastes: pd.DataFrame, seed: int
) -> dict[str, Any]:
    from prodgen_rec.columns import USER_ID
    from prodgen_rec.evaluation.agreement import attribute_agreement

    table = attribute_agreement(
        pictures.made.table[USER_ID].to_numpy(),
        teller.predict(pictures.made.images),
        tastes,
        seed=seed,
    )
    return {"judge_accuracy": teller.accuracy_, "table": table.to_dict("records")}


def _write_sheets(
    out: Path, personalizer: Personalizer, history: Interactions, pictures: PictureEvaluation
) -> None:
    from prodgen_rec.columns import USER_ID
    from prodgen_rec.display import contact_sheet
    from prodgen_rec.display.showcase import user_sheet

    images = pictures.made.images[:_SHEET_PICTURES]
    contact_sheet(images, out / "imagined.png", title="Imagined, four per user")
    users = pictures.made.table[USER_ID].unique()[:_SHEET_USERS]
    user_sheet(personalizer, history, pictures.made, users, out / "users.png")


def _write_tables(out: Path, lists: RankingEvaluation, metrics: dict[str, Any]) -> None:
    import pandas as pd

    from prodgen_rec.storage import atomic_file

    reports = {"personalized": lists.personalized, "popular": lists.popular}
    tables = {
        "ranking": pd.concat(
            [report.table().assign(recommender=name) for name, report in reports.items()]
        ),
        "match_auc": pd.DataFrame(metrics["pictures"].get("match_auc", [])),
        "agreement": pd.DataFrame(metrics.get("agreement", {}).get("table", [])),
    }
    for name, table in tables.items():
        if len(table):
            with atomic_file(out / f"{name}.csv") as temporary:
                spreadsheet_safe(table).to_csv(temporary, index=False)
    with atomic_file(out / "metrics.json") as temporary:
        temporary.write_text(as_json(metrics, indent=1) + "\n", encoding="utf-8")


def _lists_text(lists: RankingEvaluation) -> str:
    ours, theirs = lists.personalized.intervals, lists.popular.intervals
    return "\n".join(
        f"  {name}: {ours[name].value:.4f} ({ours[name].low:.4f} to {ours[name].high:.4f}), "
        f"by popularity {theirs[name].value:.4f}"
        for name in _TOLD_METRICS
    )


def _pictures_text(metrics: dict[str, Any]) -> str:
    lines = [
        f"match AUC of {row['pictures']}: {row['value']:.3f} "
        f"({row['low']:.3f} to {row['high']:.3f})"
        for row in metrics["pictures"]["match_auc"]
    ]
    lines += [
        f"{row['attribute']} of {row['pictures']} pictures agrees with the taste: "
        f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}), by chance {row['chance']:.3f}"
        for row in metrics.get("agreement", {}).get("table", [])
    ]
    return "\n".join(f"  {line}" for line in lines)
