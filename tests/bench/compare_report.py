"""The results of compare.py as Markdown and as an SVG chart. No dependencies."""
import math
from xml.sax.saxutils import escape


def settings(rows):
    """{(threads, batch): rows}"""
    parts = {}
    for row in rows:
        parts.setdefault((row["threads"], row["batch"]), []).append(row)
    return parts


def summary(rows):
    """Geometric mean and lowest of the ratios, and the model of the lowest; (nan, nan, "") where there is none."""
    rated = [row for row in rows if "ratio" in row]
    if not rated:
        return math.nan, math.nan, ""
    lowest = min(rated, key=lambda row: row["ratio"])
    mean = math.exp(sum(math.log(row["ratio"]) for row in rated) / len(rated))
    return mean, lowest["ratio"], lowest["model"]


def title_of(threads, batch):
    return f"{threads} thread{'s' if threads > 1 else ''}, batch {batch}"


def line(row, facts):
    """One row while the comparison runs."""
    times = [f"{facts['titles'][engine]} {ms:.2f}" for engine, ms in row.get("ms", {}).items()]
    failed = [f"{facts['titles'][engine]}: {why}" for engine, why in row["failures"].items()]
    ratio = f"ratio {row['ratio']:.3f}" if "ratio" in row else "no ratio"
    return f"{row['model']} ({title_of(row['threads'], row['batch'])}): {', '.join(times + failed)} ms, {ratio}"


# ---- Markdown ----


NOTED_DIFFERENCE = 1e-3  # of the largest reference value


def markdown_table(rows, facts, notes):
    engines = facts["engines"]
    titles = [facts["titles"][engine] for engine in engines]
    lines = ["| model | " + " | ".join(f"{title}, ms" for title in titles) + " | best peer | ratio | rounds |"]
    lines.append("|---|" + "---:|" * len(titles) + "---|---:|---|")
    for row in rows:
        cells = [row["model"]]
        for engine in engines:
            if engine in row["failures"]:
                notes.append(f"{row['model']}, {facts['titles'][engine]}: {row['failures'][engine]}")
                cells.append(f"fails ({len(notes)})")
                continue
            cells.append(f"{row['ms'][engine]:.2f}" if "ms" in row else "")
            if row["differences"].get(engine, 0) > NOTED_DIFFERENCE:
                notes.append(f"{row['model']}, {facts['titles'][engine]}: its answer differs by "
                             f"{row['differences'][engine]:.1e} of the largest value from the first peer's")
                cells[-1] += f" ({len(notes)})"
        if "ratio" in row:
            spread = f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}"
            cells += [facts["titles"][row["best"]], f"**{row['ratio']:.2f}**", spread]
        else:
            cells += ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def markdown(results, chart_name=None):
    """chart_name: the file of the chart, to be shown; None for a terminal."""
    isas = sorted({row["isa"] for row in results["rows"] if "isa" in row})
    versions = {}
    for row in results["rows"]:
        versions.update(row.get("versions", {}))
    lines = []
    if chart_name:
        lines = ["# Inference against ONNX Runtime, OpenVINO and MNN", "",
                 "Written by `tests/bench/compare.py`, whose head says how it measures. Ratio: the time of the best of the "
                 "peers for this model, divided by saccade's; above 1 saccade is faster. Rounds: the lowest and the "
                 "highest ratio of a round.", ""]
    lines.append(f"{results['date']}, {results['cpu']} ({results['n_cpus']} CPUs), "
                 f"{' and '.join(isas) or 'no result'}, float32. saccade {results['saccade']} at "
                 f"{results['commit'] or 'an unknown commit'}; "
                 + ", ".join(f"{results['titles'][peer]} {version}" for peer, version in versions.items())
                 + f". {results['rounds']} rounds of {results['seconds']:g} s for each engine, "
                 + ("medians." if results["statistic"] == "median" else "the fastest run of all."))
    if results["limit_isa"]:
        lines.append(f"saccade and OpenVINO were held to {results['limit_isa']}; ONNX Runtime and MNN cannot be, and used "
                     "what the CPU has.")
    for option in results["bench_options"]:
        lines.append(f"saccade bench had --{option}.")
    if results["missing"]:
        lines.append(f"Not installed, left out: {', '.join(results['missing'])}.")
    if chart_name:
        lines += ["", f"![Ratio of each model]({chart_name})"]
    notes = []
    for (threads, batch), rows in settings(results["rows"]).items():
        mean, lowest, model = summary(rows)
        lines += ["", f"## {title_of(threads, batch).capitalize()}", "", *markdown_table(rows, results, notes)]
        if model:
            lines += ["", f"Geometric mean **{mean:.3f}**, lowest {lowest:.3f} ({model})."]
    if notes:
        lines += ["", *(f"({index}) {note}  " for index, note in enumerate(notes, 1))]
    return "\n".join(lines) + "\n"


