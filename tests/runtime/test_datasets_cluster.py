"""Datasets that a cluster makes: nothing lost, nothing doubled, in a folder or where a URL says."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("fsspec", reason="the extra cluster is not installed")
pytest.importorskip("ray", reason="the extra cluster is not installed")

import fsspec
import ray.exceptions

from fingergen.runtime.cli import main
from fingergen.runtime.datasets import cluster, layouts, plan, store, writer

from ..processes import contents, printed

ROOT = Path(__file__).parents[2]
SENSOR = ("dataset", "--renderer", "sensor", "--window", "64", "64")


def dataset(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [*SENSOR, *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


# ---- without Ray: tasks run here, one after the other; the store is fsspec's memory


class Inline:
    """What is asked of Ray, in this process."""

    exceptions = ray.exceptions

    def remote(self, **options: object) -> Callable:
        return lambda function: SimpleNamespace(remote=partial(partial, function))

    def put(self, value: object) -> object:
        return value

    def wait(self, waiting: list) -> tuple[list, list]:
        return waiting[-1:], waiting[:-1]  # in another order than they were asked for

    def get(self, task: Callable[[], object]) -> object:
        return task()

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    @contextmanager
    def connect(_: cluster.Cluster) -> Iterator[Inline]:
        yield Inline()

    monkeypatch.setattr(cluster.Cluster, "connect", connect)
    monkeypatch.setattr(store.Store, "folder", lambda _: None)
    for module in (layouts, plan, writer):
        monkeypatch.setattr(module, "PART", 10)
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def stored(files: fsspec.AbstractFileSystem, root: str) -> dict[str, bytes]:
    return {path.removeprefix(f"/{root}/"): files.cat_file(path) for path in files.find(f"/{root}")}


URL = ("--ray", "local", "--url", "memory://set")


@pytest.mark.parametrize(
    "options",
    [
        ("--fingers", 24, "--layout", "fvc", "--pairs", "--impressions", 2),
        ("--fingers", 24, "--layout", "shards", "--impressions", 1),
        ("--subjects", 2, "--impressions", 2, "--rolled", 1, "--transactions"),
    ],
    ids=["fvc", "shards", "subjects"],
)
def test_a_store_gets_the_files_of_a_folder(tmp_path: Path, inline, options: tuple):
    whole = tmp_path / "whole"
    dataset(*options, "--out", whole)
    dataset(*options, *URL)
    assert stored(inline, "set") == contents(whole)
    lost = [
        name for name in sorted(contents(whole)) if name.endswith((".tar", "0_1.png", ".an2", "1_1.json"))
    ][:2]
    for name in (*lost, "impressions.csv"):
        inline.rm_file(f"/set/{name}")
    inline.pipe_file("/set/parts/0000001.csv", inline.cat_file("/set/parts/0000001.csv")[:-40])  # half a file
    assert "exists already" in dataset(*options, *URL, code=2).output
    assert " kept" in dataset(*options, *URL, "--resume").output
    assert stored(inline, "set") == contents(whole)
    message = dataset(*options, "--seed", 9, *URL, "--resume", code=2).output
    assert "memory://set/dataset.json: its first_seed is 0" in message
    assert stored(inline, "set") == contents(whole)


def test_a_set_in_a_store_grows(tmp_path: Path, inline):
    dataset("--fingers", 12, "--impressions", 1, "--pairs", *URL)
    dataset("--fingers", 15, "--impressions", 2, *URL, "--resume")
    dataset("--fingers", 15, "--impressions", 2, "--out", tmp_path)
    assert stored(inline, "set") == contents(tmp_path)


def test_what_cannot_be_is_one_line(tmp_path: Path, inline, monkeypatch: pytest.MonkeyPatch):
    inline.pipe_file("/set/other.txt", b"x")
    assert "something else" in dataset("--fingers", 1, *URL, code=2).output
    assert stored(inline, "set") == {"other.txt": b"x"}
    monkeypatch.undo()
    for words, expected in (
        (URL, "no other process sees it"),
        (("--ray", "local", "--url", "nothing://set"), "Protocol not known"),
        (("--url", "file:///tmp/x"), "--url: needs --ray"),
        (("--ray", "local"), "give --out DIR"),
        (("--ray", "local", "--out", tmp_path / "a", "--grid", tmp_path / "a.png"), "--grid"),
        (("--ray", "local", "--out", tmp_path / "a", "--shard", "1/2"), "--shard"),
        (("--ray", "127.0.0.1:9", "--out", tmp_path / "a"), "127.0.0.1:9: "),
    ):
        message = dataset("--fingers", 1, *words, code=2).output
        assert expected in message and len(message.strip().splitlines()) <= 4  # a usage error has more
    monkeypatch.setitem(sys.modules, "ray", None)
    assert (
        "fingergen[cluster]"
        in dataset("--fingers", 1, "--ray", "auto", "--out", tmp_path / "b", code=2).output
    )


def test_passwords_are_not_shown():
    assert str(store.Store("ftp://user:secret@host/set")) == "ftp://host/set"


def test_machines_must_make_the_same(tmp_path: Path, inline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "_OPENED", {})
    real = cluster._Task.open

    def older(task: cluster._Task) -> object:
        object.__setattr__(task, "settings", task.settings.replace('"fingergen": "', '"fingergen": "0.'))
        return real(task)

    monkeypatch.setattr(cluster._Task, "open", older)
    message = dataset("--fingers", 1, "--ray", "local", "--out", tmp_path / "set", code=2).output
    assert "has fingergen" in message and "install the same FingerGen" in message


# ---- telemetry


@pytest.mark.parametrize(("given", "expected"), [(None, "False"), ("1", "True")])
def test_usage_statistics_are_off_where_the_user_has_not_switched_them_on(given: str | None, expected: str):
    code = (
        "from fingergen.runtime.datasets.cluster import import_ray; import_ray();"
        "from ray._common.usage.usage_lib import usage_stats_enabled; print(usage_stats_enabled())"
    )
    assert printed(code, "RAY_USAGE_STATS_ENABLED", given) == expected


def test_ray_is_imported_in_one_place():
    parts = ("runtime", "export", "training", "benchmarks")
    files = [path for part in parts for path in (ROOT / part).rglob("*.py")]
    importing = [
        path for path in files if re.search(r"(import|from) ray\b|module\(.ray", path.read_text("utf-8"))
    ]
    assert importing == [ROOT / "runtime/datasets/cluster.py"]


# ---- with Ray


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [Path(sys.executable).with_name("fg-run"), *SENSOR, *map(str, arguments)]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def parents() -> dict[int, int]:
    """Every process with its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(path.parent.name)] = int(fields[1])
    return found


