"""Files appear whole or not at all; what killed processes leave is swept, what living ones write is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fingergen.runtime import files
from fingergen.runtime.files import remove_partial, replacing, write_atomically


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened to files, in order: `fsync` and `rename`."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (events.append("rename"), replace(a, b))[1])
    return events


def test_content_is_on_the_disk_before_the_name(tmp_path: Path, flushed: list[str]):
    write_atomically(tmp_path / "a", b"content")
    assert flushed == ["fsync", "rename"] and (tmp_path / "a").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["a"]


def test_many_files_reach_the_disk_at_once_or_one_by_one(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
):
    names = ["a", "b"]
    for name in names:
        write_atomically(tmp_path / name, b"content", flush=False)
    assert flushed == ["rename"] * 2
    files.flush_folder(tmp_path, names)
    if sys.platform == "linux":
        assert flushed == ["rename"] * 2
    with pytest.raises(FileNotFoundError):
        files.flush_folder(tmp_path / "absent", names)
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())  # a system without syncfs
    files.flush_folder(tmp_path, names)
    assert flushed[-2:] == ["fsync"] * 2


def test_after_an_error_the_file_is_as_it_was(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path: Path):
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a") as temporary:
        temporary.touch()
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "no" / "b", b"")
    assert caught.value.filename == str(tmp_path / "no" / "b")
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a") as temporary:
        (tmp_path / "source").read_bytes()
    assert caught.value.filename == str(tmp_path / "source")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for content in ("old", "new"):
        with replacing(tmp_path / "a") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["new"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_a_folder_is_never_absent(tmp_path: Path):
    """Another process looks while it is replaced."""
    (tmp_path / "a").mkdir()
    code = "import os, sys\nwhile os.path.exists(sys.argv[1]): pass\nprint('absent')"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE
    ) as watcher:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with replacing(tmp_path / "a") as temporary:
                temporary.mkdir()
        assert watcher.poll() is None
        watcher.kill()


def test_remains_of_the_killed_are_swept(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from fingergen.runtime.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as t: t.touch(); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline()
        remove_partial(tmp_path)
        assert len(os.listdir(tmp_path)) == 1  # it is still writing
        writer.send_signal(signal.SIGKILL)
    remove_partial(tmp_path, {"b"})
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / ".mine.txt").touch()
    remove_partial(tmp_path, {"a"})
    assert os.listdir(tmp_path) == [".mine.txt"]


def test_own_thread_that_writes_keeps_its_file(tmp_path: Path):
    with replacing(tmp_path / "a") as temporary:
        temporary.touch()
        remove_partial(tmp_path.parent, recursive=True)
        assert temporary.exists()
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("moved", ["old away", "new in place"])
def test_killed_between_renames_the_folder_comes_back(tmp_path: Path, moved: str):
    """On file systems that cannot exchange two names: the process dies after either rename."""
    code = (
        "import os, sys; from pathlib import Path; from fingergen.runtime import files\n"
        "files._exchange = lambda *_: False\n"
        "rename, count = Path.rename, [0]\n"
        "def dying(self, target):\n"
        "    rename(self, target); count[0] += 1\n"
        "    if count[0] == int(sys.argv[2]): os.kill(os.getpid(), 9)\n"
        "Path.rename = dying\n"
        "with files.replacing(Path(sys.argv[1])) as new: new.mkdir(); (new / 'new').touch()\n"
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    (tmp_path / ".a.mine.replaced").touch()  # somebody else's
    count = "1" if moved == "old away" else "2"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a", count]).returncode == -9
    assert (tmp_path / "a").exists() == (moved == "new in place")
    files.recover_folder(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == [".a.mine.replaced", "a"]
    assert os.listdir(tmp_path / "a") == ["old" if moved == "old away" else "new"]
