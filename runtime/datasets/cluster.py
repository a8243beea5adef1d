"""A dataset made by many machines, led by Ray: each part is a task, which another worker gets if one dies.

A part is the share that `--shard` gives where there are as many shards as parts, so the set is the same as
that of one machine. It is made in the folder of the set, which all machines see, or in a folder of the worker
and then put where an fsspec URL says.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..backends import usable_cores
from ..errors import BadInput, FingerGenError
from ..files import temporary_folder
from ..pipeline.networks import Networks
from .folder import PAIRS
from .layouts import LAYOUTS, Layout
from .production import Production
from .request import DatasetRequest, OpenDataset
from .store import Store, stamps
from .table import SETTINGS, TABLE
from .transactions import Transactions
from .writer import Counts, Silent

RETRIES = 10  # of a part whose worker dies
_OBJECTS = 100 * 2**20  # bytes of Ray's object store, which holds little of ours
_SECONDS_TO_CONNECT = 10.0
_AHEAD = 2  # tasks that wait, for each that runs


@dataclass(frozen=True)
class Cluster:
    """Which machines make a set, and what each task of theirs takes.

    Attributes:
        address: Of a Ray cluster; `auto`: the one of this machine; `local`: one that is started for this run.
        cores: Of a task.
        gpus: Of a task.
    """

    address: str
    cores: int = 1
    gpus: int = 0

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Ray, connected to the cluster.

        Raises:
            BadInput: If Ray is not installed, or there is no such cluster, or none of its machines is enough.
        """
        if self.address == "local" and "RAY_AUTH_MODE" not in os.environ:
            # Ray listens on all interfaces, and runs what it is sent: only who has the token is heard.
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        ray = import_ray()
        on_sigterm = signal.getsignal(signal.SIGTERM)
        with ExitStack() as stack:
            own: dict[str, Any] = {}
            if self.address == "local":
                logs = stack.enter_context(temporary_folder("ray"))  # in which a longer name has no sockets
                own = {
                    "num_cpus": usable_cores(),
                    "object_store_memory": _OBJECTS,
                    "include_dashboard": False,
                    "_node_ip_address": "127.0.0.1",
                    "_temp_dir": str(logs),
                }
            stack.callback(ray.shutdown)  # ends tasks that are under way
            try:
                _knock(self.address)
                ray.init(self.address, log_to_driver=False, logging_level="ERROR", **own)
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise BadInput(f"--ray {self.address}: {str(error).strip().splitlines()[0]}") from None
            stack.enter_context(_sigterm_as_ctrl_c(on_sigterm))
            for name, asked in (("CPU", self.cores), ("GPU", self.gpus)):
                most = max(int(node["Resources"].get(name, 0)) for node in ray.nodes())
                if most < asked:
                    raise BadInput(
                        f"--ray {self.address}: a task takes {asked} {name}, no machine has over {most}"
                    )
            yield ray


@contextmanager
def _sigterm_as_ctrl_c(handler: Any) -> Iterator[None]:
    """Have SIGTERM end what Ray does as Ctrl-C does: it takes no other exception from a signal.

    Args:
        handler: Of SIGTERM before Ray put its own in the place; it is called afterwards.
    """
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    terminated = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if not terminated:
            raise
        handler(signal.SIGTERM, None)
    finally:
        signal.signal(signal.SIGTERM, handler)


def _knock(address: str) -> None:
    """Raise the OSError of an address that nobody listens at, for which Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_CONNECT).close()


def import_ray() -> Any:
    """Ray, with its usage statistics switched off, and with them the report that they are off.

    Raises:
        BadInput: If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ["RAY_USAGE_STATS_ENABLED"] == "0":
        os.environ.setdefault("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")  # where nobody listens
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise BadInput("--ray: needs ray, which is not installed: pip install 'fingergen[cluster]'") from None


