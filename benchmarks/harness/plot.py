"""Draws the results: a bar for each program, on a scale whose lines are ten times apart."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .contest import Contest
    from .programs import Program

__all__ = ["draw"]

WIDTH, LEFT, RIGHT, TOP, ROW = 1080, 410, 190, 96, 40
OURS, OTHERS, DOT, INK, FAINT, LINE = "#c2410c", "#94a3b8", "#1e293b", "#0f172a", "#64748b", "#e2e8f0"
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


class Bar(NamedTuple):
    """A program's bar: the geometric mean over captures, and each capture's figure, in ns a frame."""

    program: Program
    mean: float
    values: list[float]


def draw(contests: Sequence[Contest], programs: Sequence[Program], note: str) -> str:
    """Return the picture as SVG."""
    bars = sorted(bars_of(contests, programs), key=lambda bar: bar.mean)
    low = 10 ** math.floor(math.log10(min(min(bar.values) for bar in bars) * 0.8))
    high = max(max(bar.values) for bar in bars) * 1.1
    height = TOP + ROW * len(bars) + 94

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / low) / math.log(high / low)

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' {FONT}>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        text(24, 36, "Processor time that each program takes for a frame", 20, INK, weight="bold"),
        text(24, 60, "Shorter is faster. Each line is ten times the one before.", 14, FAINT),
    ]
    bottom = TOP + ROW * len(bars)
    power = low
    while power <= high:
        parts.append(
            f"<line x1='{x(power):.1f}' y1='{TOP - 6}' x2='{x(power):.1f}' y2='{bottom}' stroke='{LINE}' stroke-width='2'/>"
        )
        parts.append(text(x(power), TOP - 12, duration(power), 12, FAINT, anchor="middle"))
        power *= 10
    for n, bar in enumerate(bars):
        parts += of_bar(bar, TOP + ROW * n, x)
    captures = ", ".join(contest.capture.name for contest in contests)
    dots = "Bars: the geometric mean of the captures. Dots: each capture. " if len(contests) > 1 else ""
    parts += [
        text(24, bottom + 28, f"{dots}Star: slow, so measured on the first frames only.", 12, FAINT),
        text(24, bottom + 48, note, 12, FAINT),
        text(24, bottom + 68, f"Captures: {captures}", 12, FAINT),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def bars_of(contests: Sequence[Contest], programs: Sequence[Program]) -> list[Bar]:
    """Return the bars of programs that have figures for every capture. More workers save no processor time: no bars."""
    bars = []
    for program in (program for program in programs if not program.reads_halves):
        values = [contest.figures[program.name].cpu for contest in contests if program.name in contest.figures]
        if len(values) == len(contests):
            bars.append(Bar(program, math.exp(sum(map(math.log, values)) / len(values)), values))
    return bars


def of_bar(bar: Bar, y: int, x: Callable[[float], float]) -> list[str]:
    """Return one program's name, what it gives, its bar, its dots and its figure."""
    color = OURS if bar.program.is_fastmon else OTHERS
    star = " *" if bar.program.part else ""
    parts = [
        text(
            LEFT - 12, y + 16, bar.program.name + star, 14, OURS if bar.program.is_fastmon else INK, weight="bold", anchor="end"
        ),
        text(LEFT - 12, y + 31, bar.program.gives, 10.5, FAINT, anchor="end"),
        f"<rect x='{LEFT}' y='{y + 7}' width='{x(bar.mean) - LEFT:.1f}' height='22' rx='3' fill='{color}'/>",
    ]
    if len(bar.values) > 1:
        parts += [f"<circle cx='{x(value):.1f}' cy='{y + 18}' r='3' fill='{DOT}'/>" for value in bar.values]
    end = x(max(bar.values)) + 10
    parts.append(text(end, y + 23, f"{duration(bar.mean)}, {rate(1e9 / bar.mean)} frames/s", 12.5, INK))
    return parts


def text(x: float, y: float, words: str, size: float, color: str, *, weight: str = "normal", anchor: str = "start") -> str:
    """Return a line of text."""
    style = f"font-size='{size}' fill='{color}' font-weight='{weight}' text-anchor='{anchor}'"
    return f"<text x='{x:.1f}' y='{y}' {style}>{escape(words)}</text>"


def duration(ns: float) -> str:
    """Return a duration for people."""
    unit, size = next((unit, size) for unit, size in (("ms", 1e6), ("µs", 1e3), ("ns", 1)) if ns >= size or unit == "ns")
    return f"{ns / size:.0f} {unit}" if ns >= 10 * size else f"{ns / size:.1f} {unit}".replace(".0 ", " ")


def rate(per_s: float) -> str:
    """Return a number for people."""
    return f"{per_s / 1e6:.1f} million" if per_s >= 1e6 else f"{float(f'{per_s:.2g}'):,.0f}"
