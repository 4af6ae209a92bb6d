"""Sheets, curves and the gallery page, read back as a viewer would see them."""

import sys
from subprocess import run

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import HOSTILE, Page, decoded
from PIL import Image

from prodgen_rec.display import (
    GalleryUser,
    Picture,
    comparison_rows,
    contact_sheet,
    training_curves,
    write_gallery,
)
from prodgen_rec.errors import ConfigError, InputError


def noise(n: int, height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (n, height, width, 3), dtype=np.uint8)


def read_png(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    return np.kron(image, np.ones((scale, scale, 1), np.uint8))


def position(needle: np.ndarray, sheet: np.ndarray) -> tuple[int, int]:
    """Row and column of the one exact copy of a picture in a sheet."""
    height, width = needle.shape[:2]
    corners = np.argwhere((sheet == needle[0, 0]).all(axis=2))
    found = [
        (int(y), int(x))
        for y, x in corners
        if np.array_equal(sheet[y : y + height, x : x + width], needle)
    ]
    assert len(found) == 1, found
    return found[0]


def test_a_sheet_shows_every_pixel_in_reading_order(tmp_path):
    images = noise(7, height=9, width=6)
    contact_sheet(images, tmp_path / "deep" / "sheet.png", columns=3, scale=4, title="Seven")
    sheet = read_png(tmp_path / "deep" / "sheet.png")
    places = [position(enlarged(image, 4), sheet) for image in images]
    assert places == sorted(places)
    assert [len({y for y, _ in row}) for row in (places[:3], places[3:6])] == [1, 1]
    assert [x for _, x in places[:3]] == [x for _, x in places[3:6]]
    # Neighbours are apart, and the place after the last picture is blank.
    gap = places[1][1] - places[0][1] - 6 * 4
    assert 0 < gap < 6 * 4
    assert (sheet[places[6][0] :, places[6][1] + 6 * 4 :] == 255).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 3), st.booleans(), st.booleans())
