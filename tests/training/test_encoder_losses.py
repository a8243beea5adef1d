"""What the encoder's training can be asked for: LPIPS, LEADER, FingerNet; Ranger; pretrained trunks."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints.trunk import load_trunk
from fingergen.training.losses.fingernet import FingerNet, FingerNetDistance
from fingergen.training.losses.leader import LeaderDistance
from fingergen.training.losses.lpips import PerceptualDistance
from fingergen.training.losses.reconstruction import ImageLosses
from fingergen.training.networks import Encoder
from fingergen.training.networks.minutiae_net import MinutiaeNet
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.ranger import ALPHA, K, Ranger

CPU = torch.device("cpu")
WINDOW = 128


def ridges(*places: tuple[int, int], side: int = 128) -> Tensor:
    """Vertical ridges nine pixels apart in [-1, 1], (1, 1, side, side); at each place x, y one ends."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    phase = x * (2 * torch.pi / 9)
    for column, row in places:
        phase = phase + torch.atan2(y - row, x - column)
    return torch.sin(phase)[None, None]


def assert_is_distance(distance, images: Tensor, others: Tensor) -> None:
    """0 for equal images, more for others; gradients reach the first ones, for which a small step helps."""
    assert distance(images, images) == pytest.approx(0, abs=1e-5)
    found = others.clone().requires_grad_()
    value = distance(found, images.requires_grad_())
    value.backward()
    assert found.grad is not None and images.grad is None
    step = 0.01 * value.detach() / found.grad.square().sum()
    with torch.no_grad():
        assert distance(found - step * found.grad, images) < value
    assert distance(found.expand(-1, 3, -1, -1), images).item() == pytest.approx(value.item(), rel=1e-3)


# -- LPIPS --------------------------------------------------------------------------------------------------


class AlexNet(nn.Module):
    """Stands for torchvision's where that cannot be imported: the layers that LPIPS takes of it."""

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        assert not pretrained
        layers: list[nn.Module] = []
        for inputs, outputs, size, stride, pool in (
            (3, 64, 11, 4, True), (64, 192, 5, 1, True), (192, 384, 3, 1, False), (384, 256, 3, 1, False),
            (256, 256, 3, 1, True),
        ):  # fmt: skip
            layers += [nn.Conv2d(inputs, outputs, size, stride, 2 if size > 3 else 1), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(3, 2)] * pool
        self.features = nn.Sequential(*layers)


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights that torchvision's AlexNet could have, without the last layers, which LPIPS leaves out."""
    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # not installed, or not of this PyTorch
        package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
        package.models, models.alexnet = models, AlexNet  # type: ignore[attr-defined]
        for module in (package, models):
            monkeypatch.setitem(sys.modules, module.__name__, module)
    pytest.importorskip("lpips", reason="lpips is not installed")
    torch.manual_seed(0)
    features = models.alexnet().features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def test_lpips(backbone: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)  # nothing is fetched
    distance = PerceptualDistance(backbone, CPU)
    assert_is_distance(distance, ridges((60, 60)), ridges((30, 90)))
    weights = torch.load(backbone, weights_only=True)
    own = distance.network.net.slice2.state_dict()["3.weight"]
    assert torch.equal(own, weights["features.3.weight"])
    large = torch.rand(1, 1, 512, 512)
    reduced = nn.functional.avg_pool2d(large, 2)
    assert torch.equal(distance(large, -large), distance(reduced, -reduced))


def test_lpips_refuses_other_weights(backbone: Path, tmp_path: Path):
    weights = torch.load(backbone, weights_only=True)
    for change, words in (
        ({"features.0.weight": torch.zeros(2, 3, 3, 3)}, "torchvision's alexnet or vgg16"),
        ({"features.3.weight": torch.zeros(2, 3, 3, 3)}, r"'features\.3\.weight' is missing or not of shape"),
    ):
        torch.save(weights | change, tmp_path / "other.pth")
        with pytest.raises(BadInput, match=words):
            PerceptualDistance(tmp_path / "other.pth", CPU)
    with pytest.raises(BadInput, match=r"none\.pth: cannot be read"):
        PerceptualDistance(tmp_path / "none.pth", CPU)


