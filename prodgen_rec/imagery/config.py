"""Settings of the image model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _power_of_two(size: int) -> int:
    if size not in (16, 32, 64, 128):
        raise ValueError(f"size must be 16, 32, 64 or 128, got {size}")
    return size


PictureSize = Annotated[int, AfterValidator(_power_of_two)]
"""Side of pictures in pixels that the networks can make."""


SMALLEST_SEEN = 32
"""Side of the smallest pictures in which EfficientNet-Lite sees something, in pixels."""


class ImageModelConfig(BaseModel):
    """Settings that every image model has.

    Attributes
    ----------
    size
        Side of the pictures in pixels: 16, 32, 64 or 128.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    of_drawing: ClassVar[set[str]] = set()
    """Settings that training knows nothing of, so that they may change after it."""

    size: PictureSize = 64

    def of_training(self, *, but: Collection[str] = ()) -> str:
        """The settings that a training depends on, as JSON, without those named."""
        return self.model_dump_json(exclude=self.of_drawing.union(but))


_OF_SHARPENING = {
    "adversarial_weight", "sharpening_share", "flow_steps", "likeness", "guidance"
}  # fmt: skip
"""Its settings, and those of the pictures that are drawn for it."""
_OF_PRIOR = {
    "prior", "prior_width", "prior_depth", "prior_batch_size", "prior_share", "condition_dropout"
}  # fmt: skip
_UNKNOWN_TO = {
    "autoencoder": {"refinement_share"} | _OF_PRIOR | _OF_SHARPENING,
    "refinement": _OF_PRIOR | _OF_SHARPENING,
    "prior": {"refinement_share"} | _OF_SHARPENING,
    "sharpening": set[str](),
}
"""Settings that a phase of `ConditionalVAE` does not depend on, but by what it is given."""
_QUICK = {
    "width": 24,
    "n_blocks": 0,
    "latent_side": 4,
    "kl_weight": 3e-3,
    "perceptual_weight": 0.0,
    "mirror": False,
    "prior_width": 256,
    "prior_depth": 2,
    "guidance": 2.5,
    "learning_rate": 2e-3,
    "prior_batch_size": 128,
    "refinement_share": 0.0,
    "prior_share": 0.2,
    "sharpening_share": 0.0,
}
"""What gave the best pictures of the synthetic shop after two minutes of training."""


