"""Embed FingerGen in a test rig: a background thread keeps a queue of fingerprints full, the rig's loop takes
one per cycle and never waits for a whole batch.

    python examples/rig_loop.py --cycles 20 --rate 2

A loaded model may be called from any number of threads; images do not depend on threads or batches.
"""

import argparse
import itertools
import queue
import threading
import time

import numpy as np

import fingergen.runtime as fgr


def produce(model: fgr.Model, prints: queue.Queue, stop: threading.Event) -> None:
    """Put (seed, image) pairs into the queue until `stop` is set; an exception ends the rig's loop too."""
    try:
        for seed, image in enumerate(model.stream(itertools.count(), batch=2)):
            while not stop.is_set():
                try:
                    prints.put((seed, image), timeout=0.1)
                    break
                except queue.Full:  # the rig is slower than the model: wait for it, but see `stop`
                    continue
            if stop.is_set():
                return
    except Exception as error:
        prints.put(error)


def capture(image: np.ndarray) -> float:
    """Stands for the device under test: what the rig does with an image."""
    return float(image.mean())


def main() -> None:
    options = argparse.ArgumentParser(description="Feed a rig's loop from a background thread.")
    options.add_argument("--cycles", type=int, default=6)
    options.add_argument("--rate", type=float, default=4.0, help="cycles per second")
    arguments = options.parse_args()

    stop = threading.Event()
    prints: queue.Queue = queue.Queue(maxsize=8)
    with fgr.load(workers=2) as model:
        producer = threading.Thread(target=produce, args=(model, prints, stop), daemon=True)
        producer.start()
        try:
            first = time.monotonic() + 1  # a little time to fill the queue
            for cycle in range(arguments.cycles):
                time.sleep(max(0.0, first + cycle / arguments.rate - time.monotonic()))
                late = prints.empty()
                item = prints.get(timeout=60)
                if isinstance(item, Exception):
                    raise item
                seed, image = item
                note = ", the queue was empty" if late else ""
                print(f"cycle {cycle}: seed {seed}, mean level {capture(image):.1f}{note}")
        finally:
            stop.set()
            producer.join()  # before the model closes


if __name__ == "__main__":
    main()
