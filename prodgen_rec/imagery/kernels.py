"""Who computes the networks of a trained image model when users are served.

Pictures are TensorFlow's, in float32: the reference. Where OpenVINO is installed (the extra
``fast``) it can take over prior and decoder, also in bfloat16, which some processors multiply many
times faster: the decoder alone, or the steps of the prior, too. What a preference says to the prior
stays in float32, since guidance multiplies its error. Pictures have other last bits, so that no
kernel is used before it has made some with the weights at hand that nobody can tell from the
reference.
"""

from __future__ import annotations

import copy
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from prodgen_rec.errors import ConfigError, MissingExtraError
from prodgen_rec.imagery.runtime import TILE
from prodgen_rec.imagery.vae import ConditionalVAE
from prodgen_rec.preferences.parallel import n_cpus

Photos = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

Kind = Literal["tensorflow-float32", "openvino-float32", "openvino-bf16", "openvino-bf16-prior"]
REFERENCE: Kind = "tensorflow-float32"
_PRECISIONS: dict[Kind, tuple[str, str]] = {
    "openvino-float32": ("f32", "f32"),
    "openvino-bf16": ("bf16", "f32"),
    "openvino-bf16-prior": ("bf16", "bf16"),
}
"""Of the decoder and of the steps of the prior."""

LEAST_PSNR = 50.0
"""Of every picture, in dB: a tenth of the error that being encoded as a JPEG file leaves."""
MOST_LEVELS = 8
"""Of 255, in the worst pixel of all."""

_N_COMPARED = 4 * TILE
_SECONDS = 0.3
"""How long each kernel is timed, at least."""


class Parity(NamedTuple):
    """How far pictures are from those of the reference.

    Attributes
    ----------
    psnr
        Peak signal-to-noise ratio of the worst picture, in dB; infinite where all are equal.
    levels
        Largest difference of a number, 0 to 255.
    """

    psnr: float
    levels: int

    @property
    def holds(self) -> bool:
        """Whether nobody can tell them apart."""
        return self.psnr >= LEAST_PSNR and self.levels <= MOST_LEVELS

    @classmethod
    def of(cls, pictures: Photos, expected: Photos) -> Parity:
        """That of pictures uint8 (n, size, size, 3), n at least 1, to those expected."""
        difference = np.abs(pictures.astype(np.int16) - expected)
        error = np.square(difference, dtype=np.float64).mean(axis=(1, 2, 3)).max()
        psnr = 10 * np.log10(255**2 / error) if error else np.inf
        return cls(float(psnr), int(difference.max()))


@dataclass(frozen=True, eq=False)
class Kernel:
    """Networks of an image model, ready to serve.

    Attributes
    ----------
    kind
        What to ask `kernel_of` for to get this kernel again.
    model
        The image model; its `ConditionalVAE.sample_latents` and `ConditionalVAE.decode` run by
        this kernel, its encoder as ever. What is trained later does not reach it.
    """

    kind: Kind
    model: ConditionalVAE

    @property
    def name(self) -> str:
        """Kind and version of the library: where it is another one, so may be the last bits."""
        return f"{self.kind} {version(self.kind.partition('-')[0])}"

    def decode(self, latents: Floats) -> Photos:
        """Pictures uint8 (n, size, size, 3) of latents float32 (n, latent_size).

        May be called from several threads. In a task of `run_in_threads` it works in that thread
        alone; a picture is the same to the last bit either way, whatever others stand beside it.
        """
        return self.model.decode(latents)


class Calibration(NamedTuple):
    """What came of a comparison of kernels.

    Attributes
    ----------
    kernel
        The fastest one that passed.
    rates
        Pictures per second, latents included, of all that passed.
    refused
        Why the others cannot be used, by kind.
    """

    kernel: Kernel
    rates: dict[Kind, float]
    refused: dict[Kind, str]


def kernel_of(model: ConditionalVAE, kind: Kind | Literal["auto"] = REFERENCE) -> Kernel:
    """A kernel for a trained model, checked against the reference.

    Parameters
    ----------
    model
        Fitted or loaded.
    kind
        ``"auto"`` takes the fastest one, see `calibrate`; record its ``kind`` to get the same one
        the next time.

    Raises
    ------
    ConfigError
        The kind is unknown, this processor cannot run it, or its pictures differ too much from
        the reference with these weights.
    MissingExtraError
        The library is not installed.
    NotFittedError
        There is nothing to run.
    """
    model._check_fitted()
    if kind == "auto":
        return calibrate(model).kernel
    if kind not in get_args(Kind):
        raise ConfigError(f"kernel {kind!r}: expected 'auto' or one of {', '.join(get_args(Kind))}")
    if kind == REFERENCE:
        return Kernel(kind, model)
    return _checked(kind, model, _pictures(model))


def calibrate(model: ConditionalVAE) -> Calibration:
    """Try all kernels on a trained model: a second or two once TensorFlow is there.

    Equal rates, such as those of a processor without bfloat16, are the reference's.
    """
    model._check_fitted()
    expected = _pictures(model)
    kernels, refused = [Kernel(REFERENCE, model)], {}
    for kind in _PRECISIONS:
        try:
            kernels.append(_checked(kind, model, expected))
        except (ConfigError, MissingExtraError) as reason:
            refused[kind] = str(reason)
    rates = {kernel.kind: _rate(kernel.model) for kernel in kernels}
    return Calibration(max(kernels, key=lambda kernel: rates[kernel.kind]), rates, refused)


