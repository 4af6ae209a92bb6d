"""Item tables, matching photos to items, the report, saving and loading."""

import gzip
import hashlib
import io
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from prodgen_rec.catalog import Catalog, PhotoReport, read_catalog
from prodgen_rec.errors import (
    BundleCorruptError,
    CatalogError,
    ConfigError,
    InputError,
    UnknownIdError,
)

DATA = Path(os.environ.get("PRODGEN_REC_DATA", Path(__file__).parents[2] / "shared" / "data"))

TABLE = pd.DataFrame(
    {
        "item_id": ["mug", "cap", "a/b"],
        "title": ["Mug", "Cap", None],
        "price": [8.0, 15.5, 3.0],
        "stock": [4, 0, 12],
    }
)


def shade(value, kind="PNG"):
    """Encoded photo of one grey."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value,) * 3).save(file, kind)
    return file.getvalue()


def pixels(value):
    return np.full((8, 8, 3), value, np.uint8)


def write_csv(folder, text, name="items.csv"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


def write_photos(folder, **photos):
    """Photos by file name, with ``__`` for a folder."""
    for name, content in photos.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(items, photos=None, **settings):
    return read_catalog(items, photos, size=8, **settings)


def shades_of(catalog):
    """Item id → grey of its photo, as :func:`shade` wrote it."""
    ids = list(catalog.with_photo())
    return dict(zip(ids, catalog.photos_of(ids)[:, 4, 4, 0].tolist(), strict=True))


# The item table


def table_sources(folder):
    parquet = folder / "items.parquet"
    TABLE.to_parquet(parquet)
    (folder / "parts").mkdir()
    TABLE[:1].to_parquet(folder / "parts" / "0.parquet")
    TABLE[1:].to_parquet(folder / "parts" / "1.parquet")
    csv = write_csv(folder, TABLE.to_csv(index=False))
    zipped = write_csv(folder, TABLE.to_csv(index=False), "items.csv.gz")
    arrow = pa.Table.from_pandas(TABLE)
    return [csv, str(zipped), parquet, folder / "parts", TABLE, arrow, pl.from_arrow(arrow)]


def test_every_kind_of_table_gives_the_same_catalog(tmp_path):
    for source in table_sources(tmp_path):
        catalog = read(source)
        assert catalog.items.ids.tolist() == ["a/b", "cap", "mug"]
        pd.testing.assert_frame_equal(catalog.attributes, read(TABLE).attributes)
        assert catalog.attributes["price"].tolist() == [3.0, 15.5, 8.0]
        assert catalog.attributes["stock"].dtype == np.int64
        assert catalog.attributes["title"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["10", "9", "2"], [2, 9, 10]),
        (["0108775015", "9"], ["0108775015", "9"]),
        (["NA", "null", "nan"], ["NA", "nan", "null"]),
    ],
)
def test_ids_of_a_csv_keep_what_is_written(ids, expected, tmp_path):
    catalog = read(write_csv(tmp_path, "\n".join(["item_id,x", *(f"{i},1" for i in ids)])))
    assert catalog.items.ids.tolist() == expected


def test_text_ids_of_a_typed_table_stay_text():
    assert read(pd.DataFrame({"item_id": ["10", "9"]})).items.ids.tolist() == ["10", "9"]


def test_text_with_commas_and_line_breaks(tmp_path):
    catalog = read(write_csv(tmp_path, 'item_id,text\n1,"a, b\nc"\n2,"d ""e"""\n'))
    assert catalog.attributes["text"].tolist() == ["a, b\nc", 'd "e"']


