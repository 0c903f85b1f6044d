"""What was measured as Markdown, as charts and as statements that hold or do not."""
import math
import re

from serving import plot
from serving.measure import CAPACITY_CLIENTS, LARGE_BODY_BYTES, LIMIT, median

PEER_TITLES = {"fastapi": "FastAPI", "mosec": "mosec"}


def number(value, digits=1):
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def peers(contest):
    return [name for name in contest.servers if name not in contest.precisions]


def title(contest, name):
    if name.startswith(LIMIT):
        return f"pipeline limit, {contest.facts[name.removeprefix(LIMIT)]['precision']}"
    if name in contest.precisions:
        return f"saccade {contest.facts[name]['precision']}"
    return contest.facts[name]["title"]


def keys_of(contest, part):
    """In the order in which they were measured."""
    return list(dict.fromkeys(key for key, _ in contest.results.get(part, {})))


def ratio_to_limit(contest, clients, name):
    """By rounds: both were measured within the same seconds."""
    ours, limits = contest.rounds("closed", clients, name), contest.rounds("closed", clients, LIMIT + name)
    pairs = [{"ratio": a["throughput"] / b["images_per_s"]} for a, b in zip(ours, limits)]
    return median(pairs, "ratio")


# ---- sections: lists of lines of Markdown ----


