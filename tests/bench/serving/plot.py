"""Line charts as SVG, panels side by side and rows of them. No dependencies."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 330, 210, 58, 14, 34, 44  # of a panel, pixels
INK, FAINT, PAPER = "#22252a", "#d9dce1", "#ffffff"
COLOURS = ("#1f7a5c", "#5ab08f", "#b4552d", "#d99a4e", "#3b5b92", "#8a6bb1", "#777b82")


class Series:
    """points: [(x, y)]; dashed for what is a bound and no contender."""

    def __init__(self, title, points, colour, dashed=False):
        self.title, self.colour, self.dashed = title, colour, dashed
        self.points = [(x, y) for x, y in points if y is not None and not math.isnan(y)]


class Panel:
    """labels: None, or the words at x = 0, 1, 2, ... Line x or y logarithmic by log_x, log_y."""

    def __init__(self, title, x_title, series, labels=None, log_y=False, least_y=0):
        self.title, self.x_title, self.series, self.labels, self.log_y, self.least_y = title, x_title, series, labels, log_y, least_y


def ticks(low, high, most=6):
    """Round numbers from low to high, both within reach."""
    if high <= low:
        high = low + 1
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low, high):
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [factor * 10.0 ** power for factor in (1, 2, 5) if low <= factor * 10.0 ** power <= high * 1.0001]
    return found


class Scale:
    """Values to pixels."""

    def __init__(self, low, high, start, end, log=False):
        self.change = math.log10 if log else float
        self.low, self.high, self.start, self.end = self.change(low), self.change(high), start, end

    def __call__(self, value):
        share = (self.change(value) - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


def bounds_y(panel):
    values = [y for series in panel.series for _, y in series.points]
    if not values:
        return 0.1 if panel.log_y else 0, 1
    if panel.log_y:
        positive = [value for value in values if value > 0] or [1]
        return 10 ** (math.floor(math.log10(min(positive)) * 2) / 2), 10 ** (math.ceil(math.log10(max(positive)) * 2 + 1e-9) / 2)
    low = min(panel.least_y, min(values)) if panel.least_y is not None else min(values)
    high = max(values)
    return low, high + 0.06 * ((high - low) or 1)


def text(x, y, words, anchor="start", size=11, weight="normal", colour=INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(words)}</text>')


def draw_panel(panel, left, top):
    body = [text(left + LEFT, top + 18, panel.title, size=12, weight="bold")]
    x0, x1, y0, y1 = left + LEFT, left + WIDTH - RIGHT, top + HEIGHT - BOTTOM, top + TOP
    low, high = bounds_y(panel)
    y_of = Scale(low, high, y0, y1, panel.log_y)
    xs = [x for series in panel.series for x, _ in series.points] or [0, 1]
    if panel.labels:
        x_of = Scale(-0.3, len(panel.labels) - 0.7, x0, x1)
        marks = list(enumerate(panel.labels))
    else:
        x_of = Scale(min(xs), max(xs), x0, x1)
        marks = [(x, f"{x:g}") for x in ticks(min(xs), max(xs))]
    for y in log_ticks(low, high) if panel.log_y else ticks(low, high):
        body.append(f'<line x1="{x0}" x2="{x1}" y1="{y_of(y):.1f}" y2="{y_of(y):.1f}" stroke="{FAINT}"/>')
        body.append(text(x0 - 6, y_of(y) + 4, f"{y:g}", "end", 10))
    for x, words in marks:
        body.append(text(x_of(x), y0 + 15, words, "middle", 10))
    body.append(text((x0 + x1) / 2, y0 + 31, panel.x_title, "middle", 10))
    for series in panel.series:
        points = [(x_of(x), y_of(y)) for x, y in series.points if not panel.log_y or y > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if series.dashed else ""
        body.append(f'<polyline points="{path}" fill="none" stroke="{series.colour}" stroke-width="2"{dash}/>')
        if not series.dashed and len(points) <= 20:
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{series.colour}"/>' for x, y in points]
    return body


def chart(rows, caption):
    """rows: lists of panels. The legend has each title once."""
    legend, seen = [], set()
    for series in (series for row in rows for panel in row for series in panel.series):
        if series.title not in seen:
            seen.add(series.title)
            legend.append(series)
    width = WIDTH * max(len(row) for row in rows) + 16
    body, x, y = [], 16, 20
    for series in legend:
        if x + 40 + 7 * len(series.title) > width:
            x, y = 16, y + 18
        dash = ' stroke-dasharray="5 4"' if series.dashed else ""
        body.append(f'<line x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}" stroke="{series.colour}" stroke-width="3"{dash}/>')
        body.append(text(x + 28, y, series.title))
        x += 44 + 7 * len(series.title)
    y += 10
    for row in rows:
        for index, panel in enumerate(row):
            body += draw_panel(panel, index * WIDTH, y)
        y += HEIGHT
    for line in caption:
        y += 16
        body.append(text(16, y, line, size=10))
    height = y + 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="Helvetica, Arial, sans-serif">\n<rect width="100%" height="100%" fill="{PAPER}"/>\n'
            + "\n".join(body) + "\n</svg>\n")
