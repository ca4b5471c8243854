# SPDX-License-Identifier: MIT
"""The figures of the NVMe/TCP target, over loopback: its speed beside a plain echo's, and what an idle host costs."""

import json
import re
import resource
import subprocess
import time

from figures import figure, paired, result
from servers import CLIENT_CORE, Missing, Server

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


def client(bench):
    return ["taskset", "-c", str(CLIENT_CORE), bench.program("bench", "nvme_tcp")]


def reads(bench, server, effort, *kind):
    def measure():
        done = subprocess.run([*client(bench), str(server.port), str(DEPTH), str(effort.slice), *kind],
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
