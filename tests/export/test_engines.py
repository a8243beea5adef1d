"""TensorRT engines: real builds by TensorRT-RTX, which needs no GPU, and what is refused before any work."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fingergen import cpp_ops
from fingergen.export.engines import EngineOptions, build_engine, builder, process, resolve
from fingergen.export.engines import target as targets
from fingergen.export.onnx_graphs.encoder import encoder_model
from fingergen.export.onnx_graphs.generator import synthesis_model
from fingergen.export.onnx_graphs.mapping import mapping_model
from fingergen.export.onnx_graphs.ops import OPS
from fingergen.runtime.backends import nvidia
from fingergen.runtime.backends.trt import flavors
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.training.checkpoints import save_generator, save_reconstruction
from fingergen.training.networks import Encoder, Generator

from .test_exporter import export, refused
from .test_graphs import small_encoder, small_generator

RTX = flavors.FLAVORS["tensorrt-rtx"]
needs_rtx = pytest.mark.skipif(RTX.module is None, reason=f"TensorRT-RTX is not installed: {RTX.install}")
needs_plugins = pytest.mark.skipif(
    cpp_ops.status("tensorrt").path is None, reason="the TensorRT plugin library is not built"
)
FORMS = [pytest.param("plugin", marks=needs_plugins), "native"]
ALL = ("sm_80", "sm_86", "sm_89", "sm_120", "sm_121")


@pytest.fixture(scope="module")
def release():
    """The generator of the published release's size."""
    return Generator(resolution=256, channel_base=16384, channel_max=512).eval()


def rtx(**options):
    return resolve(EngineOptions(flavor="tensorrt-rtx", **options))


@pytest.mark.slow
@needs_rtx
@pytest.mark.parametrize("ops", FORMS)
def test_release_size_synthesis(release, ops):
    engine, content = build_engine(
        "synthesis", lambda form, precision: synthesis_model(release, form, precision), "fp16", rtx(ops=ops)
    )
    # one activation a convolution; a blur in six of them, and the upsampling of the image at six levels
    plugins = {"FusedLeakyReLU": 13, "UpFirDn2d": 12} if ops == "plugin" else {}
    assert engine.report["plugins"] == plugins
    assert engine.report["layer_types"].get("custom_layer", 0) == sum(plugins.values())
    assert (engine.ops, engine.precision, engine.plugins_embedded) == (ops, "fp16", False)
    assert engine.gpu_architectures == ALL and engine.batch == (1, 8, 64)
    parameters = sum(value.numel() for value in release.parameters())
    assert 2 * 0.9 * parameters < len(content) < 4 * parameters  # weights are float16
    assert engine.report["engine_layers"] > 60 and engine.report["network_layers"] > 300
    assert 1e9 < engine.report["activation_bytes"] < 4e9
    assert engine.report["engine_bytes"] == len(content)


@needs_rtx
@pytest.mark.parametrize("ops", FORMS)
def test_release_size_mapping(release, ops):
    engine, _ = build_engine(
        "mapping", lambda form, precision: mapping_model(release, form), "fp32", rtx(ops=ops)
    )
    assert engine.report["plugins"] == ({"FusedLeakyReLU": 8} if ops == "plugin" else {})
    assert (engine.ops, engine.precision) == (ops, "fp32")


@pytest.mark.slow
@needs_rtx
def test_release_size_encoder():
    """It has no custom nodes, and so no plugins, however it is asked for."""
    encoder = Encoder("ir_se_50").eval()
    engine, content = build_engine(
        "encoder",
        lambda form, precision: encoder_model(encoder, None, 256, 14, form, precision),
        "fp16",
        rtx(architectures=("sm_89",), batch=(1, 1, 8)),
    )
    assert (engine.ops, engine.report["plugins"]) == ("native", {})
    assert engine.gpu_architectures == ("sm_89",) and engine.batch == (1, 1, 8)
    assert len(content) > 2 * 0.9 * sum(value.numel() for value in encoder.parameters())


