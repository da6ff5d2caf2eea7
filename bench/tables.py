"""What is printed: Markdown, medians of the rounds."""

from statistics import median

from measuring import ERRORS
from workloads import SLOW_MS


def table(header, rows):
    cells = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    print("\n".join("| " + " | ".join(row) + " |" for row in cells))


def shown(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio(ours, theirs):
    return f"{ours / theirs:.2f}" if ours and theirs else "–"


def middle(runs, name):
    """The median, or nothing where there is none."""
    values = [getattr(run, name) for run in runs if getattr(run, name) is not None]
    return median(values) if values else None


def error_text(runs):
    totals = {kind: sum(run.errors.get(kind, 0) for run in runs) for kind in ERRORS}
    return ", ".join(f"**{count} {kind}**" for kind, count in totals.items() if count) or "0"


def print_loads(name, workload, results, problems):
    print(f"\n### {name}: {workload.title}\n")
    header = ["", "requests/s", "±%", "p50 ms", "p99 ms", "CPU µs/request", "memory MB", "errors",
              "ours/it requests/s", "ours/it CPU"]
    if workload.slow:
        header.insert(5, "added p99 ms")
    ours, rows = results.get("ours", []), []
    for peer, runs in results.items():
        if not runs:
            rows.append([peer, f"NOT MEASURED: {problems[peer]}"] + [""] * (len(header) - 2))
            continue
        rates, rate, p99 = [run.rate for run in runs], middle(runs, "rate"), middle(runs, "p99")
        spread = (max(rates) - min(rates)) / 2 / rate * 100 if rate else 0
        row = [peer, shown(rate, 0), shown(spread, 0), shown(middle(runs, "p50"), 2), shown(p99, 2)]
        if workload.slow:
            row.append(shown(p99 - SLOW_MS, 2))
        row += [shown(middle(runs, "cpu_us")), shown(middle(runs, "memory_mb")), error_text(runs)]
        if peer in problems:
            row[-1] += f"; STOPPED EARLY: {problems[peer]}"
        row += ["", ""] if peer == "ours" else [
            ratio(middle(ours, "rate"), rate), ratio(middle(ours, "cpu_us"), middle(runs, "cpu_us"))]
        rows.append(row)
    table(header, rows)
    if others := [run.others for runs in results.values() for run in runs]:
        print(f"\nOther programs used {median(others):.2f} cores meanwhile, {max(others):.2f} at most.")
    if ours and results.get("floor"):
        print(f"Ours costs {ratio(middle(ours, 'cpu_us'), middle(results['floor'], 'cpu_us'))}"
              " times the CPU of the floor of its design.")


def print_idle(name, workload, count, results, problems):
    print(f"\n### {name}: {count:,} {workload.title}\n")
    ours, rows = middle(results.get("ours", []), "during"), []
    for peer, runs in results.items():
        if not runs:
            rows.append([peer, f"NOT MEASURED: {problems[peer]}"] + [""] * 4)
            continue
        wrong = sum(run.wrong for run in runs)
        rows.append([peer, shown(middle(runs, "before")), shown(middle(runs, "during")), shown(middle(runs, "kib")),
                     f"**{wrong}**" if wrong else "0",
                     "" if peer == "ours" else ratio(ours, middle(runs, "during"))])
        if peer in problems:
            rows[-1][4] += f"; STOPPED EARLY: {problems[peer]}"
    table(["", "MB before", "MB with them", "KiB a connection", "errors", "ours/it MB"], rows)
