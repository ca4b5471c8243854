#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A switch that was killed comes back at the same sockets, and packets pass again; guests keep their rings."""
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, CONTROL, SIZE, Guest, Switch, rows

PORTS = ["--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--threads", "2"]


def kill(switch):
    switch.send(signal.SIGKILL)
    switch.process.wait()


def same_rings(base):
    """What a front end says of where they stand does not matter, since the rings themselves tell."""
    with Switch(*PORTS) as switch, Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b:
        for i in range(3):
            a.send(a.frame(BROADCAST, f"first {i}"))
            check(b.receive() == a.frame(BROADCAST, f"first {i}"), "packets pass")
        kill(switch)
        for life in range(2):
            a.socket.close()
            b.socket.close()
            for i in range(SIZE):
                a.post(a.frame(BROADCAST, f"nobody is there {life} {i}"))
            with Switch(*PORTS) as switch:
                b.come("b.sock", base=base)
                a.come("a.sock", base=base)
                for i in range(SIZE):
                    check(a.tx.take(30), "what was sent while no switch was there is given back")
                    check(b.receive() == a.frame(BROADCAST, f"nobody is there {life} {i}"), "and arrives, in order")
                for i in range(SIZE + 3):
                    a.send(a.frame(BROADCAST, f"more {i}"))
                stats = rows("stats", "port")["b"]
                check(stats["delivered"] == 2 * SIZE and stats["no-buffer"] == 3, f"no buffer of b's is lost: {stats}")
                for i in range(SIZE):
                    check(b.receive() == a.frame(BROADCAST, f"more {i}"), "each comes once")
                check(b.receive(0) is None and a.tx.take(0) is None, "and nothing else")
                kill(switch)


with Scratch():
    for _ in range(3):
        with Switch(*PORTS) as switch, Guest("a.sock", "52:54:00:00:00:0a") as a, \
                Guest("b.sock", "52:54:00:00:00:0b") as b:
            a.send(a.frame(BROADCAST, "anybody?"))
            check(b.receive() == a.frame(BROADCAST, "anybody?"), "packets pass")
            kill(switch)
            check(a.socket.recv(1) == b"", "the front end sees the end of the connection")
        check(os.path.exists("a.sock") and os.path.exists(CONTROL), "a killed switch leaves its sockets")
    same_rings(lambda ring: ring.used)  # as QEMU finds it in guest memory
    same_rings(lambda ring: 0)  # as DPDK says each time
    same_rings(lambda ring: ring.used + 2)  # what a server had taken before it died
    with Switch(*PORTS) as switch:
        # One guest goes in mid-flight, the other does not notice.
        with Guest("b.sock", "52:54:00:00:00:0b") as b:
            for i in range(5):
                with Guest("a.sock", "52:54:00:00:00:0a") as a:
                    a.send(a.frame(BROADCAST, f"again {i}"))
                    check(b.receive() == a.frame(BROADCAST, f"again {i}"), "packets pass after a reconnect")
        switch.stop()