@needs_rtx
@needs_plugins
def test_plugins_are_embedded_on_request():
    network = small_generator()

    def build(form, precision):
        return synthesis_model(network, form, precision)

    library = cpp_ops.library("tensorrt").read_bytes()
    engine, content = build_engine("synthesis", build, "fp16", rtx(ops="plugin", embed_plugins=True))
    assert engine.plugins_embedded and library in content
    engine, content = build_engine("synthesis", build, "fp32", rtx(ops="plugin"))
    assert not engine.plugins_embedded and library not in content
    assert (engine.precision, engine.file) == ("fp32", "engines/synthesis.fp32.tensorrt-rtx.engine")


@pytest.mark.slow
@needs_rtx
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_engines_in_the_bundle(tmp_path, precision):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    encoder = small_encoder()
    save_reconstruction(tmp_path / "r.pt", encoder=encoder, decoder=small_generator(), config={})
    out = tmp_path / "bundle"
    arguments = (
        "--engine",
        precision,
        "--flavor",
        "tensorrt-rtx",
        "--batch",
        "1,2,4",
        "--gpu",
        "sm_86,sm_120",
    )
    result = export(tmp_path / "g.pt", tmp_path / "r.pt", "--out", out, *arguments, "--check-seeds", 4)
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(out)
    engines = {engine.graph: engine for engine in bundle.manifest.engines}
    assert {graph: engine.precision for graph, engine in engines.items()} == {
        "mapping": "fp32",
        "synthesis": precision,
        "encoder": precision,
    }
    for engine in engines.values():
        content = bundle.file(engine.file).read_bytes()
        assert bundle.manifest.files[engine.file].sha256 == hashlib.sha256(content).hexdigest()
        assert (engine.flavour, engine.gpu_architectures, engine.batch) == (
            "tensorrt-rtx",
            ("sm_86", "sm_120"),
            (1, 2, 4),
        )
        assert engine.version == importlib.import_module(RTX.module).__version__
        assert engine.report["ops_chosen"] == "default" and engine.ops == "native"  # no GPU, no measurement
        assert engine.file in result.stdout
    assert not bundle.manifest.precisions
    assert ("synthesis.fp16" in bundle.manifest.parity) == (precision == "fp16")
    shown = [line for line in result.stdout.splitlines() if "PSNR" in line and "largest activation" in line]
    assert len(shown) == (2 if precision == "fp16" else 0)  # of the engines, for there are no such graphs


@pytest.fixture
def bundle(tmp_path):
    """A bundle with float16 graphs and no engines."""
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    out = tmp_path / "bundle"
    result = export(tmp_path / "g.pt", "--out", out, "--precision", "fp16", "--check-seeds", 2)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.mark.slow
@needs_rtx
def test_engines_for_a_bundle(bundle):
    arguments = ("--out", bundle, "--overwrite", "--flavor", "tensorrt-rtx", "--gpu", "sm_89")
    before = read_bundle(bundle).manifest
    for ops in ("native", *(["plugin"] if cpp_ops.status("tensorrt").path else [])):
        for precision in ("fp16", "fp32"):
            result = export(bundle, *arguments, "--engine", precision, "--ops", ops)
            assert result.exit_code == 0, result.stderr
        engines = {engine.file: engine for engine in read_bundle(bundle).manifest.engines}
        # those of the round before are replaced; float32 is the mapping network's only precision
        assert [*engines] == [
            "engines/mapping.fp32.tensorrt-rtx.engine",
            "engines/synthesis.fp16.tensorrt-rtx.engine",
            "engines/synthesis.fp32.tensorrt-rtx.engine",
        ]
        plugins = {"FusedLeakyReLU": 5, "UpFirDn2d": 4} if ops == "plugin" else {}
        for precision in ("fp16", "fp32"):
            engine = engines[f"engines/synthesis.{precision}.tensorrt-rtx.engine"]
            assert (engine.ops, engine.report["plugins"], engine.precision) == (ops, plugins, precision)
    after = read_bundle(bundle).manifest
    assert after._replace(engines=(), files={}) == before._replace(files={})


