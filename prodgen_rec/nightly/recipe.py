"""What the rows of a run depend on, beside the bundle and the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from prodgen_rec.imagery.encoding import ImageFormat

Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(BaseModel):
    """How users are served; the same recipe, bundle and log give the same bytes.

    Attributes
    ----------
    n_items, n_pictures
        Recommended items and pictures per user.
    seed
        Another seed gives other pictures of the same tastes.
    guidance, diversity, likeness
        See `Personalizer.imagine`; None for what the bundle says.
    cold
        Users without a usable history, of whom nothing is known besides, get what the shop's
        average user does, or are refused.
    share
        Who shares pictures, and the work for them: ``none``, users with the same ``history``, such
        as all that are cold and of whom the same is known, or users whose tastes are near the same
        one of ``n_personas`` ``personas``, see `Personas`.
    n_personas
        Tastes that are told apart where personas share pictures.
    since
        Only users with an event at this time or after it are served; all where None. Their whole
        history counts.
    users_per_part
        Users in a part, about: parts are made of a share of the hashes of ids.
    image_format, image_quality
        Of the encoded pictures; None for what is good for the format.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_items: PositiveInt = 4
    n_pictures: PositiveInt = 4
    seed: int = 0
    guidance: NonNegativeFloat | None = None
    diversity: Share | None = None
    likeness: Share | None = None
    cold: Literal["average", "refuse"] = "average"
    share: Literal["none", "history", "personas"] = "none"
    n_personas: PositiveInt = 1000
    since: AwareDatetime | None = None
    users_per_part: PositiveInt = 1000
    image_format: ImageFormat = "jpeg"
    image_quality: Annotated[int, Field(ge=1, le=100)] | None = None

    def n_parts(self, n_users: int) -> int:
        """Parts for so many users, at least 1."""
        return max(1, -(-n_users // self.users_per_part))
