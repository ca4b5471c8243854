#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A port leads to another switch: packets pass between both's guests, also after that one was killed and came back."""
import contextlib
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, Server, check
from switching import BROADCAST, VSWITCH, Guest, Switch, rows


class Far(Server):
    """The other switch."""

    program, ready_when = VSWITCH, "ready, "


def passes(sender, receiver, text):
    """What is sent before both ends of the port have met is lost, so it is sent until it comes."""
    frame = sender.frame(BROADCAST, text)
    for _ in range(300):
        sender.send(frame)
        got = receiver.receive(0.1)
        if got:
            break
    check(got == frame, f"{text}: it arrives")
    while receiver.receive(0):
        pass


FAR = ["--port", "vhost-user:up.sock", "--port", "vhost-user:a.sock"]
NEAR = ["--port", "vhost_user_net:up.sock", "--port", "vhost-user:b.sock", "--threads", "2"]

with Scratch(), contextlib.ExitStack() as stack:
    far = stack.enter_context(Far(*FAR))
    near = stack.enter_context(Switch(*NEAR))
    b = stack.enter_context(Guest("b.sock", "52:54:00:00:00:0b"))
    for i in range(3):
        with Guest("a.sock", "52:54:00:00:00:0a") as a:
            passes(a, b, f"round {i}, from the far switch")
            passes(b, a, f"round {i}, to the far switch")
            check(rows("ports", "port")["up"]["state"] == "attached", "the other switch is a port")
        far.send(signal.SIGKILL)
        far.process.wait()
        b.send(b.frame(BROADCAST, "to nobody"))
        far = stack.enter_context(Far(*FAR))
    near.stop()
    far.stop()
