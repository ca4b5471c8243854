# SPDX-License-Identifier: MIT
"""The figures: one function each. Names and floors are fixed, so that they can be followed over time."""

import json
import os
import statistics
import subprocess
import time

from servers import CLIENT_CORE, SERVER_CORE, Missing, load, ours, peer
from stats import abba, ratio

RAM = 256 << 20
FILE = 1 << 30
NULL_PEER = "driver=null-co,size=1073741824,read-zeroes=off"

FIGURES = {}


class Effort:
    """How long is measured: in full, or just enough to see that the harness works."""

    def __init__(self, quick):
        self.pairs = 3 if quick else 16
        self.slice = 0.2 if quick else 0.8
        self.requests = 20000 if quick else 200000
        self.idle = 1.0 if quick else 10.0
        self.processes = 3 if quick else 41
        self.bursts = 20000 if quick else 50000
        self.talk = 1 if quick else 3
        self.pairs_of_addresses = 20000 if quick else 500000


def figure(name, unit, floor=None, most=None):
    """floor: at least that; most: at most that."""
    def add(function):
        FIGURES[name] = {"measure": function, "unit": unit, "floor": floor, "most": most}
        return function
    return add


def result(name, value, **more):
    f = FIGURES[name]
    return {"figure": name, "value": value, "unit": f["unit"], "ours": more.get("ours"), "peer": more.get("peer"),
            "pairs": more.get("pairs"), "spread": more.get("spread"),
            "floor": f["floor"] if f["floor"] is not None else f["most"]}


def holds(r):
    """The claim is the interval's worse end."""
    f = FIGURES[r["figure"]]
    worst = r["value"]
    if r["spread"]:
        worst = r["spread"][0] if f["floor"] is not None else r["spread"][1]
    return worst >= f["floor"] if f["floor"] is not None else worst <= f["most"]


def paired(name, a, b, effort):
    va, vb = abba(a, b, effort.pairs)
    value, spread = ratio(va, vb)
    return result(name, value, ours=statistics.median(va), peer=statistics.median(vb), pairs=len(va),
                  spread=spread)


def iops(bench, server, effort, **options):
    return lambda: load(bench, server, seconds=effort.slice, **options)["iops"]


def compare_iops(name, bench, a, b, effort, **options):
    out = paired(name, iops(bench, a, effort, **options), iops(bench, b, effort, **options), effort)
    a.stop()
    b.stop()
    return out


def null_servers(bench, **kw):
    return ours(bench, "ours", "null:1G", **kw), peer(bench, "peer", NULL_PEER, poll=kw.get("poll") != "event")


@figure("blk.null.qd32", "x", floor=2)
def null_qd32(bench, effort):
    return compare_iops("blk.null.qd32", bench, *null_servers(bench), effort, qd=32)


@figure("blk.null.qd1", "x", floor=1.3)
def null_qd1(bench, effort):
    return compare_iops("blk.null.qd1", bench, *null_servers(bench), effort, qd=1)


