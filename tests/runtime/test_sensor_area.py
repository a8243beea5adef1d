"""The area of a sensor: crops and pads at its resolution, with the truth."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.runtime.cli import main
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import SENSORS, SensorArea, make_finger, take_impression
from fingergen.runtime.images import crop_or_pad, read_image, read_provenance
from fingergen.runtime.minutiae import read_template

from ..tiny_bundle import write_tiny_bundle


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def finger():
    return make_finger(5, (160, 192))


def places(template) -> np.ndarray:
    return np.array([(m.x, m.y) for m in template.minutiae])


def test_crop_and_pad_about_the_middle():
    image = np.full((6, 8), 9, np.uint8)
    image[2:4, 3:5] = [[1, 2], [3, 4]]
    assert crop_or_pad(image, 2, 2).tolist() == [[1, 2], [3, 4]]
    padded = crop_or_pad(image, 10, 4)
    assert padded.shape == (4, 10)
    assert (padded[:, [0, 9]] == 9).all() and padded[1:3, 4:6].tolist() == [[1, 2], [3, 4]]
    color = crop_or_pad(np.full((4, 4, 3), [1, 2, 3], np.uint8), 6, 2)
    assert (color == [1, 2, 3]).all() and color.shape == (2, 6, 3)


def test_an_area_of_the_windows_pixels_changes_nothing(finger):
    plain, seen = take_impression(finger, 1), take_impression(finger, 1, area=SensorArea(160, 192))
    assert (plain.pixels == seen.pixels).all()
    assert plain.template == seen.template


def test_twice_the_resolution_shows_the_same_finger(finger):
    coarse = take_impression(finger, 1, "easy")
    fine = take_impression(finger, 1, "easy", area=SensorArea(320, 384, 1000))
    assert fine.pixels.shape == (384, 320) and fine.template.ppi == 1000
    assert (fine.minutiae == coarse.minutiae).all()
    middle = np.array([159, 191]) / 2
    expected = (places(coarse.template) - middle) * 2 + np.array([319, 383]) / 2
    np.testing.assert_allclose(places(fine.template), expected, atol=1e-3)
    reduced = np.asarray(Image.fromarray(fine.pixels).reduce(2), float)
    assert np.corrcoef(reduced.ravel(), coarse.pixels.ravel().astype(float))[0, 1] > 0.85
    # Ridges are sampled anew: an image that is only enlarged has nothing near the highest frequencies.
    spectrum = np.abs(np.fft.fft2(fine.pixels - fine.pixels.mean()))
    enlarged = Image.fromarray(coarse.pixels).resize((320, 384), Image.Resampling.BICUBIC)
    other = np.abs(np.fft.fft2(np.asarray(enlarged, float) - coarse.pixels.mean()))
    high = np.s_[150:234, 120:200]
    assert spectrum[high].mean() > 3 * other[high].mean()


def test_a_smaller_and_a_larger_area(finger):
    whole = take_impression(finger, 1, "easy")
    small = take_impression(finger, 1, "easy", area=SensorArea(96, 64))
    np.testing.assert_array_equal(small.ridges, cropped(whole.ridges, 96, 64))
    corner = np.array([(160 - 96) // 2, (192 - 64) // 2])
    kept = [m for m in places(whole.template) - corner if 0 <= m[0] <= 95 and 0 <= m[1] <= 63]
    np.testing.assert_allclose(places(small.template), kept, atol=1e-3)
    large = take_impression(finger, 1, "easy", area=SensorArea(400, 420))
    assert large.pixels.shape == (420, 400) and large.pixels[:40].min() > 128
    assert len(large.template.minutiae) >= len(whole.template.minutiae)


def cropped(image: np.ndarray, width: int, height: int) -> np.ndarray:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


@pytest.mark.parametrize("name", SENSORS)
def test_windows_of_known_sensors(name: str):
    area = SENSORS[name]
    assert all(side * 500 / area.ppi <= room + 64 for side, room in zip(area.size, area.window, strict=True))
    assert all(64 <= side <= 576 and side % 2 == 0 for side in area.window)


def test_dataset_of_a_sensor(tmp_path: Path):
    out = tmp_path / "set"
    common = ("dataset", "--renderer", "sensor", "--fingers", 1, "--impressions", 1, "--preset", "easy")
    result = run(*common, "--width", 200, "--height", 150, "--ppi", 1000, "--out", out)
    assert result.exit_code == 0, result.output
    assert "1 images of 1000 ppi" in result.output
    assert read_image(out / "00000000_1.png").shape == (150, 200)
    template = read_template(out / "00000000_1.json")
    assert (template.width, template.height, template.ppi) == (200, 150, 1000)
    assert read_provenance(out / "00000000_1.png")["area"] == "200 x 150 at 1000 ppi"
    assert run(*common, "--width", 200, "--out", tmp_path / "x").exit_code == 2
    result = run(*common, "--window", 96, 128, "--ppi", 1000, "--out", tmp_path / "fine")
    assert result.exit_code == 0, result.output
    assert read_image(tmp_path / "fine" / "00000000_1.png").shape == (256, 192)  # the window's view


def test_images_of_a_bundle_are_cropped_or_padded(tmp_path: Path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    common = ("synth", "--bundle", bundle, "--seeds", 7, "--out")
    assert run(*common, tmp_path / "whole").exit_code == 0
    whole = read_image(tmp_path / "whole" / "00000007.png")
    for width, height in ((40, 20), (100, 30)):
        out = tmp_path / f"{width}"
        result = run(*common, out, "--width", width, "--height", height)
        assert result.exit_code == 0, result.output
        found = read_image(out / "00000007.png")
        np.testing.assert_array_equal(found, crop_or_pad(whole, width, height))
    for options, message in (
        (("--sensor", "fap30-1000ppi"), "--ppi 1000: the bundle's images have 500 ppi"),
        (("--sensor", "fap10", "--size", 32), "--size rescales"),
        (("--width", 40), "give both, or neither"),
    ):
        result = run(*common, tmp_path / "refused", *options)
        assert result.exit_code == 2 and message in str(result.exception or "") + result.output
    assert not (tmp_path / "refused").exists()


def test_edits_are_cropped_or_padded(tmp_path: Path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    common = ("edit", "--bundle", bundle, "--seeds", 7, "--index", 0, "--out")
    assert run(*common, tmp_path / "whole").exit_code == 0
    result = run(*common, tmp_path / "seen", "--width", 100, "--height", 30)
    assert result.exit_code == 0, result.output
    for kind in ("minus", "original", "plus"):
        seen, whole = (read_image(tmp_path / part / f"00000007_{kind}.png") for part in ("seen", "whole"))
        np.testing.assert_array_equal(seen, crop_or_pad(whole, 100, 30))
    assert read_provenance(tmp_path / "seen" / "00000007_plus.png")["area"] == "100 x 30 at 500 ppi"


def test_reconstructions_and_datasets_of_the_demo_bundle(tmp_path: Path):
    common = ("--sensor", "fap10", "--out")
    result = run("dataset", "--fingers", 1, "--impressions", 1, *common, tmp_path / "set")
    assert result.exit_code == 0, result.output
    template = read_template(tmp_path / "set" / "00000000_1.json")
    assert (template.width, template.height) == (250, 325)
    whole = run("dataset", "--fingers", 1, "--impressions", 1, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    full = read_template(tmp_path / "whole" / "00000000_1.json")
    assert template == full.crop((512 - 250) // 2, (512 - 325) // 2, 250, 325)
    image = read_image(tmp_path / "set" / "00000000_1.png")
    np.testing.assert_array_equal(
        image, crop_or_pad(read_image(tmp_path / "whole" / "00000000_1.png"), 250, 325)
    )
    result = run("reconstruct", tmp_path / "whole" / "00000000_1.json", *common, tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert read_image(tmp_path / "r" / "00000000_1.png").shape == (325, 250)


def test_areas_out_of_range():
    with pytest.raises(BadInput, match="sensor width"):
        SensorArea(1, 100)
    with pytest.raises(BadInput, match="sensor ppi"):
        SensorArea(100, 100, 99)
