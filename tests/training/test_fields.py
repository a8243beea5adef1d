"""The field network: its examples, its training, its ONNX graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from fingergen.export.checks.parity import open_session
from fingergen.export.onnx_graphs.fields import field_model
from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template
from fingergen.runtime.minutiae.raster import CELLS, CHANNELS
from fingergen.training.checkpoints import FieldCheckpoint, load_checkpoint
from fingergen.training.checkpoints.files import read, write
from fingergen.training.commands.encoder import encoder
from fingergen.training.data import masters
from fingergen.training.data.fields import FieldExamples, disturb
from fingergen.training.networks.field_net import FieldNet
from fingergen.training.trainers.fields import FieldTrainer, field_errors, field_losses

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> FieldExamples:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masters, "HELD_OUT", 2)
        return FieldExamples(tmp_path_factory.mktemp("masters"), 2)


def trainer(examples: FieldExamples) -> FieldTrainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masters, "HELD_OUT", 2)
        return FieldTrainer(examples, 4, 2e-3, 64, 0, CPU)


def test_examples_hang_on_the_generator_alone(examples: FieldExamples):
    one, other = (examples.batch(np.random.default_rng(3), 3) for _ in range(2))
    assert torch.equal(one.rasters, other.rasters) and torch.equal(one.targets, other.targets)
    assert one.rasters.shape == (3, CHANNELS, CELLS, CELLS) and one.targets.shape == (3, 4, CELLS, CELLS)
    assert not torch.equal(one.rasters, examples.batch(np.random.default_rng(4), 3).rasters)
    lengths = one.targets[:, 0].square() + one.targets[:, 1].square()
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=2e-3, rtol=0)


def test_disturbed_templates_stay_templates():
    minutiae = tuple(Minutia(float(x), 511.0, 10.0 * x, MinutiaType.ENDING) for x in range(0, 512, 10))
    template = Template(512, 512, 500, minutiae, cores=(Point(5, 5),))
    rng = np.random.default_rng(0)
    found = [disturb(template, rng) for _ in range(50)]
    counts = [len(one.minutiae) for one in found]
    assert min(counts) < 35 and max(counts) > 45
    assert {len(one.cores) for one in found} == {0, 1}
    assert {one.minutiae[0].type for one in found} == {MinutiaType.ENDING, MinutiaType.OTHER}


def test_losses_by_hand():
    target = torch.zeros(1, 4, 2, 2)
    target[:, 0] = 1
    target[0, 3, 0] = 1  # the upper half is touched
    predicted = target.clone()
    predicted[:, 0] = 0
    predicted[:, 2] = 2
    predicted[:, 3] = 0
    orientation, period, contact = field_losses(predicted, target)
    assert orientation.item() == pytest.approx((2 * 1.05 + 2 * 0.05) / 8)
    assert period.item() == pytest.approx(4 * (2 * 1.05 + 2 * 0.05) / 4)
    assert contact.item() == pytest.approx(np.log(2))


def test_errors_are_those_of_the_angle():
    angle = torch.tensor(np.radians([0.0, 60.0, 170.0])).float()
    target = torch.zeros(1, 4, 1, 3)
    target[0, 0], target[0, 1], target[0, 3] = (2 * angle).cos(), (2 * angle).sin(), 1
    predicted = target.clone()
    off = angle + np.radians(20)
    predicted[0, 0], predicted[0, 1] = 3 * (2 * off).cos(), 3 * (2 * off).sin()
    predicted[0, 2], predicted[0, 3] = 4 * np.log(1.1), 5
    figures = field_errors(predicted, target)
    assert figures["orientation_median"] == pytest.approx(20, abs=1e-3)
    assert figures["period"] == pytest.approx(0.1, abs=1e-5)
    assert figures["contact"] == 1


@pytest.mark.slow
def test_training_learns_and_resumes_to_the_bit(examples: FieldExamples, tmp_path: Path):
    whole, first, resumed = (trainer(examples) for _ in range(3))
    losses = []
    for count, one in ((8, whole), (4, first)):
        for _ in range(count):
            losses.append(one.step(one.load_batch(one.images_seen))["loss/orientation"])
            one.images_seen += one.batch_size
    assert np.mean(losses[5:8]) < 0.9 * losses[0]
    first.save(tmp_path / "state.pt")
    resumed.load(tmp_path / "state.pt")
    assert resumed.images_seen == 16
    for _ in range(4):
        resumed.step(resumed.load_batch(resumed.images_seen))
        resumed.images_seen += resumed.batch_size
    for key, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[key], value), key


def test_checkpoints(examples: FieldExamples, tmp_path: Path):
    one = trainer(examples)
    path = tmp_path / "state.pt"
    one.save(path)
    checkpoint = load_checkpoint(path)
    assert isinstance(checkpoint, FieldCheckpoint)
    network = checkpoint.network
    x = torch.randn(1, CHANNELS, CELLS, CELLS)
    torch.testing.assert_close(network(x), one.network.eval()(x))
    content = read(path)
    del content["field_net"]["leave.bias"]
    write(path, content)
    with pytest.raises(BadInput, match="not a whole checkpoint of a field network"):
        load_checkpoint(path)
    with pytest.raises(BadInput, match="give another --out"):
        one.load(path)


def test_the_graph_equals_the_network():
    network = FieldNet((8, 8, 16, 16)).eval()
    session = open_session(field_model(network))
    for batch in (1, 3):
        raster = torch.randn(batch, CHANNELS, CELLS, CELLS)
        (found,) = session.run(None, {"raster": raster.numpy()})
        with torch.no_grad():
            expected = network(raster)
        expected[:, 3] = expected[:, 3].sigmoid()
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def encoder_command(*arguments: object) -> Result:
    return CliRunner().invoke(
        encoder, [str(argument) for argument in arguments], prog_name="fg-train encoder"
    )


@pytest.mark.slow
def test_encoder_without_a_generator_trains_the_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(masters, "HELD_OUT", 1)
    done = encoder_command("--fingers", 1, "--batch", 2, "--images", 4, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "run" / "state.pt")["images_seen"] == 4


def test_encoder_without_a_generator_loads_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found: dict[str, object] = {}
    command = "fingergen.training.commands.encoder"
    monkeypatch.setattr(f"{command}.FieldExamples", lambda *_: None)
    monkeypatch.setattr(f"{command}.train_with_bar", lambda *_, **options: found.update(options))
    done = encoder_command("--fingers", 1, "--loader-processes", 3, "--device", "cpu", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert found["workers"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "prints"], "without --generator give --fingers N"),
        (["--fingers", 1, "--w-plus"], "--w-plus True: has no effect without --generator"),
        (["--fingers", 1, "--minutiae-images", 5], "--minutiae-images 5: has no effect without --generator"),
    ],
)
def test_options_that_need_a_generator(arguments: list[object], message: str, tmp_path: Path):
    done = encoder_command(*arguments, "--out", tmp_path)
    assert isinstance(done.exception, BadInput) and message in str(done.exception)