def test_sheets_of_any_shape_keep_their_pixels(n, columns, scale, captioned, labelled):
    images = noise(n, seed=n)
    figure = contact_sheet(
        images,
        columns=columns,
        scale=scale,
        captions=range(n) if captioned else None,
        row_labels=["row"] * -(-n // columns) if labelled else None,
    )
    figure.canvas.draw()
    sheet = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    position(enlarged(images[0], scale), sheet)
    position(enlarged(images[-1], scale), sheet)


def test_enlarging_a_figure_invents_no_colors(tmp_path):
    images = noise(2)
    contact_sheet(images, scale=4).savefig(tmp_path / "large.png", dpi=2 * 128)
    shown = np.unique(read_png(tmp_path / "large.png").reshape(-1, 3), axis=0)
    white = np.full((1, 3), 255)
    assert np.array_equal(shown, np.unique(np.vstack([*images.reshape(-1, 3), white]), axis=0))


def test_the_default_scale_leaves_room_for_a_caption():
    for size in (32, 64, 128):
        small = contact_sheet(noise(1, size, size)).bbox.width
        assert 96 <= small - 2 * 16 <= 128


def texts_of(figure) -> list:
    return [text for text in figure.axes[0].texts if text.get_text()]


def test_captions_are_cut_to_their_picture_and_not_taken_for_formulas():
    captions = ["short", "a caption that is much longer than its picture is wide", r"$\nope$"]
    figure = contact_sheet(noise(3), captions=captions, scale=12)
    figure.canvas.draw()
    first, second, third = texts_of(figure)
    assert first.get_text() == "short"
    assert second.get_text().startswith("a caption")
    assert second.get_text().endswith("…")
    assert third.get_text() == r"$\nope$"
    # 2 pixels for the rounding of letters to whole pixels.
    assert all(text.get_window_extent().width <= 8 * 12 + 2 for text in (first, second, third))


def test_comparison_rows_may_differ_in_length_and_be_empty(tmp_path):
    rows = {"Bought": noise(2, seed=1), "Recommended": noise(0), "Imagined": noise(4, seed=2)}
    figure = comparison_rows(rows, tmp_path / "rows.png", scale=12, title="User 17")
    sheet = read_png(tmp_path / "rows.png")
    bought = [position(enlarged(image, 12), sheet) for image in rows["Bought"]]
    imagined = [position(enlarged(image, 12), sheet) for image in rows["Imagined"]]
    assert [x for _, x in bought] == [x for _, x in imagined[:2]]
    labels = {text.get_text(): text.get_position() for text in texts_of(figure)}
    for label, place in (("Bought", bought[0]), ("Imagined", imagined[0])):
        x, y = labels[label]
        assert x < place[1]
        assert place[0] < y < place[0] + 8 * 12


def test_sheets_neither_load_pyplot_nor_heed_the_users_matplotlib_settings(tmp_path):
    code = (
        "import sys, numpy as np, prodgen_rec.display as d\n"
        "assert 'matplotlib' not in sys.modules and 'tensorflow' not in sys.modules\n"
        "import matplotlib; matplotlib.rcParams['savefig.bbox'] = 'tight'\n"
        "d.contact_sheet(np.zeros((2, 8, 8, 3), np.uint8), sys.argv[1], scale=10)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    run([sys.executable, "-c", code, tmp_path / "sheet.png"], check=True)
    assert read_png(tmp_path / "sheet.png").shape == (80 + 2 * 16, 2 * 80 + 6 + 2 * 16, 3)


def test_a_sheet_replaces_the_last_one_at_once_and_leaves_nothing_else(tmp_path):
    (tmp_path / "sheet.png").write_bytes(b"old")
    with open(tmp_path / "sheet.png", "rb") as reader:
        contact_sheet(noise(1), tmp_path / "sheet.png")
        assert reader.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert read_png(tmp_path / "sheet.png").ndim == 3


@pytest.mark.parametrize(
    ("images", "settings", "error", "message"),
    [
        (noise(2) / 255, {}, InputError, r"images: float64 of shape \(2, 8, 8, 3\); expected"),
        (noise(2)[..., 0], {}, InputError, "expected uint8 RGB"),
        (noise(0), {}, InputError, "n at least 1"),
        (noise(2), {"captions": ["a"]}, InputError, "captions: 1 for 2 pictures"),
        (noise(3), {"row_labels": ["a"], "columns": 2}, InputError, "row_labels: 1 for 2 rows"),
        (noise(2), {"columns": 0}, ConfigError, "columns is 0"),
        (noise(2), {"scale": 0}, ConfigError, "scale is 0"),
    ],
)
def test_unusable_sheets_are_refused(images, settings, error, message):
    with pytest.raises(error, match=message):
        contact_sheet(images, **settings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "at least one picture"),
        ({"a": noise(0)}, "at least one picture"),
        ({"a": noise(1), "b": noise(1, 4, 4)}, r"sizes \[\(4, 4\), \(8, 8\)\]; expected"),
        ({"a": noise(1) * 1.0}, "row 'a': float64"),
    ],
)
def test_unusable_rows_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        comparison_rows(rows)


def test_curves_have_one_panel_per_quantity_over_steps(tmp_path):
    history = pd.DataFrame(
        {
            "step": [10, 20, 30],
            "phase": ["a", "a", "b"],
            "val_loss": [np.nan, 2.5, np.nan],
            "loss": [3.0, 2.0, 1.0],
            "kl": [0.1, np.nan, 0.3],
            "unused": [np.nan] * 3,
        }
    )
    figure = training_curves(history, tmp_path / "curves.png")
    curves = {
        line.get_label(): line.get_xydata().tolist()
        for axes in figure.axes
        for line in axes.get_lines()
    }
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "kl"]
    assert curves == {
        "loss": [[10, 3], [20, 2], [30, 1]],
        "val_loss": [[20, 2.5]],
        "kl": [[10, 0.1], [30, 0.3]],
    }
    assert read_png(tmp_path / "curves.png").std() > 0
    with pytest.raises(InputError, match=r"no numeric column with a value; it has \['phase'\]"):
        training_curves(history[["phase"]])


def gallery(folder, *users: GalleryUser, **settings) -> Page:
    return Page(write_gallery(folder, users, **{"title": "Night of 14 March"} | settings))


PHOTO = np.full((16, 16, 3), (200, 30, 60), np.uint8)
PLAIN = GalleryUser("u", [Picture(PHOTO, "c", "d")], [Picture(PHOTO)], [Picture(PHOTO, "c")])