class ImageryConfig(ImageModelConfig):
    """Settings of `ConditionalVAE`; see also `ImageModelConfig`.

    Attributes
    ----------
    width
        Channels at half the picture's resolution; the cost of decoding grows with its square.
    n_blocks
        Residual blocks of the decoder per resolution, beside one plain convolution.
    latent_side, latent_channels
        Side of the latent map in cells, 4 or 8 and less than ``size``, and its channels. A finer
        map keeps where things are; a coarse one leaves more to the networks.
    kl_weight
        Weight of the mean KL divergence per latent dimension, in nats, beside the mean absolute
        and mean squared error of pixels in [-1, 1].
    perceptual_weight
        Weight of the perceptual distance beside these; 0 leaves it out. It needs pictures of at
        least 32 pixels, and so does sharpening.
    adversarial_weight
        Weight of the adversarial loss when the decoder is sharpened.
    mirror
        Whether products may be shown turned left or right in training.
    prior
        ``flow``: rectified flow; ``gaussian``: diagonal Gaussian.
    prior_width, prior_depth
        Width of the prior's layers and number of residual blocks of the flow.
    flow_steps
        Euler steps from noise to latent.
    likeness
        How much pictures are like the photo of an item that suits their user, unless a caller
        says otherwise: 0 draws them from noise alone, 1 would show the photo itself.
    sharpness
        How much more often the items that suit a user best are taken for that; see `Exemplars`.
    familiarity
        By how much an item that the user took counts for more there than the best one, in
        standard deviations of the scores of the items that suit the user best.
    guidance
        How strongly pictures follow the preference unless a caller says otherwise: 0 ignores it,
        1 follows it, more exaggerates it.
    pool
        Latents that are drawn for each picture; those that suit the user best are decoded.
    diversity
        How much the pictures of a user should differ unless a caller says otherwise: 0 takes
        what suits best, however alike, 1 what differs most.
    condition_dropout
        Share of conditions that are hidden in training, so that the model also knows
        "no preference".
    learning_rate
        Highest learning rate of the autoencoder.
    batch_size, prior_batch_size
        Pictures per step of the autoencoder, pairs per step of the prior.
    refinement_share
        Share of the training budget in which the perceptual distance looks at enlarged pictures,
        after what is left to the autoencoder without that; 0 leaves it out.
    prior_share, sharpening_share
        Shares of the training budget that the prior and the sharpening of the decoder get; a
        share of 0 leaves the sharpening out.
    precision
        Arithmetic of the training, but for discriminators; ``auto`` takes bfloat16 where the
        processor has it. Pictures are always made in float32.
    """

    of_drawing: ClassVar[set[str]] = {"sharpness", "familiarity", "pool", "diversity"}

    width: int = Field(default=32, ge=4, le=128)
    n_blocks: int = Field(default=1, ge=0, le=8)
    latent_side: Literal[4, 8] = 8
    latent_channels: int = Field(default=8, ge=1, le=64)
    kl_weight: float = Field(default=2e-2, ge=0)
    perceptual_weight: float = Field(default=0.3, ge=0)
    adversarial_weight: float = Field(default=0.15, gt=0)
    mirror: bool = True
    prior: Literal["flow", "gaussian"] = "flow"
    prior_width: int = Field(default=352, ge=8)
    prior_depth: int = Field(default=4, ge=1)
    flow_steps: int = Field(default=4, ge=1, le=64)
    likeness: float = Field(default=0.5, ge=0, lt=1)
    sharpness: float = Field(default=3.0, gt=0)
    familiarity: float = Field(default=4.0, ge=0)
    guidance: float = Field(default=2.0, ge=0)
    pool: int = Field(default=1, ge=1, le=64)
    diversity: float = Field(default=0.3, ge=0, le=1)
    condition_dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    batch_size: int = Field(default=16, ge=1)
    prior_batch_size: int = Field(default=512, ge=1)
    refinement_share: float = Field(default=0.3, ge=0, lt=1)
    prior_share: float = Field(default=0.15, gt=0, lt=1)
    sharpening_share: float = Field(default=0.3, ge=0, lt=1)
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"

    @model_validator(mode="after")
    def _shares_leave_room(self) -> ImageryConfig:
        taken = self.refinement_share + self.prior_share + self.sharpening_share
        if taken >= 1:
            raise ValueError(
                f"refinement_share, prior_share and sharpening_share together are {taken:g}; "
                "the autoencoder needs a share of the training budget, too"
            )
        return self

    @model_validator(mode="after")
    def _can_be_seen(self) -> ImageryConfig:
        if self.size < SMALLEST_SEEN and (self.perceptual_weight or self.sharpening_share):
            raise ValueError(
                f"size = {self.size} with a perceptual_weight or sharpening_share: the network "
                f"behind both sees nothing in pictures of less than {SMALLEST_SEEN} pixels; set "
                "perceptual_weight, refinement_share and sharpening_share to 0"
            )
        return self

    @model_validator(mode="after")
    def _refines_by_a_distance(self) -> ImageryConfig:
        if self.refinement_share and not self.perceptual_weight:
            raise ValueError(
                f"refinement_share = {self.refinement_share:g} with perceptual_weight = 0: it is "
                "the perceptual distance that looks closer then; give it a weight, or no share"
            )
        return self

    @classmethod
    def quick(cls, **settings: Any) -> ImageryConfig:
        """Settings for a first look after minutes: small networks, and pixels alone as a loss.

        The defaults need twenty minutes, and give far better pictures then.

        Parameters
        ----------
        settings
            Settings that take the place of these.
        """
        return cls(**_QUICK | settings)

    def of_phase(self, phase: str) -> str:
        """The settings that the training of a phase depends on, as JSON."""
        return self.of_training(but=_UNKNOWN_TO[phase])

    @property
    def first_share(self) -> float:
        """Share of the training budget that is left to the autoencoder."""
        return 1 - self.refinement_share - self.prior_share - self.sharpening_share

    @property
    def latent_size(self) -> int:
        """Numbers in one latent."""
        return self.latent_side**2 * self.latent_channels


class BaselineConfig(ImageModelConfig):
    """Settings that the baselines share; see also `ImageModelConfig`.

    Attributes
    ----------
    width
        Channels at half the picture's resolution; they double with each halving up to 256.
    latent_channels
        Noise of a picture, in sixteens of numbers.
    condition_width
        Width of the layers that a condition goes through.
    condition_dropout
        Share of conditions that are hidden in training, where there are any.
    learning_rate
        Highest learning rate.
    batch_size
        Pictures per step.
    """

    width: int = Field(default=32, ge=4, le=128)
    latent_channels: int = Field(default=8, ge=1, le=64)
    condition_width: int = Field(default=256, ge=8)
    condition_dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(default=64, ge=1)

    @property
    def latent_size(self) -> int:
        """Numbers in the noise of one picture."""
        return 16 * self.latent_channels


class PlainVAEConfig(BaselineConfig):
    """Settings of `PlainVAE` and `PlainCVAE`; see `BaselineConfig`."""

    learning_rate: float = Field(default=1e-3, gt=0)


class GANConfig(BaselineConfig):
    """Settings of `DCGAN` and `ConditionalGAN`; see `BaselineConfig`."""

    learning_rate: float = Field(default=2e-4, gt=0)
