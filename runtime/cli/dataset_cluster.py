"""The options that have a cluster make a dataset, and put it where a URL says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from ..backends.openvino import OpenVino
from ..backends.ort.cpu import OnnxRuntimeCpu
from ..datasets.production import Production
from ..files import temporary_folder
from ..model import load
from .kit import WRITING, Running, Writing, as_one

ON_THE_CPU = (OnnxRuntimeCpu.name, OpenVino.name)
NewProduction = Callable[..., Production]


@dataclass(frozen=True)
class SetWriting(Writing):
    """Where a set goes, and which machines make it."""

    ray: str | None
    url: str | None

    def __post_init__(self) -> None:
        if self.ray is None:
            if self.url is not None:
                raise click.UsageError("--url: needs --ray; --ray local takes this machine alone")
        elif (self.out is None) == (self.url is None):
            raise click.UsageError("--ray: give --out DIR, which all machines see, or --url URL")
        elif self.grid is not None:
            raise click.UsageError("--grid: the machine that leads sees no images; leave it out with --ray")
        if self.url is None:
            super().__post_init__()
        elif self.overwrite or self.as_json:
            raise click.UsageError("--url: goes with neither --overwrite nor --json")

    @property
    def place(self) -> str | None:
        """Where the set goes, for people; None: nowhere."""
        if self.url is None:
            return None if self.out is None else str(self.out)
        from ..datasets.store import Store

        return str(Store(self.url))

    @contextmanager
    def production(self, running: Running, backend: str | None) -> Iterator[tuple[Path, NewProduction]]:
        """The folder that a set is made in, which may be there for a while only, and what makes it.

        Args:
            running: How the renderer `model` runs.
            backend: Its backend on this machine; None: another renderer.

        Raises:
            BadInput: If nothing opens the URL.
        """
        if self.ray is None:
            assert self.out is not None
            yield self.out, Production
            return
        from ..datasets.cluster import Cluster, ClusterProduction
        from ..datasets.store import Store

        cores = running.workers or 1
        bundle = None if running.bundle is None else running.bundle.resolve()
        loaded = partial(load, bundle, running.backend, cores, running.device, running.precision)
        cluster = Cluster(self.ray, cores, 0 if backend in (None, *ON_THE_CPU) else 1)
        new = partial(ClusterProduction, cluster=cluster, load=None if backend is None else loaded)
        store = None if self.url is None else Store(self.url)
        out = self.out if store is None else store.folder()
        if out is not None:
            yield out, new
            return
        with temporary_folder("fingergen-set") as scratch:
            yield scratch, partial(new, store=store)


set_writing = as_one(
    "writing",
    SetWriting,
    *WRITING,
    click.option(
        "--ray",
        metavar="ADDRESS",
        help="Have a Ray cluster make the set: HOST:PORT, auto for that of this machine, local for all cores"
        " of this one. --threads are those of a task. Needs the extra cluster.",
    ),
    click.option(
        "--url",
        help="With --ray: put the set where this URL says, such as s3://bucket/set, in place of --out;"
        " anything that fsspec writes to.",
    ),
)
