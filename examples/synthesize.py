"""Synthesize fingerprints from seeds and write them as PNG files that say where they come from.

python examples/synthesize.py prints
python examples/synthesize.py prints --seeds 100 200 300 --bundle my-bundle
"""

import argparse
from pathlib import Path

import fingergen.runtime as fgr
from fingergen.runtime.images import save_image


def main() -> None:
    options = argparse.ArgumentParser(description="Synthesize fingerprints from seeds.")
    options.add_argument("out", type=Path, help="folder to write to")
    options.add_argument("--seeds", type=int, nargs="+", default=range(4), help="default: 0 1 2 3")
    options.add_argument("--bundle", type=Path, help="default: the packaged demo bundle")
    arguments = options.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    with fgr.load(arguments.bundle) as model:
        # `stream` yields one image per seed, in order, and holds one batch at a time.
        for seed, image in zip(arguments.seeds, model.stream(arguments.seeds), strict=True):
            path = arguments.out / f"{seed:08d}.png"
            save_image(path, image, model.ppi(), model.provenance("synthesis", seed=seed))
            print(path)


if __name__ == "__main__":
    main()
