#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--age, --max-ports and --max-addresses: what is not heard from is forgotten, and what is full says so or goes on."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, Guest, Switch, ctl, ctl_refused, rows

with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--max-ports", "2",
                       "--max-addresses", "16", "--age", "1") as switch:
    ctl_refused("add", "vhost-user:c.sock", names=["2"])
    check(not os.path.exists("c.sock"), "a port for which there is no room leaves no socket")
    with Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b:
        a.send(a.frame(BROADCAST, "here I am"))
        check(b.receive() is not None, "a broadcast")
        ctl("address", "add", "52:54:00:00:00:99", "1", "b")
        while "52:54:00:00:00:0a" in rows("addresses", "address"):
            pass  # for a second: then it is forgotten
        check("52:54:00:00:00:99" in rows("addresses", "address"), "a static address stays")
        for i in range(100):  # more senders than there is room for: their packets go on all the same
            frame = BROADCAST + bytes([2, 0, 0, 0, 1, i]) + a.frame(BROADCAST, f"sender {i}")[12:]
            a.send(frame)
            check(b.receive() == frame, f"sender {i} is heard")
        check(len(rows("addresses", "address")) <= 16, "there is room for so many addresses only")
        check("52:54:00:00:00:99" in rows("addresses", "address"), "and the static one still stays")
    ctl("remove", "b")
    ctl("add", "vhost-user:c.sock")
    switch.stop()
