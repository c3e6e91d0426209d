"""Nothing that comes from outside is run: pickle is there for those who name it, eval, exec and their kin are not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pelton import App
from pelton.codec import codec_for
from pelton.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
MODULES = {"cloudpickle", "code", "ctypes", "dill", "imp", "jsonpickle", "marshal", "pickle", "runpy", "shelve", "yaml"}
CALLS = {"__import__", "compile", "eval", "exec"}
#: file -> what it may use, and why that is no way in.
ALLOWED = {
    "src/pelton/codec/serializers.py": {"pickle"},  # the serializer of that name, never chosen by default
}


def found_in(tree: ast.AST) -> set[str]:
    """Return the suspicious modules that a file imports, and the suspicious functions that it calls."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= MODULES & {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= MODULES & {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= CALLS & {node.func.id}
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            found.add("shell=")
    return found


def test_no_file_runs_what_it_reads() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "app").rglob("*.py")]
    assert len(files) > 100
    found = {str(file.relative_to(ROOT)): found_in(ast.parse(file.read_text())) for file in files}
    assert {file: names for file, names in found.items() if names} == ALLOWED


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from marshal import loads", "import yaml.loader", "eval(x)", "exec(x)", "run(x, shell=True)"],
)
def test_the_search_finds_them(source: str) -> None:
    assert found_in(ast.parse(source))


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('data was run')",))


def test_pickle_is_used_only_by_its_name(tmp_path: Path) -> None:
    data = codec_for(None, "pickle").encode(Trap())
    app = App("no-pickle", datadir=str(tmp_path))
    for value_type in (None, str, int, dict):
        _, values = app.topic("t", value_type=value_type).codecs()
        assert values.name in ("json", "raw"), "pickle is never what a topic has by itself"
    _, json = app.topic("t").codecs()
    with pytest.raises(json.errors):
        json.decode(data)


def test_a_record_s_header_chooses_no_serializer() -> None:
    with pytest.raises(ConfigurationError, match="unknown serializer"):
        codec_for(None, "yaml")


HUGE = [b"9" * 100_000, b'{"a":' + b"9" * 100_000 + b"}", b"-" + b"9" * 5_000, b"1e999999999"]


@pytest.mark.parametrize("data", HUGE, ids=["digits", "inside", "negative", "exponent"])
@pytest.mark.parametrize("type_", [None, int, float, dict[str, int]])
def test_huge_numbers_are_told_in_few_words(type_: object, data: bytes) -> None:
    """Reading so many digits would take time that grows with their square."""
    codec = codec_for(type_, "json")
    with pytest.raises(codec.errors) as caught:
        codec.decode(data)
    assert len(str(codec.explain(caught.value, data))) < 1_000