def test_columns_are_renamed(tmp_path):
    path = write_csv(tmp_path, "article_id,prod_name\n007,Sock\n")
    catalog = read(path, columns={"item_id": "article_id", "title": "prod_name"})
    assert catalog.items.ids.tolist() == ["007"]
    assert catalog.attributes.to_dict("list") == {"title": ["Sock"]}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TABLE.rename(columns={"item_id": "sku"}), r"no column 'item_id'; its columns are 'sku', "
         r"'title'.*columns=\{'item_id': '…'\}, or --columns item_id=…"),
        (TABLE[:0], "the table has no rows"),
        (TABLE.assign(item_id=["mug", None, ""]), r"2 of 3 item ids are empty, at rows 1, 2 "),
        (TABLE.assign(item_id=[1, None, 3]), r"1 of 3 item ids are empty, at rows 1 "),
        (TABLE.assign(item_id=["b", "a", "b"]), r"1 item ids appear more than once: 'b' at rows "
         r"0, 2 .*keep one row per item"),
        (TABLE.assign(item_id=["b", 1, 2.5]), "cannot be read as a table"),
        (TABLE.set_axis(["item_id", "x", "x", "y"], axis=1), "[Dd]uplicate column names"),
        ({"item_id": ["a"]}, "expected a path or a pandas, polars or Arrow table, got dict"),
    ],
    ids=["no id", "no rows", "null", "null int", "repeated", "mixed", "two columns", "dict"],
)  # fmt: skip
def test_tables_that_cannot_be_used(frame, message):
    with pytest.raises(CatalogError, match=message):
        read(frame)


def test_ids_of_a_wrong_type():
    with pytest.raises(InputError, match="ids must be int or str, these are double"):
        read(TABLE.assign(item_id=[1.0, 2.0, 3.5]))


@pytest.mark.parametrize("columns", [{"title": "price"}, {"code": "item_id"}])
def test_a_renaming_that_is_ambiguous(columns):
    with pytest.raises(CatalogError, match="two columns have one name, or one column has two"):
        read(TABLE, columns=columns)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.csv", b"", "No columns to parse"),
        ("items.csv", b"item_id,x\n1,2,3\n", "cannot be read as a table"),
        ("items.csv", b"item_id,x\n1,2\n3,4,5\n", "Expected 2 fields in line 3, saw 3"),
        ("items.csv", b"item_id,x\n1,\xff\n", "can't decode byte 0xff"),
        (
            "items.csv.gz",
            gzip.compress(b"item_id\n" + b"1\n" * 999, mtime=0)[:-12],
            "cannot be read",
        ),
        ("items.parquet", b"PAR1 not really", "cannot be read as a table"),
        ("items.xlsx", b"", "none of .csv, .csv.gz and .parquet; convert it first"),
    ],
)
def test_files_that_cannot_be_read_are_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogError, match=message) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_a_wrong_path_is_answered_with_a_near_one(tmp_path):
    write_csv(tmp_path, "item_id\n1\n", "articles.csv")
    with pytest.raises(
        CatalogError, match=r"there is no .*artcles\.csv; did you mean .*articles\.csv"
    ):
        read(tmp_path / "artcles.csv")
    with pytest.raises(CatalogError, match=r"photos: there is no .*; check the name"):
        read(TABLE, tmp_path / "zzz")
    with pytest.raises(CatalogError, match=r"the folder .*nowhere does not exist either"):
        read(tmp_path / "nowhere" / "items.csv")


# Photos of items


def parquet_of(folder, ids, photos, columns=("item_id", "photo"), name="photos.parquet"):
    path = folder / name
    pq.write_table(pa.table(dict(zip(columns, (ids, photos), strict=True))), path, row_group_size=2)
    return path


def photo_sources(folder):
    ids, greys = ["mug", "cap", "a/b"], (10, 90, 200)
    encoded = [shade(grey) for grey in greys]
    parts = folder / "parts"
    parts.mkdir()
    parquet_of(parts, ids[:1], encoded[:1], name="0.parquet")
    parquet_of(parts, ids[1:], encoded[1:], name="1.parquet")
    files = {"mug.png": encoded[0], "deep__er__cap.PNG": encoded[1], "a%2Fb.png": encoded[2]}
    return [
        write_photos(
            folder / "photos",
            **files,
            notes__txt=b"",
            **{"._mug.png": b"", ".hidden__mug.jpg": b""},
        ),
        parquet_of(folder, ids, encoded),
        parts,
        (ids, np.stack([pixels(grey) for grey in greys])),
        {item_id: pixels(grey) for item_id, grey in zip(ids, greys, strict=True)},
    ]


def test_every_kind_of_photos_gives_the_same_catalog(tmp_path):
    for source in photo_sources(tmp_path):
        catalog = read(TABLE, source)
        assert shades_of(catalog) == {"mug": 10, "cap": 90, "a/b": 200}
        assert catalog.report == PhotoReport(n_items=3, n_photos=3)
        assert catalog.size == 8


