"""Checks the lock files without a network, and with --advisories asks pip-audit about known vulnerabilities as well.

    python .ci/audit.py [--advisories] [directory of the lock files]

Offline: every requirement is pinned to one version with hashes, the files agree with each other, all that
pyproject.toml asks for is locked, and what is installed is what is locked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;([^\\]*?))?(?=\s--hash|$)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def canonical(name: str) -> str:
    """Return a project's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(file: Path) -> Iterator[str]:
    """Yield the requirements of a lock file, each with its hashes on one line."""
    text = re.sub(r"\\\n", " ", file.read_text())
    return (line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def pins(files: list[Path], faults: list[str]) -> dict[str, dict[str, str]]:
    """Return project -> where (an environment marker) -> version of all files; add what is wrong to the faults."""
    locked: dict[str, dict[str, str]] = {}
    for file in files:
        for line in requirements(file):
            pin = _PIN.match(line)
            if pin is None:
                faults.append(f"{file.name}: not pinned to one version: {line[:80]}")
                continue
            name, version, marker = canonical(pin[1]), pin[2], (pin[3] or "").strip()
            if not _HASH.search(line):
                faults.append(f"{file.name}: {name} has no sha256 hash")
            if locked.setdefault(name, {}).setdefault(marker, version) != version:
                faults.append(f"{file.name}: {name} is {version} here and {locked[name][marker]} in another file")
    return locked


def declared(project: Mapping[str, Any]) -> set[str]:
    """Return the projects that pyproject.toml asks for, those of its groups too."""
    asked = list(project["project"]["dependencies"])
    asked += [one for extra in project["project"].get("optional-dependencies", {}).values() for one in extra]
    asked += [one for group in project["dependency-groups"].values() for one in group if isinstance(one, str)]
    return {canonical(re.split(r"[\s\[<>=!~;]", one, maxsplit=1)[0]) for one in asked}


def faults_of(directory: Path) -> list[str]:
    """Return what is wrong with the lock files of a directory."""
    faults: list[str] = []
    files = sorted(directory.glob("*.txt"))
    if not files:
        return [f"there are no lock files in {directory}"]
    locked = pins(files, faults)
    missing = declared(tomllib.loads((ROOT / "pyproject.toml").read_text())) - set(locked)
    faults += [f"{name} is in pyproject.toml, and not locked (make lock)" for name in sorted(missing)]
    for installed in distributions():
        name = canonical(installed.metadata["Name"])
        versions = set(locked.get(name, {}).values())
        if versions and installed.version not in versions:
            faults.append(f"{name} {installed.version} is installed, {', '.join(versions)} is locked (make setup)")
    print(f"{len(locked)} requirements in {len(files)} lock files, {len(faults)} fault(s)")
    return faults


def advisories(directory: Path) -> list[str]:
    """Return the known vulnerabilities of what is locked, if pip-audit is there and its service answers."""
    program = shutil.which("pip-audit")
    if program is None:
        print("advisories: not asked, there is no pip-audit (pip install pip-audit)")
        return []
    command = [program, "--require-hashes", "--disable-pip", "--format", "json", "-r", str(directory / "dev.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print("advisories: not asked, pip-audit could not reach its service")
        return []
    asked = [one for one in dependencies if "skip_reason" not in one]
    told = f"{len(asked)} of {len(dependencies)} requirements were looked up"
    print(f"advisories: {told}" if asked else "advisories: not asked, pip-audit could not reach its service")
    return [f"{one['name']} {one['version']}: {vulnerability['id']}" for one in asked for vulnerability in one["vulns"]]


def main() -> int:
    """Print what is wrong; return the exit status."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--advisories"]
    directory = Path(arguments[0]) if arguments else ROOT / "requirements"
    faults = faults_of(directory)
    if "--advisories" in sys.argv:
        faults += advisories(directory)
    for fault in faults:
        print(f"error: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
