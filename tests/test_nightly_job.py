"""The nightly job on the small shop."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from prodgen_rec.errors import (
    BundleError,
    ConfigError,
    LockHeldError,
    NothingToPublishError,
    QualityGateError,
    RunConflictError,
)
from prodgen_rec.events import read_events
from prodgen_rec.nightly import NightlySettings, Target, forecast, latest, part_of, run

NIGHT = "2026-11-26"


@pytest.fixture(scope="module")
def events(small_shop, tmp_path_factory) -> Path:
    """The log of the shop, and a user without anything that the fit knows."""
    frame = read_events(small_shop.events).to_pandas()
    cold = frame.iloc[:1].assign(user_id="user-cold", item_id="SKU-unheard")
    file = tmp_path_factory.mktemp("log") / "events.parquet"
    pd.concat([frame, cold]).to_parquet(file, index=False)
    return file


def settings_of(bundle: Path, events: Path, to: Path, **more) -> NightlySettings:
    recipe = {
        "users_per_part": 60,
        "n_items": 3,
        "n_pictures": 2,
        "image_format": "png",
    } | more.pop("recipe", {})
    return NightlySettings.read(
        bundle=bundle, events=str(events), to=str(to), date=NIGHT, recipe=recipe, **more
    )


@pytest.fixture(scope="module")
def published(bundle, events, tmp_path_factory) -> Path:
    """A place with the run of the night; not to be changed."""
    place = tmp_path_factory.mktemp("place")
    run(settings_of(bundle, events, place))
    return place


def test_every_user_has_the_rows_that_the_personalizer_gives(published, fitted, events):
    delivery = latest(published)
    table = delivery.table().to_pandas()
    users = sorted(pd.read_parquet(events)["user_id"].unique())
    assert delivery.manifest.n_parts == 4
    assert delivery.manifest.counts.n_in == delivery.manifest.counts.n_out == len(users)
    assert sorted(table["user_id"].unique()) == users
    assert (table.groupby("user_id")["rank"].agg(list).map(tuple) == (1, 2, 3)).all()

    table = table.sort_values(["user_id", "rank"], ignore_index=True)
    lists = fitted.recommend(users, 3, events=events, cold="popular")
    assert table["item_id"].tolist() == lists["item_id"].tolist()
    assert np.array_equal(table["score"].to_numpy(np.float32), lists["score"])

    shown = table[table["rank"] <= 2]
    made = fitted.imagine(users, 2, events=events, cold="popular")
    assert shown["looks_like"].tolist() == made.table["item_id"].tolist()
    for encoded, image in zip(shown["image"], made.images, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), image)
    assert (
        table.loc[table["rank"] == 3, ["image", "looks_like", "similarity"]].isna().all(axis=None)
    )
    assert table.groupby("user_id")["is_cold"].first().loc[lambda cold: cold].index.tolist() == [
        "user-cold"
    ]


def test_a_user_is_in_the_part_of_the_hash(published):
    for index, table in enumerate(latest(published).tables()):
        assert (part_of(table["user_id"], 4) == index).all()


def same_but_for_parts(one: pa.Table, other: pa.Table) -> bool:
    order = [("user_id", "ascending"), ("rank", "ascending")]
    return one.sort_by(order).equals(other.sort_by(order))


def test_parts_do_not_change_a_row(published, bundle, events, tmp_path):
    run(settings_of(bundle, events, tmp_path, recipe={"users_per_part": 1000}))
    assert latest(tmp_path).manifest.n_parts == 1
    assert same_but_for_parts(latest(published).table(), latest(tmp_path).table())


def files_of(place: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(place)): file.read_bytes()
        for file in place.rglob("*")
        if file.is_file() and not file.name.startswith(".lock")
    }


def test_the_same_night_again_changes_nothing(bundle, events, tmp_path):
    settings = settings_of(bundle, events, tmp_path)
    assert run(settings).n_made == 4
    before = files_of(tmp_path)
    assert run(settings).n_made == 0
    assert files_of(tmp_path) == before


def test_an_interrupted_run_goes_on_and_is_the_same_to_the_byte(
    bundle, events, published, tmp_path, monkeypatch
):
    from prodgen_rec.nightly.writing import Run

    written = Run.write_part

    def interrupted(self, index, *arguments, **named):
        if index == 2:
            raise KeyboardInterrupt
        written(self, index, *arguments, **named)

    settings = settings_of(bundle, events, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    assert run(settings).n_made == 2
    assert files_of(tmp_path) == files_of(published)


def test_only_users_who_came_since_a_time_are_served(bundle, events, tmp_path):
    frame = pd.read_parquet(events)
    newest = frame.groupby("user_id")["timestamp"].max()
    since = newest.quantile(0.8)
    run(settings_of(bundle, events, tmp_path, recipe={"since": since.isoformat()}))
    due = newest[newest >= since].index
    delivery = latest(tmp_path)
    assert sorted(delivery.table(["user_id"])["user_id"].unique().to_pylist()) == sorted(due)
    assert delivery.manifest.counts.n_in == len(due)


def test_nobody_due_is_not_a_success(bundle, events, tmp_path):
    late = {"recipe": {"since": "2040-01-01T00:00:00Z"}}
    with pytest.raises(NothingToPublishError, match="no user has an event since 2040"):
        run(settings_of(bundle, events, tmp_path, **late))
    run(settings_of(bundle, events, tmp_path, **late, allow_empty=True))
    assert latest(tmp_path).table().num_rows == 0


def test_refused_users_are_counted_with_the_reason(bundle, events, tmp_path, fitted):
    run(settings_of(bundle, events, tmp_path, recipe={"cold": "refuse"}))
    counts = latest(tmp_path).manifest.counts
    assert counts.refused == {"no usable history": 1}
    assert counts.n_in == counts.n_out + 1
    many = settings_of(bundle, events, tmp_path, run_id="many", recipe={"n_items": 230})
    run(many.model_copy(update={"accept": True}))
    seen = fitted.interactions(events).for_items(fitted.recommender_.items_).matrix
    few = int((np.diff(seen.indptr) > len(fitted.recommender_.items_) - 230).sum())
    assert 0 < few == latest(tmp_path).manifest.counts.refused["fewer items left than asked for"]


def test_users_with_the_same_history_can_share(bundle, events, tmp_path):
    frame = pd.read_parquet(events)
    twin = frame[frame["user_id"] == "user-00003"].assign(user_id="twin")
    file = tmp_path / "twins.parquet"
    pd.concat([frame, twin]).to_parquet(file, index=False)
    run(settings_of(bundle, file, tmp_path / "to", recipe={"share": "history"}))
    delivery = latest(tmp_path / "to")
    one, other = (delivery.of(user).drop_columns(["user_id"]) for user in ("twin", "user-00003"))
    assert one.equals(other)
    assert not one.equals(delivery.of("user-00004").drop_columns(["user_id"]))


def test_personas_share_and_still_suit(bundle, events, tmp_path, fitted):
    run(settings_of(bundle, events, tmp_path, recipe={"share": "personas", "n_personas": 12}))
    table = latest(tmp_path).table()
    images = table["image"].drop_null()
    assert len(images.unique()) <= 2 * 13
    assert same_but_for_parts(table, table)
    # The lists are each user's own.
    users = sorted(pd.read_parquet(events)["user_id"].unique())
    rows = table.sort_by([("user_id", "ascending"), ("rank", "ascending")])
    assert rows["item_id"].to_pylist() == (
        fitted.recommend(users, 3, events=events, cold="popular")["item_id"].tolist()
    )


def test_another_recipe_under_the_name_of_a_complete_run_is_refused(
    published, bundle, events, tmp_path
):
    run(settings_of(bundle, events, tmp_path))
    with pytest.raises(RunConflictError, match="seed"):
        run(settings_of(bundle, events, tmp_path, recipe={"seed": 1}))


def test_one_run_at_a_time(bundle, events, tmp_path):
    with Target(tmp_path).writer(), pytest.raises(LockHeldError):
        run(settings_of(bundle, events, tmp_path))


def test_a_run_of_worse_quality_is_held_back(published, bundle, events, tmp_path):
    run(settings_of(bundle, events, tmp_path))
    few = tmp_path / "few.parquet"
    frame = pd.read_parquet(events)
    frame[frame["user_id"] < "user-00060"].to_parquet(few, index=False)
    settings = settings_of(bundle, few, tmp_path, run_id="few")
    with pytest.raises(QualityGateError, match=r"number of users .* 0\.5 is allowed"):
        run(settings)
    assert latest(tmp_path).manifest.run_id == NIGHT
    outcome = run(settings.model_copy(update={"accept": True}))
    assert outcome.n_made == 0
    assert len(outcome.complaints) == 1
    assert latest(tmp_path).manifest.run_id == "few"


def test_constant_pictures_are_held_back(bundle, events, tmp_path, monkeypatch):
    from prodgen_rec.imagery import ConditionalVAE

    def gray(self, latents):
        return np.full((len(latents), 32, 32, 3), 128, np.uint8)

    monkeypatch.setattr(ConditionalVAE, "decode", gray)
    with pytest.raises(QualityGateError, match="pictures in one color is 1,"):
        run(settings_of(bundle, events, tmp_path))


def test_a_forecast_writes_nothing(bundle, events, tmp_path):
    found = forecast(settings_of(bundle, events, tmp_path / "to"))
    assert (found.n_users, found.n_parts, found.n_pictures) == (201, 4, 402)
    assert found.n_bytes > 0
    assert not (tmp_path / "to").exists()


def test_a_wrong_place_is_named_before_any_work(bundle, events, tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        run(settings_of(tmp_path, events, tmp_path / "to"))
    with pytest.raises(ConfigError, match=r"recipe\.n_items = 0"):
        settings_of(bundle, events, tmp_path, recipe={"n_items": 0})


def test_a_run_goes_on_with_the_kernel_that_it_was_begun_with(bundle, events, tmp_path):
    if find_spec("openvino") is None:
        pytest.skip("the extra 'fast' is not installed")
    made = run(settings_of(bundle, events, tmp_path, kernel="openvino-float32"))
    assert made.manifest.kernel.startswith("openvino-float32 ")
    again = run(settings_of(bundle, events, tmp_path, kernel="auto"))
    assert again.n_made == 0
    with pytest.raises(RunConflictError, match="kernel"):
        run(settings_of(bundle, events, tmp_path, kernel="tensorflow-float32"))


def test_the_fastest_kernel_that_is_here_is_taken(bundle, events, tmp_path, published):
    made = run(settings_of(bundle, events, tmp_path, kernel="auto"))
    assert made.manifest.kernel.split("-")[0] in ("tensorflow", "openvino")
    one, other = (latest(place).table(["user_id", "item_id"]) for place in (tmp_path, published))
    assert one.equals(other)


def test_settings_come_from_a_file_the_environment_and_arguments(tmp_path, monkeypatch):
    file = tmp_path / "nightly.toml"
    file.write_text(
        'bundle = "a"\nevents = "log.csv"\nto = "out"\nkeep = 3\n[recipe]\nseed = 1\nn_items = 9\n'
    )
    monkeypatch.setenv("PRODGEN_REC_NIGHTLY_KEEP", "4")
    monkeypatch.setenv("PRODGEN_REC_NIGHTLY_RECIPE__SEED", "2")
    found = NightlySettings.read(file, bundle="b")
    assert (found.bundle, found.keep) == (Path("b"), 4)
    assert (found.recipe.seed, found.recipe.n_items) == (2, 9)
    with pytest.raises(ConfigError, match="setting keep = 'many'"):
        NightlySettings.read(file, keep="many")
    with pytest.raises(ConfigError, match="setting colour"):
        NightlySettings.read(file, colour="red")
    with pytest.raises(ConfigError, match=r"none at .*absent\.toml"):
        NightlySettings.read(tmp_path / "absent.toml")
    file.write_text("keep = \n")
    with pytest.raises(ConfigError, match="cannot be read"):
        NightlySettings.read(file)
    with pytest.raises(ConfigError, match="setting bundle: field required"):
        NightlySettings.read()


def test_a_row_says_whether_scores_drift():
    from prodgen_rec.nightly.quality import drift, of_scores

    low, high = (np.full(100, value, np.float32) for value in (0.1, 0.9))
    same, other = {"scores": of_scores(low)}, {"scores": of_scores(high)}
    half = {"scores": of_scores(np.concatenate([low, high]))}
    assert drift(same, same) == 0
    assert drift(same, other) == 1
    assert drift(same, half) == 0.5
    assert pc.sum(pa.array(of_scores(np.array([-9, 9, 0.3], np.float32)))).as_py() == 3