@needs_rtx
@pytest.mark.skipif(cpp_ops.status("tensorrt").path is None, reason="TensorRT plugins are not built")
def test_plugins_for_a_bundle_of_standard_operators(tmp_path):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    assert export(tmp_path / "g.pt", "--out", tmp_path / "native", "--ops", "native").exit_code == 0
    arguments = ("--out", tmp_path / "out", "--engine", "fp32", "--flavor", "tensorrt-rtx", "--ops", "plugin")
    refused(export(tmp_path / "native", *arguments), "standard operators only", "--ops native")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["directory", "--engine"]),
        (["--engine", "fp16", "--ppi", 500, "--precision", "fp16"], ["--precision, --ppi", "bundle"]),
    ],
)
def test_wrong_options_for_a_bundle(tmp_path, arguments, words):
    refused(export(tmp_path, "--out", tmp_path / "out", *arguments), *words)


@needs_rtx
def test_a_bundle_without_float16_graphs(tmp_path):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    assert export(tmp_path / "g.pt", "--out", tmp_path / "bundle").exit_code == 0
    result = export(
        tmp_path / "bundle", "--out", tmp_path / "out", "--engine", "fp16", "--flavor", "tensorrt-rtx"
    )
    refused(result, "has no fp16 graphs", "--precision fp16")
    assert not (tmp_path / "out").exists()


@needs_rtx
def test_a_graph_that_tensorrt_refuses_is_one_line():
    generator = small_generator()

    def broken(form, precision):
        model = synthesis_model(generator, form, precision)
        model.graph.node[3].op_type = "NoSuchOp"
        return model

    with pytest.raises(FingerGenError, match=r"TensorRT-RTX: synthesis: NoSuchOp \S+:"):
        build_engine("synthesis", broken, "fp16", rtx(ops="native"))


@needs_rtx
def test_a_library_without_plugins_is_refused():
    generator = small_generator()
    other = RTX.library_folder / "libtensorrt_onnxparser_rtx.so.1"
    with pytest.raises(FingerGenError, match=r"mapping: .*getCreators"):
        build_engine(
            "mapping",
            lambda form, _: mapping_model(generator, form),
            "fp32",
            replace(rtx(ops="native"), options=EngineOptions(ops="plugin"), plugins=other),
        )


@pytest.mark.parametrize(
    ("in_network", "in_engine"), [(["a/X"], ["a/X_U1_myl0"]), (["a/X", "b/X"], ["a/X_U1_myl0"])]
)
def test_custom_nodes_that_became_no_plugins_are_noticed(in_network, in_engine):
    """The parser takes the function instead, and says nothing."""
    result = {"plugin_layers": in_network, "engine_layers": [(name, "custom_layer") for name in in_engine]}
    with pytest.raises(FingerGenError, match="synthesis: 1 of 2 custom nodes became plugins"):
        builder._report("synthesis", {"a/X": "X", "b/X": "X"}, result)


@needs_rtx
@pytest.mark.parametrize("stored", [None, b"of another version"])
def test_timing_cache(tmp_path, stored):
    """TensorRT-RTX times nothing, but keeps a cache where it is told to."""
    cache = tmp_path / "folder" / "cache"
    if stored:
        cache.parent.mkdir()
        cache.write_bytes(stored)
    generator = small_generator()
    target = rtx(ops="native", timing_cache=cache)
    for _ in range(2):
        build_engine("mapping", lambda form, _: mapping_model(generator, form), "fp32", target)
        assert cache.read_bytes() != stored and [*cache.parent.iterdir()] == [cache]


