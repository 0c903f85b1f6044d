"""The results of precision.py as Markdown and as an SVG chart. No dependencies."""
from xml.sax.saxutils import escape

import compare_report

BASE = "ONNX Runtime f32"  # the chart's unit


def line(row):
    """One row while the comparison runs."""
    times = [f"{contender} {ms:.2f}" for contender, ms in row["ms"].items()]
    failed = [f"{contender}: {why}" for contender, why in row["failures"].items()]
    ratios = [f"{name} {median:.2f}" for name, (median, _) in row["ratios"].items()]
    title = compare_report.title_of(row["threads"], row["batch"])
    return f"{row['model']} ({title}): {', '.join(times + failed)} ms; {', '.join(ratios)}"


def ratio_names(rows):
    return list(dict.fromkeys(name for row in rows for name in row["ratios"]))


def table(rows, contenders, notes):
    names = ratio_names(rows)
    titles = ["model", *(f"{contender}, ms" for contender in contenders), *names]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    for row in rows:
        cells = [row["model"]]
        for contender in contenders:
            if contender in row["failures"]:
                notes.append(f"{row['model']}, {contender}: {row['failures'][contender]}")
                cells.append(f"fails ({len(notes)})")
            else:
                cells.append(f"{row['ms'][contender]:.2f}")
        for name in names:
            median, of_rounds = row["ratios"].get(name, (None, []))
            cells.append(f"**{median:.2f}** ({min(of_rounds):.2f} to {max(of_rounds):.2f})" if median else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def about(results):
    """How and where: what a reader needs to judge the figures."""
    isas = sorted({row["isa"] for row in results["rows"] if row["isa"]})
    versions = {peer: version for row in results["rows"] for peer, version in row["versions"].items()}
    lines = [f"{results['date']}, {results['cpu']} ({results['n_cpus']} CPUs with "
             f"{', '.join(results['instructions'])}). saccade {results['saccade']} at "
             f"{results['commit'] or 'an unknown commit'} on {' and '.join(isas) or 'nothing'}; "
             + ", ".join(f"{results['titles'][peer]} {version}" for peer, version in versions.items())
             + f". {results['rounds']} rounds of {results['seconds']:g} s for each contender, "
             + ("medians." if results["statistic"] == "median" else "the fastest run of all.")]
    left_out = [contender for contender in results["contenders"] if contender not in results["comparable"]]
    if results["limit_isa"]:
        lines.append(f"saccade and OpenVINO were held to {results['limit_isa']}.")
    if left_out:
        lines.append(f"**Not comparable: {' and '.join(left_out)}** used all that the CPU has, since ONNX Runtime cannot "
                     "be held to less; the ratios leave them out.")
    lines += [f"saccade bench had --{option}." for option in results["bench_options"]]
    return lines


def markdown(results, chart_name=None):
    """chart_name: the file of the chart, to be shown; None for a terminal."""
    lines = []
    if chart_name:
        lines = ["# int8 and bfloat16 against float32, ONNX Runtime and OpenVINO", "",
                 "Written by `tests/bench/precision.py`, whose head says how it measures. Milliseconds for a batch; a ratio "
                 "says how many times as fast the first is as the second, in brackets the lowest and the highest of a "
                 "round.", ""]
    lines += about(results)
    if chart_name:
        lines += ["", f"![Speed of each contender]({chart_name})"]
    notes = []
    for (threads, batch), rows in compare_report.settings(results["rows"]).items():
        title = compare_report.title_of(threads, batch).capitalize()
        lines += ["", f"## {title}", "", *table(rows, results["contenders"], notes)]
    if notes:
        lines += ["", *(f"({index}) {note}  " for index, note in enumerate(notes, 1))]
    return "\n".join(lines) + "\n"


# ---- SVG ----

BAR, GAP, LEFT, PLOT, RIGHT = 15, 10, 290, 420, 140  # pixels
INK, FAINT, PAPER = "#22252a", "#c9ccd1", "#ffffff"
COLOURS = {"saccade int8": "#0f5c43", "saccade bf16": "#1f7a5c", "saccade f32": "#7fb8a2"}
PEER = "#8f959e"


def chart(results):
    """Bars of speed, ONNX Runtime's float32 being 1 (the first that ran where it is missing), a group for each model."""
    parts = compare_report.settings(results["rows"])
    speeds = {}
    for rows in parts.values():
        for row in rows:
            unit = row["ms"].get(BASE) or next(iter(row["ms"].values()), None)
            speeds[id(row)] = {contender: unit / ms for contender, ms in row["ms"].items()}
    largest = max([1.25] + [speed for row in speeds.values() for speed in row.values()])
    step = compare_report.tick_step(largest)
    width, y, body = LEFT + PLOT + RIGHT, 16, []

    def x_of(speed):
        return LEFT + PLOT * speed / largest

    def text(x, y, words, anchor="start", size=12, weight="normal"):
        body.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}" '
                    f'font-weight="{weight}">{escape(words)}</text>')

    for (threads, batch), rows in parts.items():
        y += 20
        text(16, y, compare_report.title_of(threads, batch).capitalize(), size=15, weight="bold")
        y += 14
        bottom = y + sum(BAR * len(row["ms"]) + GAP for row in rows)
        for index in range(int(largest / step) + 1):
            x = x_of(index * step)
            colour = INK if index * step == 1 else FAINT
            body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{bottom}" stroke="{colour}" stroke-width="1"/>')
            text(x, bottom + 15, f"{index * step:g}", "middle", 11)
        for row in rows:
            text(16, y + BAR - 3, row["model"], weight="bold")
            for contender, ms in row["ms"].items():
                speed = speeds[id(row)][contender]
                text(LEFT - 8, y + BAR - 3, contender, "end", 11)
                body.append(f'<rect x="{LEFT}" y="{y + 1}" width="{x_of(speed) - LEFT:.1f}" height="{BAR - 2}" '
                            f'fill="{COLOURS.get(contender, PEER)}"/>')
                text(x_of(speed) + 6, y + BAR - 3, f"{speed:.2f}  ({ms:.3g} ms)", size=11)
                y += BAR
            y += GAP
        y = bottom + 30
    text(16, y + 6, f"Speed; 1 is that of {BASE}.", size=11)
    text(16, y + 22, f"{results['cpu']}, saccade {results['saccade']} ({results['commit']}), {results['date']}", size=11)
    height = y + 36
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
            f'viewBox="0 0 {width} {height:.0f}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(body) + "\n</svg>\n")
