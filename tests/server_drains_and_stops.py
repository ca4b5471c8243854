#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGTERM and SIGINT end the server with status 0: idle, connected, and with requests under way."""
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import COPY, MIB, Scratch, Server, check, front_end, image


def under_way(server):
    """How many requests its queue holds."""
    server.send(signal.SIGUSR1)
    line = next(line for line in server.process.stdout if "in flight" in line)
    return int(re.search(r"(\d+) in flight", line)[1])


with Scratch():
    image("a.raw", 4 * MIB)
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server("--socket", "s", "--disk", "file:a.raw") as server:
            server.stop(number)
        check(not os.path.exists("s"), "the socket is gone")

    for options in ([], ["--threads", "3", "--queues", "4"], ["--poll", "adaptive"], ["--poll", "busy"]):
        with Server("--socket", "s", "--disk", "file:a.raw", *options) as server, front_end("s") as peer:
            server.stop()
            check(peer.recv(1) == b"", f"{options}: the front end sees the end of the connection")

    # Requests wait in the throttle when the signal comes: they are served, not dropped.
    image("out.raw", 4 * MIB, b"-")
    with Server("--socket", "s", "--disk", "file:a.raw | throttle:iops=50,iops-burst=1") as server:
        reader = subprocess.Popen([COPY, "--depth=8", "--chunk=4", "vhost_user:s", "file:out.raw"],
                                  stderr=subprocess.DEVNULL)
        while not under_way(server):
            pass
        server.stop()
        reader.kill()
        reader.wait()

    # A socket file that a killed server left behind is no obstacle.
    with Server("--socket", "s", "--disk", "file:a.raw") as server:
        server.send(signal.SIGKILL)
        server.process.wait()
    check(os.path.exists("s"), "a killed server leaves its socket")
    with Server("--socket", "s", "--disk", "file:a.raw") as server:
        front_end("s").close()
        server.stop()
