"""``python -m prodgen_rec`` is ``prodgen-rec``."""

from prodgen_rec.cli import main

if __name__ == "__main__":
    main()