SOME_IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    unique_by=str.casefold,
    min_size=1,
    max_size=5,
)


@given(SOME_IDS)
@settings(max_examples=25, deadline=None)
def test_any_id_can_name_a_file_when_it_is_quoted(tmp_path_factory, ids):
    quoted = [quote(item_id, safe="") for item_id in ids]
    # A name that is another item's id as it stands would be that item's photo.
    assume(
        all(name == item_id or name not in ids for item_id, name in zip(ids, quoted, strict=True))
    )
    assume(not any(name.startswith("._") for name in quoted))
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(quoted):
        (folder / f"{name}.png").write_bytes(shade(number))
    catalog = read(pd.DataFrame({"item_id": ids}), folder)
    assert shades_of(catalog) == {item_id: number for number, item_id in enumerate(ids)}


@pytest.mark.parametrize(
    ("item_ids", "photo_ids"),
    [([7, 8], ["8", "7"]), (["7", "8"], [8, 7]), ([7, 8], pa.array([8, 7], pa.uint16()))],
)
def test_integers_and_their_text_are_the_same_id(item_ids, photo_ids, tmp_path):
    photos = parquet_of(tmp_path, photo_ids, [shade(80), shade(70)])
    catalog = read(pd.DataFrame({"item_id": item_ids}), photos)
    assert shades_of(catalog) == {item_ids[0]: 70, item_ids[1]: 80}


@pytest.mark.parametrize("column", ["photo", "image", "jpeg", "bytes", "anything"])
def test_the_column_of_photos_is_found(column, tmp_path):
    photos = parquet_of(tmp_path, ["mug", "cap", "a/b"], [shade(1)] * 3, ("item_id", column))
    assert read(TABLE, photos).report.n_photos == 3


def test_the_columns_of_photos_can_be_mapped(tmp_path):
    table = pa.table({"sku": ["mug"], "front": [shade(1)], "back": [shade(2)]})
    path = tmp_path / "photos.parquet"
    pq.write_table(table, path)
    items = TABLE[:1].rename(columns={"item_id": "sku"})
    assert shades_of(read(items, path, columns={"item_id": "sku", "photo": "back"})) == {"mug": 2}
    with pytest.raises(CatalogError, match=r"of these binary \['front', 'back'\].*'photo': '…'"):
        read(items, path, columns={"item_id": "sku"})
    with pytest.raises(CatalogError, match="has no column 'item_id'; its columns are 'sku'"):
        read(TABLE, path)


def test_what_became_of_each_photo_is_reported(tmp_path):
    photos = write_photos(
        tmp_path,
        **{
            "1.png": shade(50),
            "a__1.jpg": shade(60),
            "2.png": b"?",
            "02.png": shade(1),
            "9.png": b"",
        },
    )
    report = read(pd.DataFrame({"item_id": [1, 2, 3]}), photos, max_missing_fraction=0.7).report
    assert (report.n_items, report.n_photos, report.missing) == (3, 1, (3,))
    assert [item_id for item_id, _ in report.broken] == [2]
    assert report.unused == (
        ("02.png", "no item '02'"),
        ("9.png", "no item '9'"),
        ("a/1.jpg", "another photo of the item: 1.png is used"),
    )
    assert report.summary() == (
        "3 items, 1 with a photo; 1 without: 3; 1 broken: 2 (empty, or not a picture in JPEG, PNG, "
        "WEBP, GIF, BMP, TIFF); 3 photos not used: 02.png (no item '02'), 9.png (no item '9'), "
        "a/1.jpg (another photo of the item: 1.png is used)"
    )


