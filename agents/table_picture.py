"""A learned table on its grid: as text, and as a picture of values and arrows.

The grid is data: state `row * width + column` lies in that cell. A table of more states than cells has several layers
(before and after taking a key, say), shown one after another. States that were never acted in (walls, goals, holes)
show their letter.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARROWS = "←↓→↑"
"""GridWorld's and FrozenLake's actions, in their order; CliffWalking's are "↑→↓←", Taxi's "↓↑→←pd"."""
UNIT = {"←": (-0.3, 0.0), "↓": (0.0, 0.3), "→": (0.3, 0.0), "↑": (0.0, -0.3)}
MOST_LINES = 40


def table_text(
    table: Tensor,
    visits: Tensor,
    shape: tuple[int, int] | None = None,
    letters: Sequence[str] | None = None,
    actions: str = ARROWS,
) -> str:
    """The best action and its value in every cell, as lines of text.

    Args:
        table: float `[num_states, num_actions]`.
        visits: int `[num_states, num_actions]`: how often each was tried.
        shape: height and width of the grid; None lists the states that were visited most.
        letters: the rows of the map, for cells without visits; a dot by default.
        actions: a sign for each action.

    Raises:
        ValueError: the states don't fill the grid, or there are too few signs.
    """
    if shape is None:
        return _listing(table, visits, actions)
    best, values = _layers(table, visits, shape, actions)
    blocks = []
    for layer in range(len(best)):
        lines = []
        for row in range(shape[0]):
            cells = [
                _letter(letters, row, col).center(6)
                if np.isnan(values[layer, row, col])
                else f"{actions[best[layer, row, col]]}{_short(values[layer, row, col])}"
                for col in range(shape[1])
            ]
            lines.append(" ".join(cells).rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def table_figure(
    table: Tensor,
    visits: Tensor,
    shape: tuple[int, int],
    letters: Sequence[str] | None = None,
    actions: str = ARROWS,
    *,
    title: str = "",
    path: str | Path | None = None,
) -> "Figure":
    """A picture of the table: the colour is the best action's value, the arrow the action.

    Args:
        table, visits, shape, letters, actions: as in `table_text`.
        title: above the picture.
        path: where to save it, by its suffix (.png, .svg, .pdf); None doesn't.

    Raises:
        ValueError: the states don't fill the grid, or there are too few signs.
    """
    from matplotlib.figure import Figure

    best, values = _layers(table, visits, shape, actions)
    scale = 0.62 if max(shape) < 16 else 0.5
    inches = (max(3.0, shape[1] * scale * len(best) + 1.5), max(2.0, shape[0] * scale + 0.7))
    figure = Figure(inches, dpi=120, layout="constrained")
    known = values[~np.isnan(values)]
    limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    all_axes = np.atleast_1d(figure.subplots(1, len(best)))
    image: Any = None
    for layer, axes in enumerate(all_axes):
        image = axes.imshow(values[layer], cmap="viridis", vmin=limits[0], vmax=limits[1])
        _draw_cells(axes, best[layer], values[layer], limits, letters, actions)
    figure.colorbar(image, ax=list(all_axes), shrink=0.9, pad=0.02, label="value of the best action")
    if title:
        figure.suptitle(title, fontsize=11)
    if path is not None:
        figure.savefig(path)
    return figure


def _draw_cells(
    axes: Any, best: np.ndarray, values: np.ndarray, limits: tuple[float, float], letters: Any, actions: str
) -> None:
    """An arrow and a value in each visited cell, the letter in the others."""
    height, width = best.shape
    axes.set_facecolor("#3b3f46")
    axes.set_xticks(np.arange(width + 1) - 0.5, [])
    axes.set_yticks(np.arange(height + 1) - 0.5, [])
    axes.grid(color="#3b3f46", linewidth=1)
    axes.tick_params(length=0)
    middle = (limits[0] + limits[1]) / 2
    for (row, col), value in np.ndenumerate(values):
        centre: dict[str, Any] = {"ha": "center", "va": "center"}
        if np.isnan(value):
            axes.text(col, row, _letter(letters, row, col), color="#c8ccd2", fontsize=11, **centre)
            continue
        ink, sign = "black" if value > middle else "white", actions[best[row, col]]
        if sign in UNIT:
            dx, dy = UNIT[sign]
            arrow = {"arrowstyle": "-|>", "color": ink, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
            at = row - 0.12
            axes.annotate("", (col + dx * 0.8, at + dy * 0.8), (col - dx * 0.8, at - dy * 0.8), arrowprops=arrow)
        else:
            axes.text(col, row - 0.12, sign, color=ink, fontsize=11, **centre)
        axes.text(col, row + 0.34, _short(value).strip(), color=ink, fontsize=6, **centre)


def _layers(table: Tensor, visits: Tensor, shape: tuple[int, int], actions: str) -> tuple[np.ndarray, np.ndarray]:
    """The best action and its value, both `[layers, height, width]`; the value is NaN where nothing was tried."""
    num_states, num_actions = table.shape
    if num_states % (shape[0] * shape[1]):
        raise ValueError(f"{num_states} states don't fill a grid of {shape[0]} x {shape[1]}; give the shape they have")
    if len(actions) < num_actions:
        raise ValueError(f"{num_actions} actions need as many signs, got {actions!r}")
    tried = (visits > 0).cpu().numpy()
    known = np.where(tried, table.detach().cpu().numpy(), -np.inf)
    values = np.where(tried.any(axis=1), known.max(axis=1), np.nan)
    return known.argmax(axis=1).reshape(-1, *shape), values.reshape(-1, *shape)


def _listing(table: Tensor, visits: Tensor, actions: str) -> str:
    """The most visited states, a line each: its number, the best action, all values."""
    counts = visits.sum(dim=1)
    states = [int(state) for state in counts.argsort(descending=True, stable=True)[:MOST_LINES] if counts[state] > 0]
    signs = actions if len(actions) >= table.shape[1] else "".join(str(i % 10) for i in range(table.shape[1]))
    width = len(str(len(table)))
    lines = [f"{'state':>{width + 2}}  best  values of {' '.join(signs[: table.shape[1]])}"]
    for state in sorted(states):
        values = "  ".join(_short(float(value)) for value in table[state])
        lines.append(f"{state:>{width + 2}}  {signs[int(table[state].argmax())]:^4}  {values}")
    if left_out := int((counts > 0).sum()) - len(states):
        lines.append(f"... and {left_out} states less visited")
    return "\n".join(lines)


def _letter(letters: Sequence[str] | None, row: int, col: int) -> str:
    return "·" if letters is None else letters[row][col]


def _short(value: float) -> str:
    """Five characters."""
    return f"{value:5.2f}" if -9.995 < value < 99.995 else f"{value:5.0f}"
