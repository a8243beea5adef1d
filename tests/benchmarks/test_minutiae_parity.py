"""`fg-bench minutiae`: what another precision keeps of the minutiae."""

import json
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner, Result

import fingergen.runtime as fgr
from fingergen.benchmarks.cli import main
from fingergen.benchmarks.quality import minutiae_parity
from fingergen.runtime.datasets.nist import Nist
from fingergen.runtime.minutiae import Minutia, Template


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["minutiae", *map(str, arguments)], prog_name="fg-bench")


def test_minutiae_are_kept_within_four_pixels_and_five_degrees():
    whole = Template(100, 100, 500, tuple(Minutia(10 * i, 50, 30) for i in range(1, 9)))
    near = replace(whole, minutiae=tuple(replace(m, x=m.x + 3, angle=m.angle + 4) for m in whole.minutiae))
    turned = replace(whole, minutiae=tuple(replace(m, angle=m.angle + 6) for m in whole.minutiae[:2]))
    assert minutiae_parity.parity([near], [whole]) == {"images": 1, "minutiae": 8, "kept": 1.0, "added": 0.0}
    assert minutiae_parity.parity([turned, whole], [whole, whole]) == {
        "images": 2,
        "minutiae": 16,
        "kept": 0.5,
        "added": 0.2,
    }


def test_a_template_of_an_image():
    with fgr.load() as model:
        image, truth = model.synthesize([3])[0], model.finger_noise.impression(3).template
        found = Nist().template(image, model.ppi())
    assert (found.width, found.height) == (512, 512)
    assert minutiae_parity.parity([found], [found])["kept"] == 1.0
    assert len(truth.minutiae) / 2 < len(found.minutiae) < 2 * len(truth.minutiae)


class Altered:
    """A model whose images are those of another, somehow altered."""

    def __init__(self, model: fgr.Model, alter) -> None:
        self.model, self.alter = model, alter

    def ppi(self) -> float:
        return self.model.ppi()

    def stream(self, seeds: range) -> Iterator[np.ndarray]:
        return (self.alter(image) for image in self.model.stream(seeds))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alter", "code"), [(lambda image: image, 0), (lambda image: image[::-1], 1)], ids=["same", "flipped"]
)
def test_another_precision(alter, code: int, monkeypatch: pytest.MonkeyPatch):
    """fp16 stands for a precision that the demo bundle has not."""
    with fgr.load() as model:

        def load(bundle, name, precision):
            return nullcontext(model if precision == "fp32" else Altered(model, alter))

        monkeypatch.setattr(minutiae_parity.fgr, "load", load)
        monkeypatch.setattr(
            minutiae_parity,
            "unavailable",
            lambda name, bundle, precision: None if name == "onnxruntime" else "not here",
        )
        result = run("--images", 2, "--json")
    assert result.exit_code == code, result.output
    (row,) = json.loads(result.stdout)
    assert (row["backend"], row["precision"], row["images"]) == ("onnxruntime", "fp16", 2)
    assert row["kept"] == 1.0 if code == 0 else row["kept"] < 0.5
    if code:
        assert "onnxruntime, fp16: keeps" in result.stderr


def test_nothing_to_compare():
    result = run("--images", 1)
    assert result.exit_code == 0 and "no other backend or precision runs this bundle here" in result.output


def test_sigterm_ends_it_with_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fgr, "load", lambda *arguments, **named: signal.raise_signal(signal.SIGTERM))
    done = run()
    assert done.exit_code == 143
    assert done.stderr == "terminated: no figures were taken down; run the command again\n"
