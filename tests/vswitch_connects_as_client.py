#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""client=on: the switch connects to the front end's socket, when there is one, and again when it went."""
import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, Guest, Switch, ctl, rows

with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock,client=on") as switch, \
        Guest("a.sock", "52:54:00:00:00:0a") as a:
    check(not os.path.exists("b.sock"), "a client makes no socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(60)
        listener.bind("b.sock")
        listener.listen()
        for i in range(3):
            with Guest("b.sock", "52:54:00:00:00:0b", listener.accept()[0]) as b:
                a.send(a.frame(BROADCAST, f"round {i}"))
                check(b.receive() == a.frame(BROADCAST, f"round {i}"), "packets pass")
        while rows("ports", "port")["b"]["state"] == "connected":
            pass
    ctl("remove", "b")
    check(os.path.exists("b.sock"), "a client leaves the front end's socket alone")
    switch.stop()
