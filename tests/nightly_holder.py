"""Begins a run, and waits to be killed.

python tests/nightly_holder.py TARGET
"""

from __future__ import annotations

import signal
import sys

from nightly_runs import begun

if __name__ == "__main__":
    with begun(sys.argv[1], 26):
        print("holding", flush=True)
        signal.pause()
