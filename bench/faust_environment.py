"""The virtual environment of stock Faust, made on first use.

pelton and stock Faust share no environment, so that neither's dependencies bend the other's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.systems import FAUST_VERSION

__all__ = ["REQUIREMENTS", "ensure"]

#: What a user who wants speed installs beside Faust: its JSON, event loop and store extras; pinned to be repeatable.
REQUIREMENTS = (
    f"faust-streaming=={FAUST_VERSION}",
    "aiokafka==0.14.0",
    "cramjam==2.14.0",
    "orjson==3.13.0",
    "rocksdict==0.3.29",
    "uvloop==0.23.0",
)


def ensure(directory: Path) -> Path:
    """Make the environment unless it exists with these requirements, with uv if found, else venv and pip.

    Returns: the path of its Python interpreter.
    Raises: subprocess.CalledProcessError when the installation fails.
    """
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = directory / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    make = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "venv", "--clear"]
    )
    install = (
        [uv, "pip", "install", "--quiet", "--python", str(python)]
        if uv
        else [str(python), "-m", "pip", "install", "-q"]
    )
    subprocess.run([*make, str(directory)], check=True, stdout=sys.stderr)
    subprocess.run([*install, *REQUIREMENTS], check=True, stdout=sys.stderr)
    stamp.write_text(wanted)
    return python
