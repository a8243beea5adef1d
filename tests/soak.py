"""A soak: mixed requests through Python, C and Triton for as long as is asked for.

    python -m tests.soak --minutes 60 --log soak.csv

Each face runs in processes of its own, with several threads that ask for the same mixed requests in random
order; at first all of them ask for the same, so that caches and allocators are as full as they get. Every
answer is compared with what one thread of Python made before, and the processes' memory is written to the
log every few seconds; a log that exists is continued. It ends with status 1 if an answer differed or failed,
or if the memory of a face grew by more than 5 % from the second to the last quarter of the run.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import http.client
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

import fingergen.runtime as fgr
from fingergen.export.triton import write_model_repository
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis
from fingergen.runtime.minutiae import decode_template

from .runtime.c_library import OK, Loaded, to_c
from .runtime.triton_server import running

SEED, NUMBER, PRESET, TRAIT, DEGREE = 100, 3, "medium", "moisture", 2.0
TEMPLATE = Path(__file__).parent / "data" / "minutiae" / "sample.fmr"
KINDS = ("synthesize", "impression", "edit", "reconstruct")
EVERY = 5.0  # seconds between samples of the memory
MOST_GROWTH = 0.05

Request = tuple[str, int]
"""What is asked for, and of which seed."""

Ask = Callable[[Request], np.ndarray]


def requests(fingers: int) -> list[Request]:
    return [(kind, seed) for seed in range(SEED, SEED + fingers) for kind in KINDS]


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def python_face() -> Ask:
    model = fgr.load(DEMO, backend="onnxruntime", workers=2)
    template = decode_template(TEMPLATE.read_bytes(), TEMPLATE.name)

    def ask(request: Request) -> np.ndarray:
        kind, seed = request
        if kind == "synthesize":
            return model.synthesize([seed])[0]
        if kind == "impression":
            steps = MatedSynthesis(model, preset=PRESET)
            (levels,) = steps.compute(steps.prepare([Mate(seed, 1, number=NUMBER)]))
            return steps.finish(levels)
        if kind == "edit":
            z = model.z([seed])
            return model.edit(model.map(z), TRAIT, DEGREE, seeds=[seed], z=z)[2][0]
        return model.reconstruct(template, seeds=[seed])[0]

    return ask


def c_face() -> Ask:
    loaded = Loaded(DEMO)
    assert loaded.status == OK, loaded.line
    template = to_c(decode_template(TEMPLATE.read_bytes(), TEMPLATE.name))

    def ask(request: Request) -> np.ndarray:
        kind, seed = request
        own = loaded.shared()
        if kind == "synthesize":
            image = own.synthesize(seed)
        elif kind == "impression":
            image, truth = own.impression(seed, NUMBER, PRESET)
            assert truth is not None
        elif kind == "edit":
            image = own.edit(seed, TRAIT, DEGREE)
        else:
            image = own.reconstruct(template, seed)
        assert own.status == OK, own.line
        return image

    return ask


def triton_face(port: int) -> Ask:
    connections = threading.local()

    def tensor(name: str, datatype: str, values: list[Any]) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [1, len(values)], "data": values}

    def ask(request: Request) -> np.ndarray:
        kind, seed = request
        inputs = [tensor("SEED", "UINT64", [seed])]
        if kind == "impression":
            inputs += [tensor("NUMBER", "UINT32", [NUMBER]), tensor("PRESET", "UINT8", list(PRESET.encode()))]
        elif kind == "edit":
            inputs += [tensor("INDEX", "UINT8", list(TRAIT.encode())), tensor("DEGREE", "FP32", [DEGREE])]
        elif kind == "reconstruct":
            inputs.append(tensor("TEMPLATE", "UINT8", list(TEMPLATE.read_bytes())))
        body = {"inputs": inputs, "outputs": [{"name": "IMAGE", "parameters": {"binary_data": True}}]}
        if not hasattr(connections, "open"):
            connections.open = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        try:
            connections.open.request("POST", f"/v2/models/{kind}/infer", json.dumps(body))
            answer = connections.open.getresponse()
            content = answer.read()
        except OSError:
            del connections.open  # what is left of the answer would be read as the next one's
            time.sleep(1.0)
            raise
        assert answer.status == 200, content
        head = int(answer.headers["Inference-Header-Content-Length"])
        (output,) = json.loads(content[:head])["outputs"]
        image = np.frombuffer(content[head:], np.uint8).reshape(output["shape"])[0]
        return image[2] if kind == "edit" else image

    return ask


FACES = {"python": python_face, "c": c_face, "triton": triton_face}


def work(
    face: str,
    arguments: tuple[Any, ...],
    expected: dict[Request, str],
    threads: int,
    ending: Event,
    tell: Any,
) -> None:
    """A process: `threads` threads that ask and compare until the event."""
    ask = FACES[face](*arguments)
    done, wrong = [0] * threads, [0] * threads
    together = threading.Barrier(threads)

    def compare(number: int, request: Request) -> None:
        try:
            right = digest(ask(request)) == expected[request]
        except Exception as error:
            print(f"{face}: {request}: {error!r}", file=sys.stderr, flush=True)
            right = False
        done[number] += 1
        wrong[number] += not right

    def loop(number: int) -> None:
        # Freed memory stays with the C library's allocator, which grows once when calls that need much of it
        # first come at the same time. So they do at the beginning: each request on all threads.
        for request in expected:
            together.wait()
            compare(number, request)
        choices = random.Random(number)
        while not ending.is_set():
            compare(number, choices.choice(list(expected)))

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    while not ending.wait(1.0):
        tell.send((sum(done), sum(wrong)))
    for worker in workers:
        worker.join()
    tell.send((sum(done), sum(wrong)))
    tell.close()


def memory(process: int) -> dict[str, float]:
    """MiB of a process and all that it started, by kind: `own` it has written; `files` it maps.

    What several processes share counts once. Of files, such as libraries, a process's share also changes when
    others on the machine begin or end to map the same file, so it says nothing about growth.
    """
    total = {"own": 0.0, "files": 0.0}
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        for line in rollup.splitlines():
            kind = {"Pss_Anon:": "own", "Pss_Shmem:": "own", "Pss_File:": "files"}.get(line.split()[0])
            if kind:
                total[kind] += int(line.split()[1]) / 2**10
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in children.read_text().split():
                for kind, size in memory(int(child)).items():
                    total[kind] += size
    except (OSError, ValueError):  # it has ended meanwhile
        pass
    return total


@contextmanager
def server() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_model_repository(DEMO, repository)
        with running(repository, Path(folder) / "log.txt") as found:
            yield found


def soak(minutes: float, log: Path, threads: int, fingers: int) -> int:
    alone = python_face()
    expected = {request: digest(alone(request)) for request in requests(fingers)}
    context = multiprocessing.get_context("spawn")
    ending = context.Event()
    rows: list[dict[str, float]] = []
    with server() as triton, log.open("a", newline="") as file:
        processes, pipes, watched = [], {}, {}
        for face, arguments in (("python", ()), ("c", ()), ("triton", (triton.http,))):
            pipes[face], tell = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(face, arguments, expected, threads, ending, tell))
            process.start()
            tell.close()  # the process has its own; the pipe ends with that
            processes.append(process)
            watched[face] = triton.process.pid if face == "triton" else process.pid
        writer, start, counts = csv.writer(file), time.monotonic(), {face: (0, 0) for face in FACES}
        if not file.tell():
            writer.writerow(
                [
                    "seconds",
                    *(f"{face}_{what}" for face in FACES for what in ("own", "files", "done", "wrong")),
                ]
            )
        try:
            while time.monotonic() - start < 60 * minutes:
                time.sleep(EVERY)
                for face, pipe in pipes.items():
                    while pipe.poll():
                        counts[face] = pipe.recv()
                row = {face: memory(watched[face]) for face in FACES}
                rows.append({face: row[face]["own"] for face in FACES})
                columns = [
                    value
                    for face in FACES
                    for value in (*(round(size, 1) for size in row[face].values()), *counts[face])
                ]
                writer.writerow([round(time.monotonic() - start), *columns])
                file.flush()
        except KeyboardInterrupt:
            print("interrupted: what was measured so far")
        ending.set()
        for process, (face, pipe) in zip(processes, pipes.items(), strict=True):
            while True:  # until the process has closed its end
                try:
                    if not pipe.poll(300):
                        break
                    counts[face] = pipe.recv()
                except EOFError:
                    break
            process.join(60)
    return report(rows, counts)


def report(rows: list[dict[str, float]], counts: dict[str, tuple[int, int]]) -> int:
    """Print the figures; the exit status."""
    status = 0
    quarter = max(1, len(rows) // 4)
    for face in FACES:
        done, wrong = counts[face]
        sizes = [row[face] for row in rows]
        early, late = np.mean(sizes[quarter : 2 * quarter] or sizes), np.mean(sizes[-quarter:])
        growth = late / early - 1
        print(
            f"{face}: {done} answers, {wrong} wrong; {early:.0f} MiB in the second quarter, {late:.0f} MiB in"
            f" the last ({growth:+.1%})"
        )
        status |= wrong > 0 or done == 0 or growth > MOST_GROWTH
    return int(status)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="How long, beside starting. [60]")
    parser.add_argument("--log", type=Path, default=Path("soak.csv"), help="Table that grows. [soak.csv]")
    parser.add_argument("--threads", type=int, default=2, help="Of each face. [2]")
    parser.add_argument("--fingers", type=int, default=8, help="Seeds that requests are of. [8]")
    given = parser.parse_args()
    sys.exit(soak(given.minutes, given.log, given.threads, given.fingers))


if __name__ == "__main__":
    main()
