"""Which folder may import which, and what the core must do without."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "envs": {"agents", "experiments", "tests"},
    "agents": {"envs", "experiments", "tests"},
    "experiments": {"tests"},
}


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_envs_and_agents_never_import_each_other(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & FORBIDDEN[folder], path


@pytest.mark.parametrize("folder", ["agents", "experiments", "envs/engine"])
def test_a_folder_says_what_each_of_its_files_is_for(folder: str) -> None:
    told = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""
    there = sorted(path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")
    assert sorted(re.findall(r"\w+\.py", told)) == there, "each is named once"


@pytest.mark.parametrize("module", ["envs.engine.vector", "envs.engine.single", "agents.ppo", "agents.tabular_q"])
def test_the_core_imports_without_drawing_and_command_line_libraries(module: str) -> None:
    check = f"import sys, {module}; print(sorted({{'pygame', 'pettingzoo', 'tyro', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_importing_envs_registers_and_loads_nothing_heavy() -> None:
    check = "import sys, envs; print(sorted({'torch', 'numba'} & set(sys.modules)), len(envs.registered_worlds()) >= 6)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[] True", done.stderr
