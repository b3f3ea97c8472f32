"""What the code may not do, read from its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import thrift_plugins

ROOT = Path(thrift_plugins.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

FORBIDDEN_MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "subprocess", "pty", "pip",
    "ensurepip", "code", "codeop", "diskcache", "litellm", "yaml",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "breakpoint", "os.system", "os.popen", "os.execv", "os.execve", "os.spawnv",
    "os.posix_spawn", "importlib.reload", "langchain_core.load.loads", "langchain_core.load.load", "tempfile.mktemp",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_from_data_and_no_other_program(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set(imported(tree))
    assert not {name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES}
    assert not names & {"langchain_core.load", "langchain_core.load.loads", "langchain_core.load.load"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert dotted(node.func) not in FORBIDDEN_CALLS, f"line {node.lineno}"
            assert not any(keyword.arg == "shell" for keyword in node.keywords), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_statement_of_sql_is_text_of_ours(path: Path):
    """No value is ever put into a statement: `execute` is given literals, names, and formats of constants and integers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func).endswith((".execute", ".executemany", ".executescript")):
            statement = node.args[0] if node.args else None
            assert not isinstance(statement, ast.BinOp | ast.Call), f"line {node.lineno}"
            if isinstance(statement, ast.JoinedStr):
                parts = [part for part in statement.values if isinstance(part, ast.FormattedValue)]
                texts = [part.value for part in parts if part.format_spec is None or ast.unparse(part.format_spec) != "f'd'"]
                assert all(dotted(part).lstrip("_").isupper() for part in texts), f"line {node.lineno}"


def test_nothing_of_the_tests_is_in_the_package():
    for path in FILES:
        if path.relative_to(ROOT).parts[0] != "testing":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not {name for name in imported(tree) if name.partition(".")[0] in {"tests", "pytest", "hypothesis"}}, path
