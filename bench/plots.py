# SPDX-License-Identifier: MIT
"""Plots: what is measured for each, and how it is drawn. SVG by hand, so that nothing has to be installed."""

import json
import math
import os
import subprocess
import sys

from figures import NULL_PEER, cpu_per_million, null_servers
from servers import CLIENT_CORE, Missing, load, ours, peer

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 80, 20, 50, 60
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b5ea7")
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128)


class Svg:
    def __init__(self, title, x, y):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                      'font-family="sans-serif" font-size="12">',
                      f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
        self.text(WIDTH / 2, 22, title, size=15)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x)
        self.parts.append(f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
                          f'text-anchor="middle">{y}</text>')

    def text(self, x, y, text, anchor="middle", size=12):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>')

    def line(self, x1, y1, x2, y2, colour="#ddd"):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>')

    def legend(self, names):
        x = LEFT + 10
        for i, name in enumerate(names):
            self.parts.append(f'<rect x="{x:.1f}" y="32" width="10" height="10" fill="{COLOURS[i]}"/>')
            self.text(x + 15, 41, name, anchor="start")
            x += 35 + 7 * len(name)

    def save(self, path):
        with open(path, "w") as f:
            f.write("\n".join(self.parts + ["</svg>"]) + "\n")


def short(v):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if v >= limit:
            return f"{v / limit:g}{unit}"
    return f"{v:g}"


def ticks(top):
    step = 10 ** math.floor(math.log10(top))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if top / s <= 6)
    return [i * step for i in range(int(top / step) + 1)]


def scale_y(svg, top, bottom=0):
    """From 0, or logarithmic from `bottom`."""
    low, high = (math.floor(math.log10(bottom)), math.log10(top)) if bottom else (0, top)
    def y(v):
        part = ((math.log10(v) if bottom else v) - low) / (high - low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    for t in [10 ** e for e in range(low, math.floor(high) + 1)] if bottom else ticks(top):
        svg.line(LEFT, y(t), WIDTH - RIGHT, y(t))
        svg.text(LEFT - 6, y(t) + 4, short(t), anchor="end")
    return y


def lines(path, title, xlabel, ylabel, series, log=False):
    """series: name -> [(x, y)], over a logarithmic x."""
    svg = Svg(title, xlabel, ylabel)
    xs = sorted({x for points in series.values() for x, _ in points})
    low, span = math.log2(xs[0]), math.log2(xs[-1] / xs[0]) or 1
    values = [v for points in series.values() for _, v in points]
    y = scale_y(svg, 1.1 * max(values), min(values) if log else 0)
    def x(v):
        return LEFT + (math.log2(v) - low) / span * (WIDTH - LEFT - RIGHT - 10)
    for v in xs:
        svg.text(x(v), HEIGHT - BOTTOM + 18, short(v))
    for i, points in enumerate(series.values()):
        at = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        svg.parts.append(f'<polyline points="{at}" fill="none" stroke="{COLOURS[i]}" stroke-width="2"/>')
        svg.parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{COLOURS[i]}"/>' for a, b in points]
    svg.legend(series)
    svg.save(path)


def bars(path, title, ylabel, values):
    """values: name -> number."""
    svg = Svg(title, "", ylabel)
    y = scale_y(svg, 1.1 * max(values.values()))
    step = (WIDTH - LEFT - RIGHT) / len(values)
    for i, (name, v) in enumerate(values.items()):
        x = LEFT + i * step + step / 4
        svg.parts.append(f'<rect x="{x:.1f}" y="{y(v):.1f}" width="{step / 2:.1f}" '
                         f'height="{HEIGHT - BOTTOM - y(v):.1f}" fill="{COLOURS[i % len(COLOURS)]}"/>')
        svg.text(x + step / 4, y(v) - 5, f"{v:.3g}")
        svg.text(x + step / 4, HEIGHT - BOTTOM + 18, name)
    svg.save(path)


def sweep(bench, effort):
    """Both servers at each depth, one after the other: what load said."""
    a, b = null_servers(bench)
    runs = {"ours": [], "qemu-storage-daemon": []}
    for qd in DEPTHS:
        for name, server in zip(runs, (a, b)):
            runs[name].append((qd, load(bench, server, seconds=effort.slice, qd=qd)))
    a.stop()
    b.stop()
    return runs


def draw_depth(bench, effort, to):
    runs = sweep(bench, effort)
    lines(os.path.join(to, "iops.svg"), "4 KiB random read, null store, one queue", "queue depth", "IOPS",
          {name: [(qd, r["iops"]) for qd, r in points] for name, points in runs.items()})
    lines(os.path.join(to, "latency.svg"), "4 KiB random read, null store: median and 99th percentile",
          "queue depth", "µs", {f"{name[:4]} {p}": [(qd, r[p + "_us"]) for qd, r in points]
                                for name, points in runs.items() for p in ("p50", "p99")}, log=True)


def draw_cpu(bench, effort, to):
    servers = {"ours, event": ours(bench, "a", "null:1G", poll="event"),
               "ours, adaptive": ours(bench, "b", "null:1G"),
               "peer, event": peer(bench, "c", NULL_PEER, poll=False),
               "peer, adaptive": peer(bench, "d", NULL_PEER)}
    bars(os.path.join(to, "cpu.svg"), "Server CPU per I/O, null store, queue depth 32", "µs",
         {name: cpu_per_million(bench, s, effort, qd=32)() for name, s in servers.items()})
    for s in servers.values():
        s.stop()


def draw_crypt(bench, _effort, to):
    """bench/crypt prints {"crypt_gbps": ..., "raw_gbps": ..., "sector": ..., "openssl": ...} a sector size."""
    out = subprocess.run(["taskset", "-c", str(CLIENT_CORE), bench.program("bench", "crypt")], capture_output=True,
                         text=True, check=True).stdout
    rows = [o for o in map(json.loads, filter(lambda t: t.startswith("{"), out.splitlines())) if "sector" in o]
    if not rows:
        raise Missing("bench/crypt prints no sector sizes")
    bars(os.path.join(to, "crypt.svg"), f"AES-256-XTS, one thread, OpenSSL {rows[0].get('openssl', '')}", "GB/s",
         {f"{name}, {r['sector']} B": r[key] for r in rows for name, key in (("filter", "crypt_gbps"), ("EVP", "raw_gbps"))})


def draw(bench, effort, to):
    os.makedirs(to, exist_ok=True)
    for plot in (draw_depth, draw_cpu, draw_crypt):
        try:
            plot(bench, effort, to)
        except Missing as e:
            print(f"{plot.__name__}: left out: {e}", file=sys.stderr)
