"""Checks in fresh environments: `nox` runs lint, types and the fast tests; `nox -s slow docs fuzz` the rest.

`nox --no-venv --no-install` runs them in the environment that is active.

CPU-only machines: `NOX_TORCH_INDEX=https://download.pytorch.org/whl/cpu nox` installs PyTorch without CUDA.
"""

import os

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "types", "fast"]
nox.options.reuse_existing_virtualenvs = True

HOUSE = "tests/test_house.py"
WITHOUT_OPS = {"FINGERGEN_BUILD_OPS": "0"}
COVERED = 90  # percent of lines and branches that the fast tests must reach


def install(session: nox.Session, build_ops: bool = True) -> None:
    """FingerGen as a user installs it, with all that tests need; checks of texts need no compiled ops."""
    index = os.environ.get("NOX_TORCH_INDEX")
    if index:
        torch = next(
            each
            for each in nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["train"]
            if each.startswith("torch==")
        )
        session.install(torch, "--index-url", index)
    session.install(".[dev]", env={} if build_ops else WITHOUT_OPS)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, import rules and the other house rules."""
    install(session, build_ops=False)
    session.run("pytest", HOUSE, "tests/test_docstrings.py", "-k", "not types", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """mypy over every part."""
    install(session, build_ops=False)
    session.run("pytest", HOUSE, "-k", "types", *session.posargs)


@nox.session
def fast(session: nox.Session) -> None:
    """The fast tests, with a report of coverage; less than COVERED percent fails."""
    install(session)
    floor = f"--cov-fail-under={COVERED}"
    session.run("pytest", "-n", "auto", "-m", "not slow", "--cov", floor, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that train, build or compare at length."""
    install(session)
    session.run("pytest", "-n", "auto", "-m", "slow", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors, into site/."""
    session.install(".[docs]", env=WITHOUT_OPS)
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Every reader of files of others, 200,000 cases each, guided by coverage; `nox -s fuzz -- json` one."""
    install(session)
    readers = session.posargs or str(session.run("python", "-m", "tests.fuzz", silent=True)).split()
    for reader in readers:
        session.run("python", "-m", "tests.fuzz", reader, "--cases", "200000")
