"""What was aimed at, and what of it the figures of this run reach."""

from dataclasses import dataclass

from tables import middle, table
from workloads import SLOW_MS, WORKLOADS

NAMES = {"cpu_us": ("CPU a request", "µs"), "rate": ("requests/s", ""), "p99": ("p99", "ms"),
         "kib": ("memory a connection", "KiB")}


@dataclass
class Target:
    """Ours, as a multiple of what a peer has, or as it is where none is named."""
    workload: str
    measure: str
    sign: str
    limit: float
    peer: str = ""
    # Taken off ours.
    less: float = 0
    title: str = ""

    def text(self):
        what = self.title or f"{self.workload}: {NAMES[self.measure][0]}"
        aim = f"{self.limit:g} × {self.peer}'s" if self.peer else f"{self.limit:g} {NAMES[self.measure][1]}"
        return what, f"{self.sign} {aim}"

    def reached(self, all_results):
        """The figure in words, and whether it is enough; nothing where it was not measured."""
        results = all_results.get(self.workload, {})
        ours = middle(results.get("ours", []), self.measure)
        theirs = middle(results.get(self.peer, []), self.measure) if self.peer else 1
        if ours is None or not theirs:
            return None
        ours -= self.less
        figure = ours / theirs
        unit = NAMES[self.measure][1]
        digits = 0 if self.measure == "rate" else 1
        words = f"{figure:.2f}"
        if self.peer:
            words += f" ({ours:,.{digits}f} / {theirs:,.{digits}f}{' ' + unit if unit else ''})"
        else:
            words += f" {unit}"
        return words, figure <= self.limit if self.sign == "≤" else figure >= self.limit


def both(measure, sign, limit, peer):
    return [Target(workload, measure, sign, limit, peer) for workload in ("small32", "small256")]


TARGETS = [
    *both("cpu_us", "≤", 0.6, "base-plain"),
    *both("cpu_us", "≤", 0.4, "base-front"),
    Target("small32", "rate", "≥", 0.75, "nginx"),
    Target("small32", "rate", "≥", 2.2, "caddy"),
    Target("small32", "rate", "≥", 2.2, "go"),
    Target("small32", "rate", "≥", 1.5, "envoy"),
    Target("small32", "rate", "≥", 1.5, "traefik"),
    Target("small256", "p99", "≤", 1.5, "nginx"),
    Target("tls32", "cpu_us", "≤", 0.45, "caddy"),
    Target("tls32", "cpu_us", "≤", 0.45, "traefik"),
    Target("tls32", "cpu_us", "≤", 1.6, "nginx"),
    Target("handshakes", "rate", "≥", 0.8, "nginx"),
    Target("idle10000", "kib", "≤", 1),
    Target("idletls10000", "kib", "≤", 12),
    Target("get1m", "rate", "≥", 1.2, "nginx"),
    Target("slow256", "p99", "≤", 4, less=SLOW_MS, title=f"slow256: p99 less the backends' {SLOW_MS} ms"),
    Target("slow256", "cpu_us", "≤", 0.5, "base-plain"),
]


def print_targets(all_results):
    """`all_results` is by workload and by peer. A target of which something was not measured says so."""
    rows, count, met = [], 0, 0
    for target in TARGETS:
        assert target.workload in WORKLOADS
        found = target.reached(all_results)
        words, is_met = found or ("not measured", None)
        rows.append([*target.text(), words, {None: "–", True: "yes", False: "**no**"}[is_met]])
        count, met = count + (found is not None), met + bool(is_met)
    print("\n## What was aimed at\n")
    table(["ours", "aim", "reached", "met"], rows)
    print(f"\n{met} of {count} met; {len(TARGETS) - count} of {len(TARGETS)} were not measured.")