def make_file(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


@figure("blk.ram.qd32", "x", floor=4)
def ram_qd32(bench, effort):
    shm = f"/dev/shm/vio-bench.{os.getpid()}"
    make_file(shm, RAM)
    try:
        a = ours(bench, "ours", f"ram:{RAM}")
        b = peer(bench, "peer", f"driver=file,filename={shm},cache.direct=off,aio=threads")
        for server in (a, b):
            load(bench, server, op="fill", block=65536)
        return compare_iops("blk.ram.qd32", bench, a, b, effort, qd=32, op="verify")
    finally:
        os.unlink(shm)


@figure("blk.kicks", "kicks/IO", most=0.1)
def kicks(bench, effort):
    a, b = null_servers(bench)
    va, vb = abba(*[lambda s=s: load(bench, s, seconds=effort.slice, qd=32)["kicks_per_io"] for s in (a, b)],
                  effort.pairs)
    a.stop()
    b.stop()
    return result("blk.kicks", statistics.median(va), ours=statistics.median(va), peer=statistics.median(vb),
                  pairs=len(va), spread=(min(va), max(va)))


def cpu_per_million(bench, server, effort, **options):
    def measure():
        before = server.cpu_seconds()
        ios = load(bench, server, seconds=effort.slice, warmup=0, **options)["ios"]
        return (server.cpu_seconds() - before) / ios * 1e6
    return measure


@figure("blk.cpu", "x", most=0.5)
def cpu(bench, effort):
    a, b = null_servers(bench, poll="event")
    out = paired("blk.cpu", cpu_per_million(bench, a, effort, qd=32), cpu_per_million(bench, b, effort, qd=32),
                 effort)
    a.stop()
    b.stop()
    return out


def fio(path, effort, qd):
    """Plain io_uring by fio, at its best: registered buffers and files, on the server's core."""
    command = ["fio", "--name=peer", f"--filename={path}", "--ioengine=io_uring", "--direct=1", "--fixedbufs=1",
               "--registerfiles=1", f"--iodepth={qd}", "--rw=randread", "--bs=4k", "--norandommap",
               "--randrepeat=0", "--time_based", f"--runtime={effort.slice}", "--ramp_time=0.1",
               f"--cpus_allowed={SERVER_CORE}", "--output-format=json", "--minimal=0"]
    try:
        out = subprocess.run(command[:-1], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as e:
        raise Missing("fio is not installed") from e
    return json.loads(out[out.index("{"):])["jobs"][0]["read"]["iops"]


@figure("blk.file.qd32", "x", floor=0.97)
def file_qd32(bench, effort):
    path = make_file(bench.path("disk"), 0)
    with open(path, "wb") as f:
        block = os.urandom(1 << 20)
        for _ in range(FILE >> 20):
            f.write(block)
        os.fsync(f.fileno())
    a = ours(bench, "ours", f"file:{path},direct=on")
    out = paired("blk.file.qd32", iops(bench, a, effort, qd=32), lambda: fio(path, effort, 32), effort)
    a.stop()
    return out


def program(name, bench, tool):
    """Figures that a program of bench/ measures and prints itself, a JSON object a line."""
    out = subprocess.run(["taskset", "-c", str(CLIENT_CORE), bench.program("bench", tool)], capture_output=True,
                         text=True, check=True).stdout
    objects = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    for o in objects:
        if o.get("figure") == name:
            return result(name, o["value"], **{k: o.get(k) for k in ("ours", "peer", "pairs", "spread")})
    raise Missing(f"bench/{tool} prints no {name}")


@figure("crypt.4k", "x", floor=0.90)
def crypt_4k(bench, _effort):
    return program("crypt.4k", bench, "crypt")


def processes(name, bench, tool, count=7):
    """The same from several processes: where memory happens to lie differs between them."""
    values = sorted(program(name, bench, tool)["value"] for _ in range(count))
    middle = statistics.median(values)
    return result(name, middle, ours=middle, pairs=count, spread=[values[1], values[-2]])


@figure("queue.split.cycles", "cycles", most=60)
def queue_split(bench, _effort):
    return processes("queue.split.cycles", bench, "queue")


@figure("queue.packed.cycles", "cycles", most=45)
def queue_packed(bench, _effort):
    return processes("queue.packed.cycles", bench, "queue")


@figure("nvme.ring.cycles", "cycles", most=60)
def nvme_ring(bench, _effort):
    return processes("nvme.ring.cycles", bench, "nvme_ring")


@figure("filter.pass.ns", "ns", most=2)
def filter_pass(bench, _effort):
    return program("filter.pass.ns", bench, "filter")


@figure("driver.split.ns", "ns", most=60)
def driver_split(bench, _effort):
    return program("driver.split.ns", bench, "driver")


@figure("driver.packed.ns", "ns", most=60)
def driver_packed(bench, _effort):
    return program("driver.packed.ns", bench, "driver")


def net_cycles(bench, tool, effort, ring, ways, length):
    """Cycles a packet: [at the tenth percentile, at the median], added up over the ways."""
    total = [0.0, 0.0]
    for way in ways:
        out = subprocess.run(["taskset", "-c", str(CLIENT_CORE), bench.program("bench", tool), ring, way, str(length),
                              str(effort.bursts)], capture_output=True, text=True, check=True).stdout
        o = json.loads(out.splitlines()[-1])
        total = [total[0] + o["p10"], total[1] + o["median"]]
    return total


def net(name, bench, effort, ring, ways, length):
    """What librte_vhost takes for a packet over what we take: a process of each in turn."""
    for tool in ("net", "net_peer"):
        bench.program("bench", tool)  # the peer is built only where DPDK is
    pairs = effort.processes if length < 1000 else (effort.processes + 2) // 3  # long packets take as much longer
    vp, vo = abba(lambda: net_cycles(bench, "net_peer", effort, ring, ways, length),
                  lambda: net_cycles(bench, "net", effort, ring, ways, length), pairs)
    value, spread = ratio([v[0] for v in vp], [v[0] for v in vo])
    middle = [[statistics.median(column) for column in zip(*v)] for v in (vo, vp)]
    r = result(name, value, ours=middle[0][0], peer=middle[1][0], pairs=len(vo), spread=spread)
    return {**r, "ours_median": middle[0][1], "peer_median": middle[1][1]}


def net_figure(name, floor, ring, ways, length):
    figure(name, "x", floor=floor)(lambda bench, effort: net(name, bench, effort, ring, ways, length))


net_figure("net.split.deq64", 1.5, "split", ["deq"], 64)
net_figure("net.split.enq64", 1.8, "split", ["enq"], 64)
net_figure("net.packed.deq64", 1.1, "packed", ["deq"], 64)
net_figure("net.packed.enq64", 1.1, "packed", ["enq"], 64)
for kind in "split", "packed":  # there and back: a packet out of a guest and one into it
    net_figure(f"net.{kind}.1518", 1, kind, ["deq", "enq"], 1518)


def count_calls(trace):
    with open(trace) as f:
        return sum(int(line.split()[0]) for line in f
                   if line.split()[:1] and line.split()[0].isdigit() and not line.rstrip().endswith("total"))


def calls_during(bench, make, requests):
    """System calls of a server's whole life in which it served that many requests."""
    trace = bench.path("strace")
    server = make(["strace", "-f", "-c", "-U", "calls,name", "-o", trace])
    load(bench, server, requests=requests, qd=32)
    server.stop()
    return count_calls(trace)


def syscalls(name, bench, effort, make):
    """Two lives of different length: the difference is what requests cost, all else cancels out."""
    n = effort.requests
    try:
        few, many = calls_during(bench, make, n), calls_during(bench, make, 3 * n)
    except FileNotFoundError as e:
        raise Missing("strace is not installed") from e
    value = max(0.0, (many - few) / (2 * n))
    return result(name, value, ours=value)


@figure("blk.syscalls.event", "calls/IO", most=0.1)
def syscalls_event(bench, effort):
    path = make_file(bench.path("disk"), 64 << 20)
    return syscalls("blk.syscalls.event", bench, effort,
                    lambda prefix: ours(bench, "ours", f"file:{path}", poll="event", prefix=prefix))


@figure("blk.syscalls.busy", "calls/IO", most=0)
def syscalls_busy(bench, effort):
    """In the midst of a load: where none are made, watching for them slows nothing down."""
    trace = bench.path("strace")
    server = ours(bench, "ours", f"ram:{RAM}", poll="busy")
    command = ["taskset", "-c", str(CLIENT_CORE), bench.program("bench", "load"), "--socket", server.sock,
               "--qd", "32", "--seconds", str(effort.slice + 3)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        time.sleep(1)
        try:
            subprocess.run(["timeout", "-s", "INT", str(effort.slice), "strace", "-f", "-c", "-U", "calls,name", "-o",
                            trace, "-p", str(server.pid())], check=False, stderr=subprocess.DEVNULL)
        except FileNotFoundError as e:
            raise Missing("strace is not installed") from e
        rate = json.loads(client.communicate()[0])["iops"]
    server.stop()
    value = count_calls(trace) / (rate * effort.slice)
    return result("blk.syscalls.busy", value, ours=value)


def allocations(path):
    with open(path, "rb") as f:
        return int.from_bytes(f.read(8), "little")


def allocations_during(bench, requests):
    """Allocations of a server's whole life in which it served that many requests."""
    counter = make_file(bench.path("allocations"), 8)
    server = ours(bench, "ours", f"ram:{RAM}", env={
        "LD_PRELOAD": bench.program("bench", "count_allocations.so"), "VIO_COUNT_ALLOCATIONS": counter})
    load(bench, server, requests=requests, qd=32)
    server.stop()
    return allocations(counter)


@figure("blk.allocs", "allocations/IO", most=0)
def allocs(bench, effort):
    n = effort.requests
    few, many = allocations_during(bench, n), allocations_during(bench, 3 * n)
    value = max(0.0, (many - few) / (2 * n))
    return result("blk.allocs", value, ours=value)


@figure("idle.cpu", "%", most=0.0)
def idle_cpu(bench, effort):
    server = ours(bench, "ours", f"ram:{RAM}", poll="event")
    command = ["taskset", "-c", str(CLIENT_CORE), bench.program("bench", "load"), "--socket", server.sock, "--op",
               "idle", "--seconds", str(effort.idle + 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        client.stdout.readline()  # it is connected
        time.sleep(0.5)
        before, start = server.cpu_seconds(), time.monotonic()
        time.sleep(effort.idle)
        used, took = server.cpu_seconds() - before, time.monotonic() - start
        client.wait()
    server.stop()
    value = round(100 * used / took, 3)
    return result("idle.cpu", value, ours=value)