@pytest.mark.parametrize(
    "make", [lambda path: PerceptualDistance(path, CPU), lambda _: LeaderDistance(128, CPU)]
)
def test_a_missing_library_is_named(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("lpips", "keras"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match=r"pip install 'fingergen\[(lpips|leader)\]'"):
        make(tmp_path / "alexnet.pth")


# -- minutiae networks --------------------------------------------------------------------------------------


@pytest.fixture
def fingernet(tmp_path: Path) -> Path:
    """Random weights, as an old PyTorch saved them: without counts of batches."""
    torch.manual_seed(0)
    state = FingerNet().state_dict()
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "f.pth")
    return tmp_path / "f.pth"


def test_fingernet_has_the_published_layers():
    modules = dict(FingerNet().named_children())
    kinds = {name: sum(isinstance(each, kind) for each in modules.values()) for name, kind in (
        ("convolutions", nn.Conv2d), ("normalizations", nn.BatchNorm2d), ("slopes", nn.PReLU))}  # fmt: skip
    assert kinds == {"convolutions": 36, "normalizations": 23, "slopes": 23}
    for name, shape in {
        "conv3_3": (256, 256, 3, 3), "atrousconv4_3": (256, 256, 3, 3), "convori_2_1": (128, 256, 1, 1),
        "ori_2_2": (90, 128, 1, 1), "seg_3_2": (1, 128, 1, 1), "enh_img_imag_1": (90, 1, 25, 25),
        "ori_peak": (90, 90, 1, 1), "convmnt_1_1": (64, 2, 9, 9), "convmnt_o_1_1": (256, 346, 1, 1),
        "mnt_o_1_2": (180, 256, 1, 1), "mnt_w_1_2": (8, 256, 1, 1), "mnt_s_1_2": (1, 256, 1, 1),
    }.items():  # fmt: skip
        assert modules[name].get_parameter("weight").shape == shape
    assert modules["ori_peak"].bias is None
    assert modules["atrousconv4_2"].dilation == (4, 4) and modules["atrousconv4_3"].dilation == (8, 8)


def test_fingernet_finds_the_phase_of_ridges():
    """With Gabor filters in place, what its minutiae part looks at runs through all phases across a ridge."""
    network = FingerNet().eval()
    seen: list[Tensor] = []
    network.get_submodule("convmnt_1_1").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    across = torch.arange(25.0) - 12
    window = torch.exp(-across.square() / 40)
    with torch.no_grad():
        for layer, wave in ((network.enh_img_real_1, torch.cos), (network.enh_img_imag_1, torch.sin)):
            layer.weight.copy_(window[:, None] * window * wave(across * (2 * torch.pi / 9)))
            layer.bias.zero_()
        flow = network(ridges() / 2 + 0.5).flow
    assert flow.shape == (1, 90, 16, 16)
    phase = seen[0][0, 0, 64, 40:88]
    steps = (phase.diff() + torch.pi) % (2 * torch.pi) - torch.pi
    torch.testing.assert_close(steps.abs(), torch.full((47,), 2 * torch.pi / 9), rtol=0.1, atol=0.1)


def test_fingernet_as_a_loss(fingernet: Path, tmp_path: Path):
    distance = FingerNetDistance(fingernet, 64, CPU)
    assert_is_distance(distance, ridges((30, 30), side=32), ridges((10, 20), side=32))
    state = torch.load(fingernet, weights_only=True)
    torch.save({k: v for k, v in state.items() if k != "ori_2_2.bias"}, fingernet)
    with pytest.raises(BadInput, match=r"f\.pth: lacks the key 'ori_2_2\.bias'"):
        FingerNetDistance(fingernet, 64, CPU)
    torch.save(MinutiaeNet(4).state_dict(), fingernet)
    with pytest.raises(BadInput, match=r"f\.pth: lacks the key 'conv1_1\.weight' \(and \d+ more\)"):
        FingerNetDistance(fingernet, 64, CPU)