def test_nulls_in_a_table_of_photos(tmp_path):
    photos = parquet_of(tmp_path, ["mug", None, "cap"], [shade(1), shade(2), None])
    report = read(TABLE, photos, max_missing_fraction=0.9).report
    assert report.unused == (("photos.parquet, row 1", "no item id"),)
    assert report.missing == ("a/b",)
    assert report.broken[0][0] == "cap"


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_every_item_is_accounted_for(tmp_path_factory, data):
    n_items = data.draw(st.integers(1, 12))
    kinds = st.sampled_from(["good", "broken", "none"])
    kind = data.draw(st.lists(kinds, min_size=n_items, max_size=n_items))
    ids = data.draw(st.permutations([i for i in range(n_items) if kind[i] != "none"] + [99]))
    photos = [shade(i) if i == 99 or kind[i] == "good" else b"?" for i in ids]
    path = parquet_of(tmp_path_factory.mktemp("p"), pa.array(ids, pa.int64()), photos)
    order = data.draw(st.permutations(range(n_items)))
    catalog = read(pd.DataFrame({"item_id": order}), path, max_missing_fraction=1)
    report = catalog.report
    assert shades_of(catalog) == {i: i for i in range(n_items) if kind[i] == "good"}
    assert report.missing == tuple(i for i in range(n_items) if kind[i] == "none")
    assert [item_id for item_id, _ in report.broken] == [
        i for i in range(n_items) if kind[i] == "broken"
    ]
    assert report.n_items == report.n_photos + len(report.missing) + len(report.broken)
    assert len(report.unused) == 1


def test_too_many_missing_photos_are_an_error():
    photos = {"0108": pixels(1), "0109": pixels(2)}
    message = (
        r"2 of 3 items have no usable photo, more than max_missing_fraction=0.5 allows.*"
        r"2 without: 108, 109.*Photos must be named by item id; .* named '0108', '0109', '5'\. "
    )
    with pytest.raises(CatalogError, match=message):
        read(pd.DataFrame({"item_id": [108, 109, 5]}), {**photos, "5": pixels(3)})


def test_broken_photos_count_as_missing(tmp_path):
    photos = parquet_of(tmp_path, ["mug", "cap", "a/b"], [b"?", b"?", shade(1)])
    with pytest.raises(
        CatalogError, match=r"2 of 3 items have no usable photo.*2 broken: 'cap' \(empty"
    ):
        read(TABLE, photos)
    assert read(TABLE, photos, max_missing_fraction=0.67).report.n_photos == 1


def test_a_catalog_may_have_no_photos_at_all():
    catalog = read(TABLE, None)
    assert catalog.photos.shape == (0, 8, 8, 3)
    assert catalog.report.missing == ("a/b", "cap", "mug")
    assert len(catalog.with_photo()) == 0


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ([1, 2], "expected a folder, a Parquet file, a mapping .* or None, got list"),
        ((["mug"], np.zeros((2, 4, 4, 3), np.uint8)), "1 item ids for 2 arrays"),
        ({"mug": np.zeros((4, 4, 3))}, r"item 'mug' must be a uint8 .*, got float64 \(4, 4, 3\)"),
        ({"mug": np.zeros((4, 4), np.uint8)}, r"item 'mug' must be .*, got uint8 \(4, 4\)"),
        ({"mug": b"bytes"}, "item 'mug' must be .*, got bytes"),
    ],
)
def test_photos_that_cannot_be_used(photos, message):
    with pytest.raises(CatalogError, match=message):
        read(TABLE, photos)


def test_a_folder_without_photos_and_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "notes.txt").write_text("mug.jpg")
    with pytest.raises(
        CatalogError, match=r"holds no photo; expected files named <item id>.*\.jpg"
    ):
        read(TABLE, tmp_path)
    with pytest.raises(CatalogError, match=r"notes\.txt cannot be read as Parquet"):
        read(TABLE, tmp_path / "notes.txt")


PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}


def test_a_flipped_bit_in_a_parquet_of_photos_is_noticed(tmp_path):
    path = tmp_path / "photos.parquet"
    table = pa.table({"item_id": ["mug", "cap", "a/b"], "photo": [bytes(range(200))] * 3})
    pq.write_table(table, path, write_page_checksum=True, **PLAIN)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(200))) + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=r"photos\.parquet cannot be read"):
        read(TABLE, path)


