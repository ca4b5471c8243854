#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A switch that was killed comes back at the same sockets, and packets pass again."""
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, CONTROL, Guest, Switch

PORTS = ["--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--threads", "2"]

with Scratch():
    for _ in range(3):
        with Switch(*PORTS) as switch, Guest("a.sock", "52:54:00:00:00:0a") as a, \
                Guest("b.sock", "52:54:00:00:00:0b") as b:
            a.send(a.frame(BROADCAST, "anybody?"))
            check(b.receive() == a.frame(BROADCAST, "anybody?"), "packets pass")
            switch.send(signal.SIGKILL)
            switch.process.wait()
            check(a.socket.recv(1) == b"", "the front end sees the end of the connection")
        check(os.path.exists("a.sock") and os.path.exists(CONTROL), "a killed switch leaves its sockets")
    with Switch(*PORTS) as switch:
        # One guest goes in mid-flight, the other does not notice.
        with Guest("b.sock", "52:54:00:00:00:0b") as b:
            for i in range(5):
                with Guest("a.sock", "52:54:00:00:00:0a") as a:
                    a.send(a.frame(BROADCAST, f"again {i}"))
                    check(b.receive() == a.frame(BROADCAST, f"again {i}"), "packets pass after a reconnect")
        switch.stop()
