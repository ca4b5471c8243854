# SPDX-License-Identifier: MIT
"""The figures of NVMe/TCP over loopback: the target's speed beside a plain echo's and another protocol's, what an idle host
costs it, and what encryption costs on the way to it."""

import json
import os
import re
import resource
import socket
import subprocess
import time

from figures import compare_iops, figure, paired, result
from servers import CLIENT_CORE, Missing, Server, load, ours

NQN = "nqn.2014-08.org.example:bench"
DEPTH = 128
HOSTS = 10000


class Listener(Server):
    """A server at a TCP port, which its log names."""

    def wait_for_socket(self):
        for _ in range(1000):
            with open(self.log.name, encoding="utf-8") as f:
                text = f.read()
            found = re.search(r"port (\d+)", text)
            if found:
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise Missing(f"{self.name} does not start: {text.strip()}")


def target(bench, name, *options):
    command = [bench.program("examples", "nvme-target"), "--listen", "127.0.0.1:0", "--nqn", NQN, "--ns", "ram:128M",
               *options]
    return Listener(bench, name, command, None)


def client(bench, program="nvme_tcp"):
    return ["taskset", "-c", str(CLIENT_CORE), bench.program("bench", program)]


def reads(bench, server, effort, *kind, program="nvme_tcp"):
    def measure():
        done = subprocess.run([*client(bench, program), str(server.port), str(DEPTH), str(effort.slice), *kind],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["iops"]
    return measure


@figure("nvme.tcp.echo", "x", floor=0.9)
def tcp_echo(bench, effort):
    a = target(bench, "target", "--poll", "adaptive", "--log", "info")
    b = Listener(bench, "echo", [bench.program("bench", "nvme_tcp"), "--echo"], None)
    out = paired("nvme.tcp.echo", reads(bench, a, effort), reads(bench, b, effort, "raw"), effort)
    a.stop()
    b.stop()
    return out


class Nbdkit(Server):
    """Its memory plugin at a port of its own."""

    def __init__(self, bench):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        super().__init__(bench, "nbdkit", ["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(self.port), "memory", "128M"], None)

    def wait_for_socket(self):
        for _ in range(1000):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.01)
        raise Missing("nbdkit does not listen")


@figure("nvme.tcp.nbd", "x", floor=4)
def tcp_nbd(bench, effort):
    """Another protocol, driven by its own library."""
    a = target(bench, "target", "--poll", "adaptive", "--log", "info")
    b = Nbdkit(bench)
    out = paired("nvme.tcp.nbd", reads(bench, a, effort), reads(bench, b, effort, program="nbd_peer"), effort)
    a.stop()
    b.stop()
    return out


@figure("ebs.crypt", "x", floor=0.9)
def ebs_crypt(bench, effort):
    """A guest's disk on a remote target, encrypted here, over the same in the clear. Both targets are on the server's core."""
    key = bench.path("key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(os.urandom(64))
    targets = [target(bench, f"target-{i}", "--log", "info") for i in range(2)]
    stacks = [f"nvme-tcp:127.0.0.1:{t.port},nqn={NQN}" for t in targets]
    a, b = ours(bench, "crypt", f"{stacks[0]} | crypt:keyfile={key},sector=4096"), ours(bench, "clear", stacks[1])
    for server in a, b:
        load(bench, server, op="fill", block=65536)
    out = compare_iops("ebs.crypt", bench, a, b, effort, qd=32, op="verify")
    for t in targets:
        t.stop()
    return out


def resident_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])


@figure("nvme.conn.kib", "KiB", most=64)
def conn_kib(bench, _effort):
    """What the process grows by; what the kernel has in its sockets is not counted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < HOSTS + 64:
        raise Missing(f"the limit of open files is {hard}, expected {HOSTS + 64}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (HOSTS + 64, hard))
    server = target(bench, "idle")
    before = resident_kib(server)
    hosts = subprocess.Popen([*client(bench), str(server.port), "idle", str(HOSTS)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    if hosts.stdout.readline() != b"ready\n":
        raise RuntimeError("the hosts could not all connect")
    grown = resident_kib(server) - before
    hosts.communicate()
    server.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return result("nvme.conn.kib", grown / HOSTS, ours=grown / HOSTS)
