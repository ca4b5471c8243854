# SPDX-License-Identifier: MIT
"""Paired comparison: on a shared machine only differences between neighbours in time mean anything."""

import math
import statistics


def abba(a, b, pairs):
    """Calls a and b in turn, A B B A ..., so that drift hits both; the values of each."""
    va, vb = [], []
    for i in range(pairs):
        for first in ((a, va), (b, vb)) if i % 2 == 0 else ((b, vb), (a, va)):
            first[1].append(first[0]())
    return va, vb


def interval(values, confidence=0.95):
    """An interval for the median by order statistics: no assumption about the distribution."""
    s, n = sorted(values), len(values)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2 ** n
        if 2 * below > 1 - confidence:
            break
        k += 1
    k = max(k - 1, 0)
    return s[k], s[n - 1 - k]


def ratio(va, vb):
    """The median of the paired ratios, and its interval."""
    ratios = [x / y for x, y in zip(va, vb) if y]
    return statistics.median(ratios), interval(ratios)
