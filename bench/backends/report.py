"""What was measured, as Markdown tables."""

from wire import FIN, RST

PIECE_BYTES = 64 << 10
# What is seen at this distance is the same moment.
AT_ONCE_SECONDS = 0.6


def table(names, results):
    """All three tables; who is not measured stands behind them with the reason."""
    missing = [name for name in names if "not measured" in results.get(name, {"not measured": ""})]
    measured = [(name, results[name]) for name in names if name not in missing]
    parts = [
        rows(("server", "version", "closes an idle connection after", "announces"),
             [(name, it["version"], idle(it["idle"]), announced(it["idle"])) for name, it in measured]),
        rows(("server", "answers an upload that it refuses", "and then", "a body of 32 MiB", "one field up to",
              "fields up to"),
             [(name, early(it["upload"]), after(it["upload"]), body(it["upload"]),
               limit(it["heads"]["field_bytes"], " B"), limit(it["heads"]["fields"])) for name, it in measured]),
        rows(("server", "idle connection", "request on a kept one", "new connection", "request in flight",
              "is gone after"),
             [(name, *stop(it["stop"])) for name, it in measured]),
    ]
    dates = sorted({it["date"] for _, it in measured})
    parts += [f"Measured on {' and '.join(dates)}."]
    parts += [f"NOT MEASURED: {name}: {results.get(name, {}).get('not measured', 'no result')}" for name in missing]
    return "\n\n".join(parts)


def rows(head, cells):
    head, *lines = ["| " + " | ".join(map(str, line)) + " |" for line in (head, *cells)]
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *lines])


def idle(found):
    if found["closes"]:
        return "at once, and says so"
    if not found["seconds"]:
        return f"not within {found['most']:.0f} s"
    first, last = found["seconds"][0], found["seconds"][-1]
    if last < 0.1:
        return "**at once, without a word**"
    return f"{first:.1f} s" if last - first < 0.15 else f"{first:.1f}–{last:.1f} s"


def announced(found):
    return f"`{found['announced']}`" if found.get("announced") else "–"


def early(found):
    if found["early_at"] == PIECE_BYTES:
        when = "at once"
    elif found["early_at"]:
        when = f"after {found['early_at'] >> 10} KiB"
    else:
        when = "after the whole body"
    return when if found["status"] == 401 else f"{when}, {found['status']}"


def after(found):
    if found["kept"]:
        return "keeps the connection"
    ends = {RST: "resets it", FIN: "takes the rest and closes"}
    return ends.get(found["end"], "leaves it open, and serves no more on it")


def body(found):
    status = found["body_limit"].get("33554432", found["body_limit"].get(32 << 20))
    return "taken" if status == 200 else str(status)


def limit(found, unit=""):
    most, then = found
    if then is None:
        return f"over {most:,}{unit}"
    how = {FIN: "closes silently", RST: "resets", "silent": "silence"}.get(then, then)
    return f"{most:,}{unit}, then {how}"


def stop(found):
    if found["keeps"]:
        ended = found["idle"]
        if not ended:
            idle_end = "stays open"
        else:
            idle_end = "closed at once" if ended[1] <= AT_ONCE_SECONDS else f"closed after {ended[1]} s"
        kept = {FIN: "closed", RST: "reset", "silent": "never answered"}.get(found["on kept"], "answered")
    else:
        idle_end = kept = "–"
    new = {"refused": "refused", RST: "**accepted**, then reset", FIN: "**accepted**, then closed",
           "silent": "**accepted**, never answered"}.get(found["on new"], "answered")
    busy = "finishes" if found["in flight"] == 200 else "cut"
    gone = found["ended after"]
    return idle_end, kept, new, busy, f"{gone} s" if gone is not None else "not within 40 s"
