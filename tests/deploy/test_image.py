"""deploy/Dockerfile without a container engine: its steps in a clean environment, and its worker as its user.

What is copied is copied, what make does is done by make, and nothing of this checkout's own environment is there.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.settings import ROOT, known_settings
from tests.patience import PATIENCE_S
from tests.servers import free_port

WHERE = "/opt/pelton"
#: Whoever has none of the packages yet downloads them.
pytestmark = pytest.mark.timeout(900)
TOKEN = "a-token-of-24-characters"


class Step(NamedTuple):
    """An instruction of a Dockerfile, in which stage, and what it says."""

    stage: int
    word: str
    text: str


def steps() -> list[Step]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "deploy" / "Dockerfile").read_text())
    found: list[Step] = []
    stage = -1
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if not line.startswith("#") and rest:
            stage += word == "FROM"
            found.append(Step(stage, word, rest))
    return found


def said(word: str, stage: int) -> list[str]:
    return [step.text for step in steps() if (step.word, step.stage) == (word, stage)]


def kept_out(name: str) -> bool:
    """Return whether .dockerignore keeps a path out; the last pattern that fits decides."""
    out = False
    for pattern in (ROOT / ".dockerignore").read_text().split("\n"):
        wanted = pattern.lstrip("!")
        if (
            pattern
            and not pattern.startswith("#")
            and any(
                fnmatch.fnmatch(part, wanted.removeprefix("**/"))
                for part in (name.split("/") if pattern.startswith("**/") else [name, *map(str, Path(name).parents)])
            )
        ):
            out = not pattern.startswith("!")
    return out


def copy(source: str, target: Path) -> None:
    """Copy as COPY does, with what .dockerignore leaves."""
    assert not kept_out(source), f"{source} is copied, and .dockerignore keeps it out"
    if (ROOT / source).is_file():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, target)
        return
    shutil.copytree(ROOT / source, target / Path(source).name, ignore=shutil.ignore_patterns("__pycache__"))


class Image(NamedTuple):
    """What the steps have made: the environment, where the worker starts, its state, a directory for the rest."""

    python: Path
    home: Path
    data: Path
    tmp: Path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with tempfile.TemporaryDirectory(prefix="pelton-image-", dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        made, build, home = root / "opt", root / "build", root / "srv"
        # Where packages come from, and what is downloaded already, is the machine's.
        passed = {name: value for name, value in os.environ.items() if name == "HOME" or name.startswith("PIP_")}
        clean = passed | {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHON": sys._base_executable}
        for step in steps():
            if step.stage == 0 and step.word == "COPY":
                *sources, target = step.text.split()
                for source in sources:
                    copy(source, build / (target if source != "src" else "."))
            if step.stage == 0 and step.word == "RUN" and step.text.startswith("make "):
                words = step.text.replace(WHERE, str(made)).split()
                subprocess.run(words, cwd=build, env=clean, check=True)
        shutil.rmtree(build)  # the second stage has nothing of it
        copy("app", home)
        data, tmp = root / "data", root / "tmp"
        for one in (data, tmp):
            one.mkdir()
            if os.geteuid() == 0:
                os.chown(one, 10001, 10001)
        yield Image(made, home, data, tmp)


def variables(image: Image, port: int) -> dict[str, str]:
    """Return the environment that the image gives its worker, with what whoever runs it adds."""
    words = [word for line in said("ENV", 1) for word in line.split()]
    given = dict(word.split("=", 1) for word in words)
    assert {name for name in given if not name.startswith("P") or "PELTON" in name} <= known_settings()
    given["PATH"] = given["PATH"].replace(WHERE, str(image.python)).replace("$PATH", "/usr/bin:/bin")
    return given | {
        "APP_DATADIR": str(image.data), "TMPDIR": str(image.tmp), "HOME": str(image.tmp), "WEB_PORT": str(port),
        "PELTON_WEB_TOKEN": TOKEN,
    }  # fmt: skip


def test_the_first_stage_installs_make_and_uses_it() -> None:
    first, *others = said("RUN", 0)
    assert re.search(r"install --yes --no-install-recommends make\b", first)
    assert all(re.fullmatch(rf"make (locked|installed) INTO={WHERE}", other) for other in others)
    assert len(others) == 2
    assert said("USER", 1) == ["10001:10001"]
    assert kept_out(".env")
    assert kept_out(".git/config")
    assert kept_out("requirements/dev.txt")
    assert kept_out("src/pelton/__pycache__/app.pyc")


def test_the_environment_has_what_the_lock_says_and_no_more(image: Image) -> None:
    program = (
        "import importlib.metadata as m; print(*(d.metadata['Name'] + '==' + d.version for d in m.distributions()))"
    )
    told = subprocess.run([image.python / "bin" / "python", "-c", program], capture_output=True, text=True, check=True)
    found = {one.lower().replace("_", "-") for one in told.stdout.split()}
    # A name may be there in several versions, for several versions of Python.
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    locked = {f"{name.lower()}=={version}" for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.M)}
    unlocked = {one for one in found - locked if not one.startswith(("pelton==", "setuptools=="))}
    assert unlocked == set()
    assert not {"pip", "hatchling", "editables"} & {one.partition("==")[0] for one in found}


def its_user(python: Path) -> int | None:
    """Return the image's user, if we may become it, and it may run this Python (which may be in somebody's home)."""
    if os.geteuid() != 0:
        return None
    try:
        subprocess.run([python, "-c", ""], user=10001, group=10001, check=True)
    except PermissionError:
        return None
    return 10001


def test_its_worker_runs_as_its_user_answers_and_ends_in_order(image: Image) -> None:
    port = free_port()
    environment = variables(image, port)
    user = its_user(image.python / "bin" / "python")
    (entry,), (health,) = said("ENTRYPOINT", 1), said("HEALTHCHECK", 1)
    command = json.loads(entry)
    command[0] = str(image.python / "bin" / command[0])
    probe = json.loads(health.partition("CMD ")[2])
    probe[0] = str(image.python / "bin" / probe[0])
    before = {path for path in image.python.parent.rglob("*") if not path.is_relative_to(image.data)}
    with (image.data.parent / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            command, cwd=image.home, env=environment, stdout=output, stderr=output, user=user, group=user
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while subprocess.run(probe, env=environment, capture_output=True, check=False).returncode:
                assert process.poll() is None, (output.seek(0), output.read())
                assert time.monotonic() < deadline, (output.seek(0), output.read())
                time.sleep(0.2)
            process.send_signal(getattr(signal, said("STOPSIGNAL", 1)[0]))
            assert process.wait(PATIENCE_S) == 0, (output.seek(0), output.read())
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        assert TOKEN not in output.read()
    after = {path for path in image.python.parent.rglob("*") if not path.is_relative_to(image.data)}
    assert {path for path in after - before if not path.is_relative_to(image.tmp)} <= {image.data.parent / "output.txt"}
