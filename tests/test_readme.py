"""The README's tutorial and its Python do what they say, executed as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MARKED = re.findall(r"<!-- tutorial: (.*?) -->\n```\w*\n(.*?)```", README, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Runs a command in a folder with the environment's own `bin` first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_trains_evaluates_renders_and_runs_batched(tmp_path: Path) -> None:
    kinds = [kind for kind, _ in MARKED]
    assert kinds == ["catch.py", "shell", "shell", "python", "shell"]
    source = MARKED[0][1]
    assert source.count("\n") < 60
    (tmp_path / "catch.py").write_text(source)
    printed = "".join(run(["bash", "-ec", text], tmp_path) for kind, text in MARKED if kind == "shell")
    run([sys.executable, "-c", next(text for kind, text in MARKED if kind == "python")], tmp_path)
    assert (tmp_path / "catch.gif").stat().st_size > 1000
    means = [float(mean) for mean in re.findall(r"deterministic\s+(-?[\d.]+)", printed)]
    assert len(means) == 2 and min(means) > 0.9


def test_the_python_example_runs(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    example = next(text for text in examples if "ppo.TrainState" in text)
    printed = run([sys.executable, "-c", example], tmp_path)
    assert int(printed.splitlines()[-1].split()[0]) >= 40_000


def test_every_path_that_pages_name_is_there() -> None:
    pages = [path for path in ROOT.rglob("*.md") if ".venv" not in path.parts and "runs" not in path.parts]
    assert len(pages) > 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
