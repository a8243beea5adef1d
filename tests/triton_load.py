"""How many images a second many clients get of a Triton server, against the pipeline of `--throughput`.

    python -m tests.triton_load --clients 32 --seconds 20 --rounds 3

Both run in turn on the packaged demo bundle, so that a machine that is busy with other things slows both.
Each client asks over HTTP for one image at a time, of a seed that nobody asked for before. Printed are images
per second of both, also per second of processor time, and the latency that clients see.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import threading
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

import fingergen.runtime as fgr
from fingergen.runtime.backends import usable_cores
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.pipeline.request import SynthesisRequest
from fingergen.runtime.pipeline.synthesis import Synthesis
from fingergen.runtime.pipeline.throughput import ImagePipeline

from .soak import server, triton_face

PERCENTILES = (50, 95, 99)
FIRST_SEED = 10**9


def pipeline(seconds: float, first: int, tell: Any) -> None:
    """A process: images and processor seconds of `fg-run synth --throughput`."""
    with fgr.load(DEMO) as model:
        model.synthesize(range(4))  # sessions are open
        steps = Synthesis(model, SynthesisRequest(count(first)))
        run = ImagePipeline(steps, model.backend.batch, usable_cores(), seconds=seconds)
        spent = time.process_time()
        with closing(run.images(SynthesisRequest(count(first)).pairs())) as images:
            made = sum(1 for _ in images)
        tell.send((made / run.report.seconds, made / (time.process_time() - spent)))


def clients(port: int, number: int, seconds: float, first: int, tell: Any) -> None:
    """A process of `number` clients: their answers, processor seconds, and seconds that each answer took."""
    seeds, taken = itertools.count(first), []
    end = time.monotonic() + seconds

    def client() -> None:
        ask = triton_face(port)
        while time.monotonic() < end:
            began = time.perf_counter()
            ask(("synthesize", next(seeds)))
            taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(number)]
    began, spent = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell.send((len(taken) / (time.perf_counter() - began), time.process_time() - spent, taken))


def processor_seconds(process: int) -> float:
    """Of a process and all that it started."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    total = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        total += sum(processor_seconds(int(child)) for child in children.read_text().split())
    return total


def in_process(run: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    pipe, tell = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(*arguments, tell))
    process.start()
    tell.close()
    result = pipe.recv()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0, help="Of each measurement. [20]")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rates, per_processor, latencies = [], [], []
    with server() as triton:
        for turn in range(given.rounds):
            first = FIRST_SEED + 2 * turn * 10**6
            alone, alone_cpu = in_process(pipeline, given.seconds, first)
            before = processor_seconds(triton.process.pid)
            rate, own, taken = in_process(clients, triton.http, given.clients, given.seconds, first + 10**6)
            served_cpu = len(taken) / (processor_seconds(triton.process.pid) - before)
            rates.append(rate / alone)
            per_processor.append(served_cpu / alone_cpu)
            latencies += taken
            print(
                f"round {turn + 1}: pipeline {alone:.1f} images/s, {alone_cpu:.1f} per processor second;"
                f" clients {rate:.1f}, {served_cpu:.1f} of the server's, and spend {own:.1f} s themselves",
                flush=True,
            )
    milliseconds = 1000 * np.percentile(latencies, PERCENTILES)
    words = ", ".join(f"p{p} {value:.0f}" for p, value in zip(PERCENTILES, milliseconds, strict=True))
    print(
        f"{given.clients} clients get {np.median(rates):.0%} of the pipeline's images/s"
        f" ({np.median(per_processor):.0%} per processor second); latency in ms: {words}"
    )


if __name__ == "__main__":
    main()
