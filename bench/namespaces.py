# SPDX-License-Identifier: MIT
"""A network namespace of the benches' own, and what is in it; all of it goes with the process that holds it."""

import os
import subprocess

from servers import Missing


class Namespace:
    """Runs the shell commands that furnish it, once."""

    def __init__(self, bench, *furnish):
        self.bench = bench
        if os.geteuid():
            raise Missing("only root may make interfaces and what it takes to use them past the stack")
        script = "set -e; sysctl -qw net.ipv6.conf.default.disable_ipv6=1; ip link set lo up\n" + "\n".join(furnish)
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", script + "\necho ready; exec sleep infinity"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        bench.children.append(self)
        said = self.process.stdout.readline().strip()
        if said != "ready":
            raise Missing(f"no network namespace of our own: {said}")
        self.enter = ["nsenter", "--target", str(self.process.pid), "--net"]

    def received(self, interface):
        """Packets that came in there."""
        with open(f"/proc/{self.process.pid}/net/dev") as f:
            for line in f:
                name, _, counters = line.partition(":")
                if name.strip() == interface:
                    return int(counters.split()[1])
        raise Missing(f"no interface {interface} in our namespace")

    def stop(self):
        self.bench.children.remove(self)
        self.process.kill()
        self.process.communicate()


def veth(bench, *names):
    """For each name a pair of interfaces, NAME and NAME-far, both up."""
    return Namespace(bench, *(f"ip link add {n} type veth peer name {n}-far; ip link set {n} up; ip link set {n}-far up"
                              for n in names))
