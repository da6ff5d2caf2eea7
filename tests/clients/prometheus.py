"""Reads a page in Prometheus' text format with Prometheus' own parser, and says what is in it.

Each sample is a line: its name, its labels in order, its value. Anything that the parser refuses, and any
histogram that is not cumulative, ends it with status 1.
"""

import sys

from prometheus_client.parser import text_string_to_metric_families

page = sys.stdin.read()
for family in text_string_to_metric_families(page):
    if not family.documentation:
        sys.exit(f"{family.name} has no help")
    buckets = {}
    for sample in family.samples:
        labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
        print(f"{family.type} {sample.name} {labels} {sample.value:g}")
        if sample.name.endswith("_bucket"):
            key = tuple(sorted(item for item in sample.labels.items() if item[0] != "le"))
            buckets.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
    for key, counts in buckets.items():
        values = [count for _, count in sorted(counts)]
        if values != sorted(values) or sorted(counts)[-1][0] != float("inf"):
            sys.exit(f"{family.name} {key} is no histogram: {counts}")