def closed(contests):
    lines = ["Each client asks again as soon as it has its answer. The pipeline limit is `saccade bench --images`: decoding and "
             "inference of the same photographs on all CPUs without HTTP; \"of the limit\" compares round by round."]
    for contest in contests:
        rows = []
        for clients in keys_of(contest, "closed"):
            for name in contest.limits() + list(contest.servers):
                rounds = contest.rounds("closed", clients, name)
                if not rounds:
                    continue
                limit = name.startswith(LIMIT)
                speeds = [answer["images_per_s" if limit else "throughput"] for answer in rounds]
                rows.append([
                    str(clients), title(contest, name), number(median(rounds, "images_per_s" if limit else "throughput")),
                    f"{min(speeds):.1f} to {max(speeds):.1f}",
                    *("" if limit else number(median(rounds, "accepted", key)) for key in ("p50_ms", "p99_ms", "p999_ms")),
                    "" if limit else number(1e3 * sum(a["server_cpu_s"] for a in rounds) / max(1, sum(a["answers"] for a in rounds))),
                    number(ratio_to_limit(contest, clients, name), 2) if name in contest.precisions else ""])
        lines += ["", f"**{contest.model.name}**", ""]
        lines += table(["clients", "", "images/s", "lowest to highest", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms/image", "of the limit"], rows)
        if contest.troubles:
            lines += ["", "Not every request was answered: " + "; ".join(contest.troubles) + "."]
        lines += [""] + table(["", "first answer s", "MiB at rest", "MiB after the load"], [
            [title(contest, name), number(facts["first_answer_s"], 2), number(facts["rest_mib"], 0), number(facts.get("load_mib"), 0)]
            for name, facts in contest.facts.items()])
    return lines


def opened(contests):
    lines = ["Requests are sent at moments that were decided before, and every latency counts from there. Each server is asked "
             f"for multiples of its own capacity (its closed loop of {CAPACITY_CLIENTS} clients), with a deadline of ten times its own "
             "latency with one client; saccade is told the deadline. Bursts: 100 ms at twice the rate, 100 ms of nothing, Poisson "
             "within."]
    for contest in contests:
        loads = ", ".join(f"{title(contest, name)} {facts['capacity']:.1f}/s and {facts['deadline_ms']:.0f} ms"
                          for name, facts in contest.facts.items() if "capacity" in facts)
        rows = []
        for arrival, factor in keys_of(contest, "open"):
            for name in contest.servers:
                rounds = contest.rounds("open", (arrival, factor), name)
                if not rounds:
                    continue
                n = sum(answer["scheduled"] for answer in rounds) or 1
                refused = sum(answer["statuses"].get(status, 0) for answer in rounds for status in ("429", "503"))
                lost = sum(answer["broken"] + answer["unanswered"] for answer in rounds)
                rows.append([f"{factor:g}, {arrival}", title(contest, name), number(median(rounds, "throughput")),
                             number(median(rounds, "goodput")), number(100 * median(rounds, "goodput") / contest.facts[name]["capacity"], 0),
                             *(number(median(rounds, "accepted", key)) for key in ("p50_ms", "p99_ms", "p999_ms")),
                             number(100 * refused / n, 0), number(median(rounds, "refused", "p99_ms")), str(lost)])
        lines += ["", f"**{contest.model.name}** (capacity and deadline: {loads})", ""]
        lines += table(["load, arrival", "", "answers/s", "in time/s", "% of capacity", "p50 ms", "p99 ms", "p99.9 ms", "refused %",
                        "refusal p99 ms", "lost"], rows)
    return lines


def overload(contests):
    lines = [f"saccade alone, capacity and deadline found as above, with bodies as they are and filled up to {LARGE_BODY_BYTES / 1e6:g} MB. \"Late\" clients look for "
             "an answer only after they have sent all of the body, as Python's urllib does. Beside the load, four clients do what "
             "`Retry-After` says: how many attempts an answer took them."]
    for contest in contests:
        rows = []
        for factor, body_bytes, late in keys_of(contest, "overload"):
            for name in contest.ours():
                for answer in contest.rounds("overload", (factor, body_bytes, late), name):
                    calm = answer["obedient"]
                    attempts = sum(calm["statuses"].values())
                    rows.append([f"{factor:g}", f"{body_bytes / 1e6:g} MB" if body_bytes else "as it is", "late" if late else "at once",
                                 title(contest, name), number(answer["capacity"]), number(100 * answer["goodput"] / answer["capacity"], 0),
                                 *(number(answer["refused"].get(key)) for key in ("p50_ms", "p99_ms", "max_ms")),
                                 str(answer["broken"]), str(answer["unanswered"]),
                                 number(attempts / max(1, calm["statuses"].get("200", 0))), number(answer["peak_mib"], 0)])
        lines += ["", f"**{contest.model.name}**", ""]
        lines += table(["load", "body", "reads", "", "capacity/s", "in time, % of it", "refusal p50 ms", "p99 ms", "max ms", "broken", "unanswered",
                        "attempts an answer", "peak MiB"], rows)
    return lines


def large(contests):
    lines = ["The same photographs enlarged to 12 megapixels, as phones send them, JPEG of quality 90; 8 clients."]
    for contest in contests:
        rows = []
        for kind in keys_of(contest, "large"):
            for name in contest.limits() + list(contest.servers):
                rounds = contest.rounds("large", kind, name)
                limit = name.startswith(LIMIT)
                if rounds:
                    rows.append([kind, title(contest, name), number(median(rounds, "images_per_s" if limit else "throughput")),
                                 *("" if limit else number(median(rounds, "accepted", key)) for key in ("p50_ms", "p99_ms"))])
        lines += ["", f"**{contest.model.name}**", ""] + table(["", "", "images/s", "p50 ms", "p99 ms"], rows)
    return lines


def soaked(result):
    trends = result["trends"]
    final = result["final"]
    others = {status: n for status, n in final["statuses"].items() if status != "200"}
    lost = f"{final['broken']} broken connections and {final['unanswered']} unanswered requests"
    return [f"{result['model']}, {result['precision']}: {result['minutes']:g} minutes at {result['rate']:.1f} requests/s, 0.9 of capacity: "
            f"{final['statuses'].get('200', 0)} answers, other statuses {others or 'none'}, {lost}. Trend by least squares after the first tenth: "
            f"memory {trends['resident_mib'] * 1024:+.1f} KiB a minute, descriptors {trends['descriptors']:+.3f}, "
            f"p50 {trends['p50_ms']:+.3f} ms, p99 {trends['p99_ms']:+.3f} ms a minute."]


# ---- charts ----


def colours(contest):
    return dict(zip([*contest.ours(), *peers(contest)], plot.COLOURS if len(contest.ours()) > 1 else
                    (plot.COLOURS[0], *plot.COLOURS[2:])))


def closed_chart(contests, caption):
    rows = []
    for contest in contests:
        clients = keys_of(contest, "closed")
        colour = colours(contest)

        def series(kind, *path):
            found = [plot.Series(title(contest, name), [(i, median(contest.rounds("closed", c, name), *path)) for i, c in enumerate(clients)],
                                 colour[name]) for name in contest.servers]
            if kind == "speed":
                found += [plot.Series(title(contest, LIMIT + name), [(i, median(contest.rounds("closed", c, LIMIT + name), "images_per_s"))
                                                                     for i, c in enumerate(clients)], colour[name], True)
                          for name in contest.ours()]
            return found

        labels = [str(c) for c in clients]
        rows.append([plot.Panel(f"{contest.model.name}: images/s", "clients", series("speed", "throughput"), labels),
                     plot.Panel("p50 ms", "clients", series("", "accepted", "p50_ms"), labels, log_y=True),
                     plot.Panel("p99 ms", "clients", series("", "accepted", "p99_ms"), labels, log_y=True)])
    return plot.chart(rows, caption)


def open_chart(contests, caption):
    rows = []
    for contest in contests:
        colour = colours(contest)
        for arrival in dict.fromkeys(arrival for arrival, _ in keys_of(contest, "open")):
            factors = [factor for kind, factor in keys_of(contest, "open") if kind == arrival]
            labels = [f"{factor:g}" for factor in factors]

            def series(share, *path):
                return [plot.Series(title(contest, name), [
                    (i, median(contest.rounds("open", (arrival, factor), name), *path) / (contest.facts[name]["capacity"] if share else 1))
                    for i, factor in enumerate(factors)], colour[name]) for name in contest.servers]

            rows.append([plot.Panel(f"{contest.model.name}, {arrival}: in time / capacity", "load / capacity", series(True, "goodput"), labels),
                         plot.Panel("accepted, p50 ms", "load / capacity", series(False, "accepted", "p50_ms"), labels, log_y=True),
                         plot.Panel("accepted, p99 ms", "load / capacity", series(False, "accepted", "p99_ms"), labels, log_y=True)])
    return plot.chart(rows, caption)


def soak_chart(result, caption):
    def series(key, colour, name):
        return plot.Series(name, [(s["second"] / 60, s[key]) for s in result["samples"][:-1]], colour)

    return plot.chart([[
        plot.Panel("memory, MiB", "minutes", [series("resident_mib", plot.COLOURS[0], "saccade")]),
        plot.Panel("open descriptors", "minutes", [series("descriptors", plot.COLOURS[0], "saccade")]),
        plot.Panel("latency, ms", "minutes", [series("p50_ms", plot.COLOURS[4], "p50"), series("p99_ms", plot.COLOURS[2], "p99")])]],
        caption)


# ---- statements ----


class Statement:
    def __init__(self, words, value, needed, at_most=False, unit=""):
        self.words, self.value, self.needed, self.at_most, self.unit = words, value, needed, at_most, unit
        self.holds = not math.isnan(value) and (value <= needed if at_most else value >= needed)

    def row(self):
        bound = f"{'at most' if self.at_most else 'at least'} {self.needed:g}{self.unit}"
        return [self.words, bound, f"{self.value:.2f}{self.unit}", "yes" if self.holds else "**no**"]


def best_peer(contest, part, key, *path, least=False):
    values = [median(contest.rounds(part, key, name), *path) for name in peers(contest)]
    values = [value for value in values if not math.isnan(value)]
    return (min(values) if least else max(values)) if values else math.nan


def closed_statements(contest, needs):
    """needs: (throughput ratio in float32, with the best precision)"""
    measured = keys_of(contest, "closed")
    found = []
    for name in contest.ours():
        who = f"{contest.model.name}, {title(contest, name)}"
        for clients in (8, 32):
            if clients in measured:
                found.append(Statement(f"{who}: throughput of {clients} clients, of the pipeline limit", ratio_to_limit(contest, clients, name), 0.95))
        if 128 in measured and 32 in measured:
            # Two medians of separate rounds: what is within noise is no less.
            found.append(Statement(f"{who}: throughput of 128 clients, of that of 32",
                                   median(contest.rounds("closed", 128, name), "throughput")
                                   / median(contest.rounds("closed", 32, name), "throughput"), 0.99))
        if 1 in measured:
            found.append(Statement(f"{who}: p50 of one client above decoding and inference alone",
                                   median(contest.rounds("closed", 1, name), "accepted", "p50_ms")
                                   - median(contest.rounds("alone", 1, LIMIT + name), "median_ms"), 0.5, True, " ms"))
        need = needs[0] if contest.facts[name]["precision"] == "f32" else needs[1]
        for clients in (8, 32):
            if clients in measured and peers(contest):
                found.append(Statement(f"{who}: throughput of {clients} clients, of the best peer's",
                                       median(contest.rounds("closed", clients, name), "throughput")
                                       / best_peer(contest, "closed", clients, "throughput"), need))
                if contest.model.name == "default":
                    found.append(Statement(f"{who}: p99 of {clients} clients, of the best peer's",
                                           median(contest.rounds("closed", clients, name), "accepted", "p99_ms")
                                           / best_peer(contest, "closed", clients, "accepted", "p99_ms", least=True), 0.5, True))
    return found


def open_statements(contest):
    found = []
    for arrival, factor in keys_of(contest, "open"):
        for name in contest.ours():
            rounds = contest.rounds("open", (arrival, factor), name)
            who = f"{contest.model.name}, {title(contest, name)}, {factor:g} x capacity, {arrival}"
            if factor >= 2 and arrival == "constant":
                # Between bursts there is nothing to answer, however good the server is.
                found.append(Statement(f"{who}: answers in time, of capacity", median(rounds, "goodput") / contest.facts[name]["capacity"], 0.95))
            if factor >= 2:
                found.append(Statement(f"{who}: p99 of refusals", median(rounds, "refused", "p99_ms"), 10, True, " ms"))
    return found


def overload_statements(contest):
    found = []
    for key in keys_of(contest, "overload"):
        factor, body_bytes, late = key
        for name in contest.ours():
            answers = contest.rounds("overload", key, name)
            if not answers:
                continue
            who = (f"{contest.model.name}, {title(contest, name)}, {factor:g} x capacity, "
                   f"{'bodies of 5 MB' if body_bytes else 'bodies as they are'}{', read late' if late else ''}")
            if not late:
                found.append(Statement(f"{who}: answers in time, of capacity",
                                       median(answers, "goodput") / median(answers, "capacity"), 0.95))
            found.append(Statement(f"{who}: broken connections", sum(a["broken"] + a["unanswered"] for a in answers), 0, True))
            if not late:
                found.append(Statement(f"{who}: p99 of refusals", median(answers, "refused", "p99_ms"), 10, True, " ms"))
    return found


def large_statements(contest):
    return [Statement(f"{contest.model.name}, {title(contest, name)}, 12 megapixels {kind}: throughput, of the best peer's",
                      median(contest.rounds("large", kind, name), "throughput") / best_peer(contest, "large", kind, "throughput"), 1.5)
            for kind in keys_of(contest, "large") for name in contest.ours() if peers(contest)]


def soak_statements(result):
    """Over the whole time, by the trends: growth within noise of a figure is none."""
    minutes, trends, samples = result["minutes"], result["trends"], result["samples"]
    who = f"{result['model']}, {result['precision']}, {minutes:g} minutes"
    p99 = sorted(s["p99_ms"] for s in samples if s["p99_ms"] is not None)
    return [Statement(f"{who}: growth of memory", minutes * trends["resident_mib"], 1, True, " MiB"),
            Statement(f"{who}: growth of open descriptors", minutes * trends["descriptors"], 1, True),
            Statement(f"{who}: growth of p99, of its median", minutes * trends["p99_ms"] / p99[len(p99) // 2] if p99 else math.nan, 0.1, True),
            Statement(f"{who}: not answered with 200", sum(n for status, n in result["final"]["statuses"].items() if status != "200")
                      + result["final"]["broken"] + result["final"]["unanswered"], 0, True)]


def statement_table(statements):
    return table(["what must hold", "needed", "measured", "holds"], [statement.row() for statement in statements])


# ---- the document ----


def replace_block(document, name, lines):
    """The part between the marks of this name written anew; a part that is not there yet goes to the end."""
    begin, end = f"<!-- serve {name}: begin, written by tests/bench/serve -->", f"<!-- serve {name}: end -->"
    block = "\n".join([begin, *lines, end])
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: block, document)
    return document.rstrip("\n") + "\n\n" + block + "\n"