@needs_rtx
def test_a_timing_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=r"--timing-cache: .*file"):
        rtx(timing_cache=tmp_path / "file" / "cache")
    target = replace(rtx(ops="native"), timing_cache=tmp_path / "file" / "cache")  # as if in the user's cache
    generator = small_generator()
    engine, _ = build_engine("mapping", lambda form, _: mapping_model(generator, form), "fp32", target)
    assert engine.graph == "mapping"


def test_library_links_by_short_names(tmp_path):
    for name in ("libone.so.1", "libtwo.so.2.3", "README"):
        (tmp_path / name).write_text(name)
    links = tmp_path / "links"
    links.mkdir()
    process._link_by_short_names(tmp_path, links)
    assert {link.name: link.read_text() for link in links.iterdir()} == {
        "libone.so": "libone.so.1",
        "libtwo.so": "libtwo.so.2.3",
    }
    process._link_by_short_names(None, links)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "died .SIGABRT"),
        ("import sys; print('out of luck', file=sys.stderr); sys.exit(3)", "died .exit code 3.: out of luck"),
    ],
)
def test_a_builder_that_dies_is_one_line(tmp_path, monkeypatch, program, words):
    (tmp_path / "worker.py").write_text(program)
    monkeypatch.setattr(process, "WORKER", tmp_path / "worker.py")
    with pytest.raises(FingerGenError, match=f"TensorRT-RTX: the builder {words}"):
        process.run_worker(RTX, {"command": "probe"})


def installed(monkeypatch, *modules, here=None):
    """As if of TensorRT's modules only these were installed, on a machine with GPU architecture `here`."""
    monkeypatch.setattr(flavors.importlib.util, "find_spec", lambda name: name in modules or None)
    monkeypatch.setattr(nvidia, "architecture", lambda: here)


def test_flavors(monkeypatch):
    installed(monkeypatch)
    for name, words in (
        ("auto", "neither.*pip install tensorrt-rtx"),
        ("tensorrt", "pip install tensorrt"),
        ("tensorrt-rtx", "pip install tensorrt-rtx"),
    ):
        with pytest.raises(BadInput, match=words):
            targets.choose_flavor(name)
    installed(monkeypatch, "tensorrt")
    with pytest.raises(BadInput, match="neither"):  # it cannot build without a GPU
        targets.choose_flavor("auto")
    with pytest.raises(BadInput, match="finds none here"):
        targets.choose_flavor("tensorrt")
    installed(monkeypatch, "tensorrt", "tensorrt_rtx_bindings")
    assert targets.choose_flavor("auto").name == "tensorrt-rtx"
    installed(monkeypatch, "tensorrt", "tensorrt_rtx_bindings", here="sm_89")
    assert targets.choose_flavor("auto").name == "tensorrt"
    assert targets.choose_flavor("tensorrt-rtx").module == "tensorrt_rtx_bindings"


def probe(monkeypatch, *architectures):
    monkeypatch.setattr(
        targets, "run_worker", lambda *_: {"version": "9.9", "architectures": list(architectures)}
    )