# ---- SVG ----

ROW, BAR, LEFT, PLOT, RIGHT = 24, 15, 170, 460, 190  # pixels
FASTER, SLOWER, INK, FAINT, PAPER = "#1f7a5c", "#b4552d", "#22252a", "#c9ccd1", "#ffffff"


def tick_step(largest):
    return next(step for step in (0.25, 0.5, 1, 2, 5, 10, 1e9) if largest / step <= 8)


def chart(results):
    """Bars from 0 to the ratio, one model below the other, one panel for each setting; the line at 1 is equality."""
    parts = settings(results["rows"])
    largest = max([1.25] + [row["ratio"] for row in results["rows"] if "ratio" in row])
    step = tick_step(largest)
    top = math.ceil(largest / step + 1e-9) * step
    width, y, body = LEFT + PLOT + RIGHT, 16, []

    def x_of(ratio):
        return LEFT + PLOT * ratio / top

    def text(x, y, words, anchor="start", size=12, colour=INK, weight="normal"):
        body.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" '
                    f'font-weight="{weight}">{escape(words)}</text>')

    for (threads, batch), rows in parts.items():
        mean, _, model = summary(rows)
        y += 20
        text(16, y, title_of(threads, batch).capitalize(), size=15, weight="bold")
        text(width - 16, y, f"geometric mean {mean:.2f}" if model else "", "end", 13, weight="bold")
        y += 14
        bottom = y + ROW * len(rows)
        for index in range(int(top / step + 0.5) + 1):
            x = x_of(index * step)
            body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{bottom}" stroke="{FAINT}" stroke-width="1"/>')
            text(x, bottom + 15, f"{index * step:g}", "middle", 11)
        for row in rows:
            text(LEFT - 8, y + ROW / 2 + 4, row["model"], "end")
            if "ratio" in row:
                ratio = row["ratio"]
                colour = FASTER if ratio >= 1 else SLOWER
                body.append(f'<rect x="{LEFT}" y="{y + (ROW - BAR) / 2}" width="{x_of(ratio) - LEFT:.1f}" '
                            f'height="{BAR}" rx="2" fill="{colour}"/>')
                ours = f"{row['ms']['saccade']:.3g}"
                theirs = f"{row['ms'][row['best']]:.3g} ms, {results['titles'][row['best']]}"
                text(x_of(ratio) + 6, y + ROW / 2 + 4, f"{ratio:.2f}", weight="bold", colour=colour)
                text(width - 16, y + ROW / 2 + 4, f"{ours} : {theirs}", "end", 11)
            else:
                text(LEFT + 6, y + ROW / 2 + 4, "no ratio", colour=SLOWER)
            y += ROW
        x = x_of(1)
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom - ROW * len(rows) - 4}" y2="{bottom + 4}" '
                    f'stroke="{INK}" stroke-width="1.5"/>')
        y = bottom + 30
    text(16, y + 6, "Bars: time of the fastest peer / time of saccade, float32; right of the line saccade is faster. "
         "At the right both times.", size=11)
    text(16, y + 22, f"{results['cpu']}, saccade {results['saccade']} ({results['commit']}), {results['date']}", size=11)
    height = y + 36
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
            f'viewBox="0 0 {width} {height:.0f}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(body) + "\n</svg>\n")
