"""Write a mated set: several impressions of each finger, with the true template of every impression.

    python examples/mated_set.py set --fingers 10 --impressions 3 --preset medium

The fingers are grown from seeds, so their minutiae are known, not extracted. For a set with the look of a
trained generator use `fg-run dataset`.
"""

import argparse
from pathlib import Path

from PIL import Image

from fingergen.runtime.fingers import PPI, PRESETS, make_finger, take_impression
from fingergen.runtime.minutiae import write_template


def main() -> None:
    options = argparse.ArgumentParser(description="Write impressions of fingers with their true templates.")
    options.add_argument("out", type=Path, help="folder to write to")
    options.add_argument("--fingers", type=int, default=2)
    options.add_argument("--impressions", type=int, default=2, help="per finger")
    options.add_argument("--preset", choices=list(PRESETS), default="easy", help="how far they differ")
    arguments = options.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    for seed in range(arguments.fingers):
        finger = make_finger(seed)
        for number in range(arguments.impressions):
            impression = take_impression(finger, number, arguments.preset)
            path = arguments.out / f"{seed:06d}_{number:02d}.png"
            Image.fromarray(impression.pixels).save(path, dpi=(PPI, PPI))
            write_template(path.with_suffix(".fmr"), impression.template, "iso19794-2-2005")
            print(f"{path}: {len(impression.template.minutiae)} minutiae, {finger.kind.value}")


if __name__ == "__main__":
    main()