@dataclass(frozen=True)
class ClusterProduction(Production):
    """Writes a set with a cluster.

    Attributes:
        cluster: That makes it.
        load: Loads the model that the renderer `model` takes, on any machine.
        store: Where the set is put; `out` is then a folder of this machine for a while. None: the set is made
            in `out`, a folder that all machines see under this path.
    """

    cluster: Cluster = field(default_factory=lambda: Cluster("local"))
    load: Callable[[], Networks] | None = None
    store: Store | None = None

    def prepare(self) -> tuple[Layout, Transactions | None]:
        """Make or continue the set's folder, or its place in the store."""
        if self.store is None:
            return super().prepare()
        before = self.store.begin(self.out)
        try:
            found = super().prepare()
        except BadInput as error:
            raise BadInput(str(error).replace(str(self.out), str(self.store))) from None
        grown = stamps(self.out).get(SETTINGS) != before.get(SETTINGS)
        self.store.remove([TABLE, *(PAIRS if grown else ())])  # what says that all is there
        self.store.put_new(self.out, before)
        return found

    def write(self, layout: Layout, transactions: Transactions | None) -> Counts:
        """Have the machines make every part that is missing."""
        progress = self.progress("images", layout.plan.own_images)
        task = _Task(
            self.request,
            self.load,
            json.dumps(self.opened.settings),
            dict(layout.plan.replaced),
            None if self.store else self.out.resolve(),
            self.store,
            self.cluster.cores,
        )
        total = Counts()
        with self.cluster.connect() as ray:
            for counts in self._results(ray, task, len(layout.plan.parts)):
                total += counts
                progress.kept(counts.kept)
                progress.made(counts.made)
        layout.sweep()  # what workers that died have left
        return total

    def finish(self, layout: Layout) -> bool:
        """Write the manifest of the whole set, and its pairs."""
        if self.store is None:
            return super().finish(layout)
        whole = self.store.write_table(layout.plan)
        if whole:
            before = stamps(self.out)
            for name in layout.folders():
                (self.out / name).mkdir(exist_ok=True)
            self.write_pairs(layout)
            self.store.put_new(self.out, before)
        return whole

    def _results(self, ray: Any, task: _Task, parts: int) -> Iterator[Counts]:
        """What was done of each part, in any order; a few parts are asked for ahead."""
        cluster = self.cluster
        make = ray.remote(
            num_cpus=cluster.cores, num_gpus=cluster.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )(_make_part)
        shared = ray.put(task)
        waiting: dict[Any, int] = {}

        def first() -> Counts:
            (ready,), _ = ray.wait(list(waiting))
            part = waiting.pop(ready)
            try:
                counts: Counts = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                why = str(error).strip().splitlines()[0]
                raise FingerGenError(
                    f"part {part}: {RETRIES + 1} workers died over it ({type(error).__name__}: {why});"
                    " --resume continues the set"
                ) from None
            return counts

        for part in range(parts):
            waiting[make.remote(shared, part)] = part
            running = int(ray.cluster_resources().get("CPU", 1)) // cluster.cores  # machines may join
            while len(waiting) > _AHEAD * max(running, 1):
                yield first()
        while waiting:
            yield first()


@dataclass(frozen=True)
class _Task:
    """What a worker has to know."""

    request: DatasetRequest
    load: Callable[[], Networks] | None
    settings: str
    replaced: Mapping[int, int]
    folder: Path | None
    store: Store | None
    cores: int

    def open(self) -> OpenDataset:
        """What makes the set here; opened once in each process."""
        if self.settings not in _OPENED:
            opened = self.request.open(self.load() if self.load else None, self.cores)
            here, there = dict(opened.settings), json.loads(self.settings)
            for key in sorted({*here, *there}):
                if json.dumps(here.get(key)) != json.dumps(there.get(key)):
                    raise BadInput(
                        f"--ray: {os.uname().nodename} has {key} {here.get(key)}, the machine that leads"
                        f" {there.get(key)}: install the same FingerGen, and give --bundle a folder all see"
                    )
            _OPENED[self.settings] = opened
        return _OPENED[self.settings]


_OPENED: dict[str, OpenDataset] = {}


def _make_part(task: _Task, part: int) -> Counts:
    """Make what is missing of a part."""
    shard = (part + 1, len(task.request.plan().parts))
    plan = replace(task.request.plan(shard), replaced=task.replaced)

    opened = task.open()

    def make(folder: Path) -> Counts:
        production = Production(task.request, opened, folder, shard, task.cores, lambda *_: Silent())
        layout = LAYOUTS[task.request.layout](folder, plan, task.request.database)
        transactions = Transactions(layout, opened.encoding.ppi) if task.request.transactions else None
        if task.store is None:
            return production.write(layout, transactions)
        fetched = task.store.fetch(layout, part, transactions)
        counts = production.write(layout, transactions)
        task.store.put_new(folder, fetched)
        return counts

    if task.folder is not None:
        return make(task.folder)
    with temporary_folder("fingergen-part") as folder:
        return make(folder)
