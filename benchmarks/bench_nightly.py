"""How fast a nightly run is, beside a straightforward script and what the machine can do.

python benchmarks/bench_nightly.py [--bundle BUNDLE --events EVENTS] [--users 4000]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
N_STRAIGHTFORWARD, N_DECODED = 512, 4096


def main() -> None:
    """Print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--events", type=Path)
    parser.add_argument("--users", type=int, default=4000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, events = asked.bundle, asked.events
        if bundle is None or events is None:
            bundle, events = in_a_process(make_shop, folder, asked.users)
        events = in_a_process(first_users, events, folder, asked.users)
        naive = straightforward(bundle, events, N_STRAIGHTFORWARD)
        kinds = ["tensorflow-float32", "auto"]
        tried = [around_a_night(bundle, events, folder, kind) for kind in kinds]
    for night, best in tried:
        rate = night["pictures"] / night["making"]
        gflops = best["flops"] * best["rate"] / 1e9
        print(
            f"{night['kernel']}:\n"
            f"  the run           {rate:8,.0f} pictures/s  {rate / naive:.1f} × the script\n"
            f"  decoding alone    {best['rate']:8,.0f} pictures/s  "
            f"{gflops / best['product']:.2f} of the float32 matrix product; "
            f"the run takes {best['rate'] / rate:.2f} × its time\n"
            f"  prior and decoder {best['both']:8,.0f} pictures/s  "
            f"the run takes {best['both'] / rate:.2f} × their time\n"
            f"  {night['first']:.1f} s to the first part, {night['memory'] / 2**30:.2f} GiB at most"
        )


def around_a_night(bundle, events, folder, kind):
    """A run, and the mean of the limits before and after it: machines do not stay equally fast."""
    before = in_a_process(limit, bundle, kind)
    night = in_a_process(nightly, bundle, events, folder / kind, kind)
    after = in_a_process(limit, bundle, kind)
    return night, {name: (before[name] + after[name]) / 2 for name in before}


def in_a_process(function, *arguments):
    """What a function of this file returns, called in a new process."""
    call = json.dumps([function.__name__, *map(str, arguments)])
    done = subprocess.run(
        [sys.executable, __file__, "--call", call], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def make_shop(folder: str, n_users: str) -> tuple[str, str]:
    """A synthetic shop, and a bundle of the default architecture, hardly trained."""
    from prodgen_rec import Personalizer, datasets, read_catalog

    shop = datasets.ShopFiles(Path(folder) / "shop")
    datasets.write_shop(shop.folder, n_items=2000, n_users=int(n_users), n_weeks=6, seed=0)
    catalog = read_catalog(shop.items, shop.photos, size=64)
    bundle = Path(folder) / "bundle"
    Personalizer().fit(shop.events, catalog, steps=20, progress=False).save(bundle)
    return str(bundle), str(shop.events)


def first_users(events: str, folder: str, n: str) -> str:
    """The histories of so many users, as a Parquet file."""
    import pyarrow.parquet as pq

    from prodgen_rec import PersonalizerConfig, read_events

    frame = read_events(events, event_weights=PersonalizerConfig().event_weights).to_pandas()
    some = frame["user_id"].drop_duplicates().iloc[: int(n)]
    out = Path(folder) / "some.parquet"
    frame[frame["user_id"].isin(some)].to_parquet(out, index=False)
    assert pq.ParquetFile(out).metadata.num_rows
    return str(out)


def straightforward(bundle: str, events: str, n_users: int) -> float:
    """Pictures per second of the script beside this one, by the faster of its two ways."""
    words = [sys.executable, str(HERE / "straightforward.py"), bundle, events]
    done = subprocess.run(
        [*words, "--users", str(n_users)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    print(done.stdout.rstrip())
    rates = re.findall(r"([\d,]+) pictures/s", done.stdout)
    return max(float(rate.replace(",", "")) for rate in rates)


def limit(bundle: str, kind: str) -> dict[str, float]:
    """How fast a kernel decodes, draws latents and decodes, and NumPy multiplies."""
    sys.path.insert(0, str(HERE))
    import numpy as np
    from bench_serving import matrix_product_gflops, seconds

    from prodgen_rec import Personalizer
    from prodgen_rec.imagery.kernels import kernel_of
    from prodgen_rec.imagery.runtime import one_thread_per_operation

    one_thread_per_operation()
    personalizer = Personalizer.load(bundle)
    model = kernel_of(personalizer.image_model_, kind).model
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((N_DECODED, model.latent_size), np.float32)
    vectors = np.resize(personalizer.recommender_.user_vectors_, (N_DECODED, model.whitening_.size))

    def both() -> object:
        return model.decode(model.sample_latents(vectors, latents, exemplars=latents))

    return {
        "rate": N_DECODED / seconds(lambda: model.decode(latents)),
        "both": N_DECODED / seconds(both),
        "flops": model.flops()["decoder"],
        "product": matrix_product_gflops(),
    }


def nightly(bundle: str, events: str, to: str, kind: str) -> dict[str, float | str]:
    """A whole run: seconds, and the memory of the process at its most."""
    from prodgen_rec.nightly import NightlySettings, run, writing

    start = time.perf_counter()
    first: list[float] = []
    write = writing.Run.write_part

    def timed(self, *arguments, **named):
        write(self, *arguments, **named)
        first.append(time.perf_counter() - start)

    writing.Run.write_part = timed
    outcome = run(NightlySettings.read(bundle=bundle, events=events, to=to, kernel=kind))
    return {
        "pictures": outcome.manifest.counts.n_out * 4,
        "making": outcome.seconds["making"],
        "kernel": outcome.manifest.kernel,
        "first": first[0],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--call"]:
        name, *arguments = json.loads(sys.argv[2])
        print(json.dumps(globals()[name](*arguments)))
    else:
        main()