def workers() -> list[int]:
    """Processes under this one that make parts."""
    above = parents()

    def is_ours(process: int) -> bool:
        while process > 1:
            process = above.get(process, 0)
            if process == os.getpid():
                return True
        return False

    named = []
    for process in above:
        try:
            title = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::_make_part") and is_ours(process):
            named.append(process)
    return named


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["worker", "machine"])
def test_one_of_two_is_killed_and_nothing_is_lost_or_doubled(tmp_path: Path, killed: str):
    cluster.import_ray()
    from ray.cluster_utils import Cluster

    size = ("--fingers", 600, "--impressions", 1)
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
        out = tmp_path / "set"
        with start(*size, "--ray", machines.address, "--out", out) as process:
            wait_for(lambda: list(out.glob("parts/*.csv")) and len(workers()) == 2, process)
            done = len(list(out.glob("parts/*.csv")))
            if killed == "worker":
                os.kill(workers()[0], signal.SIGKILL)
            else:
                machines.remove_node(nodes[0], allow_graceful=False)
            output, message = process.communicate(timeout=400)
        assert process.returncode == 0, message
    finally:
        machines.shutdown()
    assert done < 5  # parts of 6: it was killed in the middle
    # A part that was complete when its worker died is kept.
    made = re.search(rf"{re.escape(str(out))}: (\d+) images of 500 ppi(?:, (\d+) kept)?", output)
    assert made and sum(int(count or 0) for count in made.groups()) == 600
    assert not list(out.rglob(".*"))
    dataset(*size, "--out", tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of files on this machine: its URL, and the folder that it serves."""
    pytest.importorskip("pyftpdlib", reason="an FTP server to test with is not installed")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    served = tmp_path / "served"
    served.mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "secret", str(served), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = ThreadedFTPServer(listening, handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ftp://user:secret@127.0.0.1:{listening.getsockname()[1]}", served
        server.close_all()


@pytest.mark.slow
def test_killed_with_its_cluster_and_continued_where_a_url_says(tmp_path: Path, ftp: tuple[str, Path]):
    url, served = ftp
    size = ("--fingers", 330, "--impressions", 1, "--layout", "shards")
    words = (*size, "--ray", "local", "--url", f"{url}/set")
    with start(*words) as process:
        wait_for(lambda: list(served.glob("set/parts/*.csv")), process)
        process.kill()
        process.communicate()
    assert not (served / "set/impressions.csv").exists()
    with start(*words, "--resume") as process:
        output, message = process.communicate(timeout=400)
    assert process.returncode == 0, message
    assert " kept" in output and "ftp://127.0.0.1" in output and "secret" not in output + message
    dataset(*size, "--out", tmp_path / "whole")
    assert contents(served / "set") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_ended_by_a_signal_with_one_line(tmp_path: Path, number: str, code: int):
    out = tmp_path / "set"
    with start("--fingers", 900, "--impressions", 1, "--ray", "local", "--out", out) as process:
        wait_for(lambda: list(out.glob("*.png")), process)
        process.send_signal(getattr(signal, number))
        _, message = process.communicate(timeout=120)
    assert process.returncode == code
    lines = [line for line in message.strip().splitlines() if "images" not in line]
    assert len(lines) == 1, message
    assert not (out / "impressions.csv").exists()