def _checked(kind: Kind, model: ConditionalVAE, expected: Photos) -> Kernel:
    kernel = Kernel(kind, _by_openvino(model, *_PRECISIONS[kind]))
    parity = Parity.of(_pictures(kernel.model), expected)
    if not parity.holds:
        raise ConfigError(
            f"kernel {kernel.name!r}: with these weights its pictures differ from the reference by "
            f"up to {parity.levels} levels of 255 and {parity.psnr:.1f} dB; allowed are "
            f"{MOST_LEVELS} and {LEAST_PSNR:.0f} dB; use {REFERENCE!r}"
        )
    return kernel


def _pictures(model: ConditionalVAE, n: int = _N_COMPARED) -> Photos:
    """Pictures of fixed noise, near fixed latents, of what is asked for; a quarter for nobody."""
    rng = np.random.default_rng(0)
    prior, latent_size, sizes = model.prior_, model.latent_size, model.vocabulary_.sizes
    preferences = rng.standard_normal((n, model.whitening_.size + 1), np.float32)
    preferences[:, -1] = 1.0  # known
    preferences[::4] = 0.0
    noise, exemplars = rng.standard_normal((2, n, latent_size), np.float32)
    latents = prior.sample(
        preferences,
        rng.integers(-1, sizes, (n, len(sizes)), np.int32),
        noise,
        model.config.guidance,
        exemplars=exemplars * prior.latent_scale + prior.latent_mean,
        likeness=model.config.likeness,
    )
    return model.decode(latents)


def _rate(model: ConditionalVAE) -> float:
    """Pictures per second in the best of a few runs that keep every CPU busy."""
    n = TILE * 2 * n_cpus()
    fastest, end = np.inf, time.perf_counter() + _SECONDS
    while (start := time.perf_counter()) < end or fastest == np.inf:
        _pictures(model, n)
        fastest = min(fastest, time.perf_counter() - start)
    return n / fastest


def _by_openvino(model: ConditionalVAE, decoder: str, steps: str) -> ConditionalVAE:
    """The same model with prior and decoder compiled by OpenVINO, in the given precisions."""
    served = copy.copy(model)
    served.autoencoder_, served.prior_ = copy.copy(model.autoencoder_), copy.copy(model.prior_)
    latents = np.zeros((TILE, model.latent_size), np.float32)
    preferences = np.zeros((TILE, model.whitening_.size + 1), np.float32)
    number = np.zeros((), np.float32)
    asked = preferences, model.vocabulary_.checked(None, TILE), number
    effect = np.asarray(model.prior_.effect_tile(*asked))
    served.autoencoder_.decode_tile = _Compiled(model.autoencoder_.decode_tile, decoder, latents)
    served.prior_.effect_tile = _Compiled(model.prior_.effect_tile, "f32", *asked)
    served.prior_.walk_tile = _Compiled(
        model.prior_.walk_tile, steps, latents, latents, number, effect
    )
    return served


class _Compiled:
    """A graph function of one shape, compiled by OpenVINO, that each thread may call.

    Parameters
    ----------
    function
        From `compiled`.
    precision
        Of products: ``"f32"`` or ``"bf16"``.
    examples
        Arguments of the shapes to come.
    """

    def __init__(self, function: Any, precision: str, *examples: npt.NDArray[Any]) -> None:
        openvino = _openvino()
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise ConfigError(
                f"a kernel with bf16 in its name: this processor has no bfloat16; use {REFERENCE!r}"
            )
        names = [f"input_{i}" for i in range(len(examples))]
        specs = [
            tf.TensorSpec(a.shape, a.dtype, name) for a, name in zip(examples, names, strict=True)
        ]
        # Left to share TensorFlow's weights, it would read them after they are gone.
        graph = openvino.convert_model(function.get_concrete_function(*specs), share_weights=False)
        # What leads nowhere in a graph of TensorFlow's comes out of the conversion as an output.
        self._used = [i for i, example in enumerate(examples) if example.size]
        inputs = [graph.input(names[i]).get_node() for i in self._used]
        graph = openvino.Model([graph.output("Identity:0")], inputs)
        self._compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "NUM_STREAMS": n_cpus(),  # calls at a time, each by one thread
                "INFERENCE_NUM_THREADS": n_cpus(),
                "ENABLE_CPU_PINNING": False,  # other processes would be pinned to the same CPUs
            },
        )
        self._requests = threading.local()

    def __call__(self, *arrays: Any) -> npt.NDArray[Any]:
        """The result, which the next call in the same thread writes over."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        given = [np.asarray(arrays[i]) for i in self._used]
        found = self._requests.own.infer(given, share_outputs=True)
        return np.asarray(found[0])


def _openvino() -> Any:
    # Left to itself, it reports over the network that it was imported, without asking.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "fast") from error
    return openvino