@pytest.mark.parametrize("text", HOSTILE)
def test_ids_and_captions_are_shown_and_never_obeyed(tmp_path, text):
    picture = Picture(PHOTO, text, text)
    page = gallery(
        tmp_path,
        GalleryUser(text, [picture], [picture], [picture]),
        PLAIN,
        title=text,
        note=text,
        summary={text: text},
    )
    plain = gallery(tmp_path, PLAIN, PLAIN, note="n", summary={"l": "t"})
    assert {name for name, _ in page.elements} == {name for name, _ in plain.elements}
    assert page.attribute_names == plain.attribute_names
    # Title, heading, note, figure, its label, link, name; three captions and three details.
    assert page.texts.count(text) == 13
    assert {image["alt"] for image in page.all("img")} >= {f"Imagined picture: {text}"}


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_any_text_adds_no_element_and_no_attribute(tmp_path_factory, text):
    user = GalleryUser(text, [Picture(PHOTO, text, text)], [], [Picture(PHOTO, text)])
    page = gallery(tmp_path_factory.mktemp("gallery"), user)
    assert not page.all("script")
    assert not any(name.startswith("on") for name in page.attribute_names)
    assert len(page.all("img")) == 2


def test_text_that_was_decoded_badly_does_not_stop_the_page(tmp_path):
    assert "caf? 1" in gallery(tmp_path, GalleryUser("caf\udce9 1", [Picture(PHOTO)])).texts


def test_the_page_requests_nothing_and_forbids_what_it_does_not_need(tmp_path):
    page = gallery(tmp_path, PLAIN, PLAIN)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "://" not in page.source
    assert "url(" not in page.source
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not page.all("link")


def test_every_link_and_label_of_the_page_has_its_target_once(tmp_path):
    page = gallery(tmp_path, PLAIN, PLAIN)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert {link["href"][1:] for link in page.all("a")} | set(labelled) <= set(ids)
    assert len(labelled) == 2 * (1 + 3)


def test_pictures_come_back_as_they_went_in(tmp_path):
    striped = PHOTO.copy()
    striped[:, 5::3] = (20, 90, 200)
    page = gallery(tmp_path, GalleryUser(1, [Picture(striped)]))
    (image,) = page.all("img")
    assert (image["width"], image["height"]) == ("16", "16")
    assert np.abs(decoded(image) - striped).max() <= 8


def test_imagined_pictures_are_marked_one_by_one_and_photos_are_not(tmp_path):
    pictures = [Picture(PHOTO, "red")] * 3
    page = gallery(tmp_path, GalleryUser(1, pictures, pictures, pictures[:2]))
    marks = [a for name, a in page.elements if name == "span" and a.get("class") == "mark"]
    assert len(marks) == 2
    alternatives = [image["alt"] for image in page.all("img")]
    assert alternatives.count("Chosen product: red") == 3
    assert alternatives.count("Recommended product: red") == 3
    assert alternatives.count("Imagined picture: red") == 2


def test_a_user_without_history_says_so(tmp_path):
    page = gallery(tmp_path, GalleryUser(5, recommended=[Picture(PHOTO)]))
    assert len(page.all("img")) == 1
    assert page.texts.count("Nothing yet") == 1
    assert page.texts.count("None this time") == 1
    # A single user needs no list to go to.
    assert not page.all("nav")


def test_a_gallery_replaces_the_last_one_and_leaves_nothing_else(tmp_path):
    gallery(tmp_path / "night", PLAIN)
    page = gallery(tmp_path / "night", GalleryUser("second", [Picture(PHOTO)]))
    assert "second" in page.texts
    assert [path.name for path in (tmp_path / "night").iterdir()] == ["index.html"]


def test_a_gallery_of_nobody_and_pictures_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match="gallery of no users; pass at least one GalleryUser"):
        write_gallery(tmp_path, [], title="t")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"picture 'tee': float64 of shape \(16, 16, 3\)"):
        Picture(PHOTO / 255, "tee")
    with pytest.raises(InputError, match="expected uint8 RGB"):
        Picture(PHOTO[..., 0])
