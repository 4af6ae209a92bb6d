# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Judging a personalizer offline
#
# Which questions a held-out log can answer, and how:
#
# 1. **Lists.** Does the recommender find what users took next, and is it better than popularity
#    by more than chance?
# 2. **Pictures.** Do the pictures made for a user look more like what *that* user took than like
#    what others took?
# 3. **Truth.** Where the taste is known, as in the synthetic shop, do the pictures show it?
#
# Replace the shop by your own files in the first cell; nothing else changes.

# %%
import os
import tempfile
from pathlib import Path

import prodgen_rec as pg
from prodgen_rec.datasets import write_shop

STEPS = int(os.environ.get("STEPS", "6000"))
folder = Path(tempfile.mkdtemp())
shop = write_shop(folder / "shop", n_items=400, n_users=400, seed=1)

events = pg.read_events(shop.events)
holdout = pg.read_events(shop.holdout)
catalog = pg.read_catalog(shop.items, shop.photos, size=32)
events

# %% [markdown]
# Rows that could not be used are not gone: they are counted, with reasons, and kept aside.

# %%
events.quarantine.to_pandas().head()

# %% [markdown]
# ## Fit

# %%
settings = pg.PersonalizerConfig(
    preferences={"factors": 32, "regularization": 1.0},
    imagery=pg.ImageryConfig.quick(size=32, width=16),
)
personalizer = pg.Personalizer(settings, seed=0)
personalizer.fit(events, catalog, steps=STEPS, progress=False)

# %% [markdown]
# ## Lists
#
# Every metric is taken over the full catalogue, with a 95 % bootstrap interval over users. The
# paired difference says whether the lead over popularity is more than chance: its interval must
# leave out zero.

# %%
from prodgen_rec.evaluation.offline import evaluate_lists, evaluate_pictures

history = personalizer.interactions(events)
future = personalizer.interactions(holdout)
lists = evaluate_lists(personalizer, history, future)
lists.personalized.table()

# %%
lists.difference["ndcg@20"]

# %% [markdown]
# ## Pictures
#
# The judge is a classifier that saw real photos only; no loss uses it. Match AUC is how often a
# user's pictures are nearer to that user's held-out items than to another user's: ½ is chance.
# The rows of real pictures are the scale to read it on.

# %%
import pandas as pd

from prodgen_rec.evaluation.judge_trained import CatalogJudge, labelled_photos
from prodgen_rec.evaluation.personalization import match_table

judge = CatalogJudge(seed=0).fit(
    *labelled_photos(catalog, ["type", "color"]), pg.Budget(steps=min(STEPS, 400)), progress=False
)
judge.accuracy_

# %%
pictures = evaluate_pictures(
    personalizer, history, future, lists.recommendations, judge, max_users=300
)
match_table(pictures.figures).round(3)

# %% [markdown]
# ## Truth
#
# The tastes of this shop were planted, so the pictures can be asked outright.

# %%
from prodgen_rec.evaluation.agreement import attribute_agreement

truth = pd.read_csv(shop.truth)
attribute_agreement(
    pictures.made.table["user_id"].to_numpy(), judge.predict(pictures.made.images), truth
).round(3)

# %% [markdown]
# ## Look
#
# No figure replaces looking: four photos of what each user took, then four imagined pictures.

# %%
from IPython.display import Image

from prodgen_rec.display.showcase import user_sheet

users = pictures.made.table["user_id"].unique()[:8]
user_sheet(personalizer, history, pictures.made, users, folder / "users.png")
Image(filename=str(folder / "users.png"), width=700)