def test_targets(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed(monkeypatch, "tensorrt", "tensorrt_rtx", here="sm_90")
    probe(monkeypatch)
    target = resolve(EngineOptions(ops="auto"))
    assert (target.architectures, target.measures) == (("sm_90",), True)
    assert target.timing_cache == tmp_path / "fingergen" / "tensorrt-9.9-sm_90.timing"
    assert target.description == "TensorRT 9.9 for sm_90"
    mine = tmp_path / "mine"
    assert resolve(EngineOptions(ops="native", timing_cache=mine)).timing_cache == mine
    probe(monkeypatch, "sm_75", "sm_86", "sm_89")
    target = resolve(EngineOptions(flavor="tensorrt-rtx"))
    assert (target.architectures, target.measures) == (("sm_86", "sm_89"), False)
    assert target.timing_cache is None
    assert resolve(EngineOptions(flavor="tensorrt-rtx", timing_cache=mine)).timing_cache == mine
    with pytest.raises(BadInput, match="--gpu sm_90: TensorRT-RTX builds for sm_86, sm_89"):
        resolve(EngineOptions(flavor="tensorrt-rtx", architectures=("sm_86", "sm_90")))
    with pytest.raises(BadInput, match="--gpu sm_86: TensorRT builds for sm_90"):
        resolve(EngineOptions(architectures=("sm_86",)))


def test_plugins_that_were_not_built(monkeypatch):
    def missing(name):
        raise cpp_ops.LibraryNotBuilt("no compiler; install one")

    monkeypatch.setattr(cpp_ops, "library", missing)
    installed(monkeypatch, "tensorrt_rtx")
    probe(monkeypatch, "sm_89")
    with pytest.raises(BadInput, match="--ops plugin: no compiler; install one"):
        resolve(EngineOptions(ops="plugin"))
    assert resolve(EngineOptions(ops="auto")).plugins is None


@pytest.mark.parametrize(
    ("native", "plugin", "chosen"), [(2.0, 1.0, "plugin"), (1.0, 2.0, "native"), (1.0, None, "native")]
)
def test_auto_takes_the_faster_form_where_a_gpu_measures(monkeypatch, native, plugin, chosen):
    def worker(flavor, request, subject):
        assert request["measure"]
        Path(request["engine"]).write_bytes(b"engine")
        with_plugins = request["plugins"] is not None
        return {
            "seconds": 1.0,
            "network_layers": 9,
            "engine_layers": None,
            "plugin_layers": custom if with_plugins else [],
            "activation_bytes": None,
            "batch_seconds": plugin if with_plugins else native,
        }

    generator = small_generator()
    custom = [node.name for node in mapping_model(generator, OPS["custom"]).graph.node if node.domain]
    monkeypatch.setattr(builder, "run_worker", worker)
    target = targets.Target(
        EngineOptions(),
        flavors.FLAVORS["tensorrt"],
        "10.16",
        ("sm_89",),
        Path("plugins.so"),
        None,
        True,
    )
    engine, _ = build_engine("mapping", lambda form, _: mapping_model(generator, form), "fp32", target)
    assert (engine.ops, engine.report["ops_chosen"]) == (chosen, "measured")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flavor", "tensorrt", "--gpu", "sm_89"], ["--flavor, --gpu", "--engine"]),
        (["--engine", "fp16", "--batch", "8"], ["--batch '8'", "1,8,64"]),
        (["--engine", "fp16", "--batch", "8,4,16"], ["--batch 8,4,16", "order"]),
        (["--engine", "fp16", "--batch", "0,4,16"], ["--batch 0,4,16"]),
        (["--engine", "bf16"], ["--engine", "fp32", "fp16"]),
        (["--precision", "fp8"], ["--precision"]),
    ],
)
def test_wrong_options(tmp_path, arguments, words):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    refused(export(tmp_path / "g.pt", "--out", tmp_path / "bundle", *arguments), *words)
    assert not (tmp_path / "bundle").exists()


@needs_rtx
def test_embedding_without_plugins(tmp_path):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={})
    arguments = ("--engine", "fp16", "--flavor", "tensorrt-rtx", "--ops", "native", "--embed-plugins")
    refused(export(tmp_path / "g.pt", "--out", tmp_path / "bundle", *arguments), "--embed-plugins")


def test_building_engines_needs_no_pytorch():
    program = "import sys, fingergen.export.cli, fingergen.export.engines; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_worker_imports_nothing_of_ours():
    """It has to start quickly, and before TensorRT's libraries are loaded."""
    program = "import sys, runpy; runpy.run_path(sys.argv[1]); print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program, process.WORKER],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert not {"onnx", "torch", "numpy", "fingergen"} & set(result.stdout.split())