@pytest.mark.parametrize(
    "setting", [{"size": 0}, {"max_missing_fraction": 1.5}, {"max_pixels": 0}], ids=str
)
def test_settings_out_of_range(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        read_catalog(TABLE, None, **setting)


def test_the_cache_serves_another_item_table(tmp_path):
    photos = write_photos(tmp_path / "photos", **{"mug.png": shade(10), "cap.png": shade(20)})
    for ids in (["mug", "cap"], ["cap", "mug"], ["cap", "tie", "mug"]):
        catalog = read(pd.DataFrame({"item_id": ids}), photos, cache_dir=tmp_path / "cache")
        assert shades_of(catalog) == {"mug": 10, "cap": 20}
        assert isinstance(catalog.photos, np.memmap)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


# The container


def small_catalog():
    photos = {"mug": pixels(10), "a/b": pixels(30), "hat": pixels(1)}
    return read(TABLE, photos)


def test_photos_of_answers_in_the_order_asked():
    catalog = small_catalog()
    assert catalog.photos_of(["mug", "a/b", "mug"])[:, 0, 0, 0].tolist() == [10, 30, 10]
    assert catalog.photos_of([]).shape == (0, 8, 8, 3)
    with pytest.raises(CatalogError, match="1 of 2 items have no photo, the first is 'cap'"):
        catalog.photos_of(["mug", "cap"])
    with pytest.raises(UnknownIdError, match="'hat'"):
        catalog.photos_of(["hat"])


def test_the_text_of_a_catalog_says_what_is_in_it():
    assert repr(small_catalog()) == (
        "Catalog(3 items, 2 with a photo; 1 without: 'cap'; 1 photos not used: array 2 (no item "
        "'hat'); 8 px; attributes: title, price, stock)"
    )


@pytest.mark.parametrize("table", [TABLE, TABLE[["item_id"]], TABLE.assign(item_id=[5, 4, 6])])
@pytest.mark.parametrize("with_photos", [True, False])
def test_a_saved_catalog_comes_back(table, with_photos, tmp_path):
    ids = table["item_id"].tolist()[::2]
    catalog = read(table, {ids[1]: pixels(10), ids[0]: pixels(30)} if with_photos else None)
    catalog.save(tmp_path / "saved")
    loaded = Catalog.load(tmp_path / "saved")
    assert loaded.items == catalog.items
    pd.testing.assert_frame_equal(loaded.attributes, catalog.attributes)
    assert loaded.report == catalog.report
    assert shades_of(loaded) == shades_of(catalog)
    assert isinstance(loaded.photos, np.memmap)
    loaded.save(tmp_path / "saved")  # over the file that its photos are mapped from
    assert shades_of(Catalog.load(tmp_path / "saved")) == shades_of(catalog)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}


def test_a_saved_catalog_does_not_depend_on_the_order_of_rows(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"item_id": np.arange(40), "x": rng.normal(size=40)})
    saved = []
    for run in range(2):
        order = rng.permutation(40)
        photos = parquet_of(tmp_path, order, [shade(int(grey)) for grey in order])
        read(table.iloc[rng.permutation(40)], photos).save(tmp_path / str(run))
        saved.append(digests(tmp_path / str(run)))
    assert saved[0] == saved[1]


PARTS = ["items.parquet", "photos.npy", "photo_index.npy", "report.json"]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("fault", ["missing", "cut"])
def test_a_catalog_with_a_bad_part_is_not_loaded(name, fault, tmp_path):
    small_catalog().save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if fault == "cut":
        (tmp_path / name).write_bytes(content[:-30])
    with pytest.raises(BundleCorruptError, match="not a complete catalogue"):
        Catalog.load(tmp_path)


@pytest.mark.parametrize("name", PARTS)
def test_a_catalog_with_a_part_of_another_is_not_loaded(name, tmp_path):
    small_catalog().save(tmp_path / "saved")
    read(TABLE[:2], {"mug": pixels(1)}).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, tmp_path / "saved" / name)
    with pytest.raises(BundleCorruptError, match="not a complete catalogue"):
        Catalog.load(tmp_path / "saved")


@pytest.mark.skipif(not (DATA / "hm_fashion").exists(), reason=f"no hm_fashion in {DATA}")
def test_a_real_catalog():
    folder = DATA / "hm_fashion"
    catalog = read_catalog(folder / "items.csv.gz", folder / "images_64.parquet")
    assert catalog.report == PhotoReport(n_items=12_515, n_photos=12_515)
    assert catalog.items.ids[0].startswith("0")
    assert catalog.attributes["w"].dtype == np.int64
    encoded = pq.read_table(folder / "images_64.parquet").slice(7, 1).to_pylist()[0]
    direct = np.asarray(Image.open(io.BytesIO(encoded["jpeg"])))
    np.testing.assert_array_equal(catalog.photos_of([encoded["item_id"]])[0], direct)
