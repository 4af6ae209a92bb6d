"""A page on a nightly run: what came in and out, time and cost, scores, pictures of some users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from prodgen_rec.columns import IMAGE, IS_COLD, ITEM_ID, LOOKS_LIKE, RANK, USER_ID
from prodgen_rec.display import _axes, _words
from prodgen_rec.display._pages import write_page
from prodgen_rec.display.gallery import GalleryUser, Picture
from prodgen_rec.display.report import ReportSection
from prodgen_rec.display.showcase import Words
from prodgen_rec.errors import InputError
from prodgen_rec.figures import LINES
from prodgen_rec.nightly import Account
from prodgen_rec.nightly.quality import EDGES
from prodgen_rec.nightly.reading import sample
from prodgen_rec.personalizer import Personalizer
from prodgen_rec.preferences.parallel import n_cpus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from prodgen_rec.nightly.quality import Summary

_N_SHOWN = 24
_STAGES = {
    "bundle": "Opening the bundle",
    "offer": "Reading files of items and users",
    "log": "Reading the log",
    "kernel": "Starting the networks",
    "making": "Making the parts",
    "publishing": "Publishing",
    "delta": "Copying to Delta",
}


def nightly_report(
    path: str | os.PathLike[str],
    account: Account,
    *,
    to: Path | str,
    bundle: Path,
    ending: str,
    core_hour_price: float | None = None,
) -> Path:
    """Write a page on a run whose parts are all made, published or not.

    Parameters
    ----------
    path
        The page, one file; its folder is made if need be.
    account
        As `prodgen_rec.nightly.run` has left it.
    to
        Where the run lies.
    bundle
        That it was made from; photos of its items are shown.
    ending
        How the job ended, in a sentence.
    core_hour_price
        Of one CPU for an hour, in any currency; without it, cost is in core-hours alone.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        Not all parts were made.
    DeliveryError
        The run cannot be read.
    """
    if account.counts is None:
        raise InputError("a report of a run without its parts; run the job to its end first")
    sections = [
        _in_and_out(account),
        *_time(account, core_hour_price),
        *_scores(account),
        _about(account),
    ]
    return write_page(
        Path(path),
        "nightly",
        title=f"Nightly run {account.run_id}",
        note=ending,
        summary=_summary(account, core_hour_price),
        sections=sections,
        shoppers=_shoppers(to, account.run_id, Personalizer.load(bundle)),
    )


def _summary(account: Account, price: float | None) -> dict[str, str]:
    counts, rate = account.counts, account.pictures_per_second
    assert counts is not None  # noqa: S101
    found = {f"of {counts.n_in:,} users served": f"{counts.n_out:,}"}
    found["took all of it"] = _seconds(sum(account.seconds.values()))
    if rate is not None:
        found["pictures made"] = f"{account.n_pictures:,}"
        found["pictures a second"] = f"{rate:,.0f}"
        found |= {"core-hours per million pictures": f"{_core_hours(1e6 / rate):,.1f}"}
        if price is not None:
            found["cost per million pictures"] = f"{price * _core_hours(1e6 / rate):,.2f}"
    if account.drift is not None:
        found["drift of scores"] = f"{account.drift:.3f}"
    return found


def _in_and_out(account: Account) -> ReportSection:
    counts, log = account.counts, account.log
    assert counts is not None  # noqa: S101
    rows = [
        ("Users due", counts.n_in, counts.n_in),
        ("Users served", counts.n_out, counts.n_in),
        *((f"Refused: {why}", n, counts.n_in) for why, n in counts.refused.items()),
    ]
    if log is not None:
        rows += [
            ("Rows of the log", log.n_rows, log.n_rows),
            ("Good rows", log.n_good, log.n_rows),
            *((f"Bad rows: {why}", n, log.n_rows) for why, n in log.reasons.items()),
        ]
    for one in account.readings:
        n = one.n_known + one.n_unknown
        rows.append((f"{one.setting}: {one.what}", one.n_known, n))
        rows.append((f"{one.setting}: the bundle knows nothing of", one.n_unknown, n))
    return ReportSection(
        "What came in and what came out",
        note="Users due are those served and those refused, rows are good or bad: nothing is lost.",
        table=[
            {"": name, "Number": _words.count(n), "Share": _words.share(n / max(of, 1))}
            for name, n, of in rows
        ],
    )


def _time(account: Account, price: float | None) -> Iterator[ReportSection]:
    total = sum(account.seconds.values())
    if not total:
        return
    stages = {_STAGES.get(name, name): seconds for name, seconds in account.seconds.items()}
    table = [
        {"Stage": name, "Time": _seconds(seconds), "Share": _words.share(seconds / total)}
        for name, seconds in stages.items()
    ]
    yield ReportSection(
        "Where the time went",
        note=f"Of this job, on {n_cpus()} CPUs. Parts that an interrupted job had made are not "
        "in it.",
        plots={"Time by stage, seconds": _bars(pd.Series(stages))},
        table=table,
    )
    if account.pictures_per_second is not None:
        yield _cost(account, price)


def _cost(account: Account, price: float | None) -> ReportSection:
    making, n_pictures = account.seconds["making"], account.n_pictures
    rows = {
        "Users a second": _words.number(account.n_users / making),
        "Pictures a second": _words.number(n_pictures / making),
        "Pictures a second and CPU": _words.number(n_pictures / making / n_cpus()),
        "Core-hours of the job": f"{_core_hours(sum(account.seconds.values())):,.3f}",
        "Core-hours per million pictures": f"{_core_hours(1e6 * making / n_pictures):,.2f}",
        "Bytes a picture": _words.count(account.n_bytes / n_pictures),
        "Gigabytes per million pictures": _words.number(account.n_bytes / n_pictures / 1e3),
    }
    if price is not None:
        rows["Price of a core-hour"] = f"{price:g}"
        cost = price * _core_hours(1e6 * making / n_pictures)
        rows["Cost per million pictures"] = f"{cost:,.2f}"
    return ReportSection(
        "What it costs",
        note="A core-hour is a CPU of this machine for an hour, busy or not. Figures per picture "
        "are of the stage that makes the parts, from events to bytes on the disk.",
        table=[{"": name, "Figure": text} for name, text in rows.items()],
    )


def _scores(account: Account) -> Iterator[ReportSection]:
    made, before = account.made, account.before
    if made is None or not sum(made.figures["scores"]):
        return
    drifted = (
        "There was no run before to compare with."
        if before is None
        else f"The largest distance between the two distribution functions is {account.drift:.3f}."
    )
    yield ReportSection(
        "Scores of the first recommendations",
        note=f"One for each user with a usable history; an item taken has about 1. {drifted}",
        plots={"Distribution of scores": _histogram(made, before)},
        table=_quality(made),
    )


def _quality(made: Summary) -> list[dict[str, str]]:
    figures, n = made.figures, max(made.figures["pictures"], 1)
    rows = {
        "Pictures in one color": (figures["constant"], n),
        "Pictures in black and white alone": (figures["saturated"], n),
        "Users without a usable history": (figures["cold"], max(made.n_out, 1)),
    }
    return [
        {"": name, "Number": _words.count(count), "Share": _words.share(count / of)}
        for name, (count, of) in rows.items()
    ]


def _about(account: Account) -> ReportSection:
    facts: dict[str, Any] = {"Run": account.run_id, "Kernel": account.kernel}
    if account.before is not None:
        facts["Run before"] = account.before.run_id
    for complaint in account.complaints:
        facts["Accepted"] = complaint
    if account.manifest is not None:
        manifest = account.manifest
        facts |= {"Night": manifest.date, "Parts": manifest.n_parts, "Seed": manifest.seed}
        facts["Fingerprint of all that was read"] = manifest.inputs
        facts |= {f"Setting {name}": one for name, one in manifest.settings.items()}
        facts |= {f"Version of {name}": one for name, one in manifest.versions.items()}
    return ReportSection(
        "How it was made",
        table=[{"": name, "Value": str(value)} for name, value in facts.items()],
        words=["Value"],
    )


def _shoppers(to: Path | str, run_id: str, personalizer: Personalizer) -> list[GalleryUser]:
    rows, words = sample(to, run_id, _N_SHOWN), Words(personalizer.catalog_)
    if not len(rows):
        return []
    table = rows.sort_by([(USER_ID, "ascending"), (RANK, "ascending")]).to_pandas()
    return [_shopper(user_id, of_user, words) for user_id, of_user in table.groupby(USER_ID)]


def _shopper(user_id: Any, rows: pd.DataFrame, words: Words) -> GalleryUser:
    shown = rows[rows[IMAGE].notna()]
    return GalleryUser(
        f"{user_id} (no history)" if rows[IS_COLD].any() else user_id,
        recommended=words.pictures(rows[ITEM_ID].dropna()),
        imagined=[
            Picture(_decoded(encoded), f"looks like {item_id}")
            for encoded, item_id in zip(shown[IMAGE], shown[LOOKS_LIKE], strict=True)
        ],
    )


def _decoded(encoded: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


def _bars(stages: pd.Series) -> Figure:
    figure, axes = _axes.new_axes(stages.to_frame(), "Time by stage", x="seconds")
    axes.barh(range(len(stages)), stages.to_numpy(), color=LINES[0], height=0.6)
    _axes.row_names(axes, pd.Series(stages.index))
    return figure


def _histogram(made: Summary, before: Summary | None) -> Figure:
    figure, axes = _axes.new_axes(pd.DataFrame({"edge": EDGES}), "Scores", x="score")
    both = [made] if before is None else [before, made]
    if before is not None:
        _stairs(axes, before, f"run {before.run_id}", fill=True, color=_axes.PALE)
    _stairs(axes, made, "this run", color=LINES[1], lw=1.4)
    used = np.flatnonzero(np.sum([one.figures["scores"] for one in both], axis=0))
    axes.set_xlim(EDGES[max(used[0] - 2, 0)], EDGES[min(used[-1] + 3, len(EDGES) - 1)])
    _axes.as_shares(axes)
    _axes.legend(axes)
    return figure


def _stairs(axes: Axes, run: Summary, label: str, **look: Any) -> None:
    scores = np.asarray(run.figures["scores"])
    axes.stairs(scores / max(scores.sum(), 1), EDGES, label=label, **look)


def _core_hours(seconds: float) -> float:
    return seconds * n_cpus() / 3600


def _seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