def test_leader_as_a_loss(monkeypatch: pytest.MonkeyPatch):
    for name in ("keras", "pyfing"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    distance = LeaderDistance(WINDOW, CPU)
    assert_is_distance(distance, ridges((64, 64), side=64), ridges((40, 30), side=64))
    # It is awake, and looks where the minutia is: 64, 64 and not elsewhere.
    _, minutiae = distance._look(ridges((64, 64)))
    best = int(minutiae[0, 0, 16:112, 16:112].argmax())
    assert abs(best // 96 + 16 - 64) <= 8 and abs(best % 96 + 16 - 64) <= 8


def test_losses_of_weight_0_load_nothing():
    options = {"feature_network": "leader", "lpips_backbone": "/nowhere"}
    config = EncoderConfig(feature_weight=0.0, minutiae_weight=2.0, **options)
    losses = ImageLosses(config, MinutiaeNet(4).eval(), WINDOW, CPU)
    images = ridges(side=64)
    terms = losses(images, images, torch.rand(1, 3, 32, 32))
    assert terms.keys() == {"l2", "minutiae"} and terms["minutiae"][0] == 2


# -- Ranger -------------------------------------------------------------------------------------------------


def descend(optimizer: torch.optim.Optimizer, weights: Tensor) -> None:
    optimizer.zero_grad()
    (weights - torch.arange(4.0)).pow(4).sum().backward()
    optimizer.step()


def test_ranger_is_radam_with_lookahead():
    ours, fast = (torch.full((4,), 2.5, requires_grad=True) for _ in range(2))
    ranger, radam = Ranger([ours], lr=0.1), torch.optim.RAdam([fast], lr=0.1)
    slow = fast.detach().clone()
    for step in range(1, 4 * K + 3):
        descend(ranger, ours)
        descend(radam, fast)
        if step % K == 0:
            slow = slow + ALPHA * (fast.detach() - slow)
            fast.data.copy_(slow)
        torch.testing.assert_close(ours, fast, rtol=1e-6, atol=1e-6)
    assert not torch.equal(ours.detach(), slow)


def test_ranger_resumes_to_the_bit(tmp_path: Path):
    whole, parts = (torch.full((4,), 2.5, requires_grad=True) for _ in range(2))
    optimizer = Ranger([whole], lr=0.1)
    for _ in range(4 * K):
        descend(optimizer, whole)
    for _ in range(4):
        optimizer = Ranger([parts], lr=0.1)
        if (tmp_path / "state.pt").exists():
            optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for _ in range(K - 2):
            descend(optimizer, parts)
        torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    for _ in range(4 * K - 4 * (K - 2)):
        descend(optimizer, parts)
    assert torch.equal(whole, parts)


# -- trunk --------------------------------------------------------------------------------------------------


def small(**options) -> Encoder:
    return Encoder(**{"depth": "ir_se_10", "width": 4, "style_dim": 8, "noise_levels": 2, **options})


@pytest.mark.parametrize("prefix", ["", "module.", "encoder."])
def test_trunk_is_taken_over(prefix: str, tmp_path: Path):
    torch.manual_seed(0)
    source, encoder = Encoder("ir_se_10", 4, style_dim=6), small()
    state = {f"{prefix}{k}": v for k, v in source.state_dict().items() if not k.startswith("linear.")}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    state[f"{prefix}output_layer.3.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "trunk.pth")
    before = encoder.linear.weight.clone()
    load_trunk(tmp_path / "trunk.pth", encoder)
    for part in ("input_layer", "body"):
        own, given = (each.get_submodule(part).state_dict() for each in (encoder, source))
        assert all(torch.equal(value, given[key]) for key, value in own.items())
    assert torch.equal(encoder.linear.weight, before)


def test_trunk_that_does_not_fit(tmp_path: Path):
    path = tmp_path / "trunk.pth"
    for options, change, words in (
        (
            {"depth": "ir_se_18"},
            {},
            r"its trunk has depth \(2, 2, 2, 2\), the encoder \(1, 1, 1, 1\); choose --depth",
        ),
        ({"width": 8}, {}, "its trunk has width 8, the encoder 4"),
        ({"input_channels": 1}, {}, "its trunk has input_channels 1, the encoder 3"),
        ({}, {"body.0.res_layer.2.weight": None}, r"lacks the key 'body\.0\.res_layer\.2\.weight'"),
        ({}, {"body.0.res_layer.2.weight": torch.full((4,), torch.nan)}, "holds values that are not finite"),
        ({}, {"input_layer.0.weight": None}, r"holds no trunk \(lacks the key 'input_layer\.0\.weight'\)"),
    ):
        state = {k: v for k, v in (small(**options).state_dict() | change).items() if v is not None}
        torch.save(state, path)
        with pytest.raises(BadInput, match=words):
            load_trunk(path, small())


# -- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "sgd"}, "--optimizer sgd: must be one of adam, ranger"),
        ({"feature_network": "lader"}, "lader: is neither ours nor leader nor an existing file"),
        (
            {"lpips_weight": 0.8},
            r"--lpips-weight 0\.8: needs --lpips-backbone FILE: download https://.*alexnet-",
        ),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(BadInput, match=words):
        EncoderConfig(**options)
