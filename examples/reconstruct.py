"""Reconstruct a fingerprint from a minutiae template, in several looks of the same finger.

python examples/reconstruct.py finger.fmr prints
"""

import argparse
from pathlib import Path

import fingergen.runtime as fgr
from fingergen.runtime.images import save_image
from fingergen.runtime.minutiae import read_template


def main() -> None:
    options = argparse.ArgumentParser(description="Reconstruct a fingerprint from a minutiae template.")
    options.add_argument("template", type=Path, help="in any format that fg-run reads")
    options.add_argument("out", type=Path, help="folder to write to")
    options.add_argument("--bundle", type=Path, help="default: the packaged demo bundle")
    arguments = options.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    template = read_template(arguments.template)
    with fgr.load(arguments.bundle) as model:
        encoded = model.encoded(template)  # runs the encoder once
        # An edit moves w, which says how the print looks; the noise images, which say where its ridges run,
        # stay. So the three images show the same minutiae.
        less, original, more = model.edit(encoded, index="ink", degree=3.0)
        for name, images in (("less_ink", less), ("original", original), ("more_ink", more)):
            path = arguments.out / f"{arguments.template.stem}_{name}.png"
            source = model.provenance("reconstruction", template=arguments.template.name, look=name)
            save_image(path, images[0], model.ppi(), source)
            print(path)


if __name__ == "__main__":
    main()
