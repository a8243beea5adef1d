"""Peak memory of a setting, in a process that does nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from fingergen.runtime.bundle import open_bundle

from .executors import executor
from .measure import Result, Setting
from .workload import Task, Workload

CALLS = 3  # the first may take more or less than those that follow
_STATUS = Path("/proc/self/status")


def with_peak_memory(results: Sequence[Result], workload: Workload) -> list[Result]:
    """Run each result's setting again, alone.

    Args:
        results: of `workload`.
        workload: what was timed.

    Returns:
        The results with `peak_mib`: the most physical memory that a process held at a time which imported
        what it needs, opened the executor and made some calls. None where the system does not say.
    """
    given = workload.bundle.path, workload.task, workload.checkpoint
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as processes:
        return [
            replace(result, peak_mib=processes.submit(_peak_mib, *given, result.setting).result())
            for result in results
        ]


def _peak_mib(bundle: Path, task: Task, checkpoint: Path | None, setting: Setting) -> float | None:
    workload = Workload(open_bundle(bundle), task, checkpoint)
    runner = executor(setting.executor).open_runner(workload, setting.precision, setting.threads or 1)
    for _ in range(CALLS):
        runner.run(workload.inputs(setting.batch))
    # Not getrusage: its figure begins with that of the process that started this one.
    lines = _STATUS.read_text().splitlines() if _STATUS.is_file() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:")), None)
