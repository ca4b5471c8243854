#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a port may and may not holds for the packets after the command that said it."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, Guest, Switch, ctl, ctl_refused, rows

count = 0


def sends(sender, to=BROADCAST, vlan=None):
    """A frame like no other, sent."""
    global count
    count += 1
    frame = sender.frame(to, f"number {count}", vlan)
    sender.send(frame)
    return frame


def reaches(sender, receivers, others, to=BROADCAST):
    """One frame comes to these, and only to these: the next one that the others get is a later one."""
    frame = sends(sender, to)
    for receiver in receivers:
        check(receiver.receive() == frame, f"frame {count} reaches {receiver.mac.hex()}")
    for other in others:
        check(other.receive(0) is None, f"frame {count} does not reach {other.mac.hex()}")


def dropped(port, why):
    return rows("stats", "port")[port][why]


with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock",
                       "--port", "vhost-user:c.sock") as switch, \
        Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b, \
        Guest("c.sock", "52:54:00:00:00:0c") as c:
    reaches(a, [b, c], [])

    ctl("set", "b", "vlan=7")
    reaches(a, [c], [b])
    ctl("set", "b", "trunk=1", "vlan=7")
    frame = sends(a)
    check(b.receive() == frame[:12] + b"\x81\x00\x00\x01" + frame[12:], "a trunk's frames have tags")
    check(c.receive() == frame, "an access port's have none")
    ctl("set", "b", "vlan=1", "trunk=off")
    reaches(a, [b, c], [])

    ctl("link", "c", "down")
    reaches(a, [b], [c])
    ctl("link", "c", "up")
    reaches(a, [b, c], [])

    ctl("set", "a", "isolated=on")
    ctl("set", "b", "isolated=on")
    reaches(a, [c], [b])
    reaches(c, [a, b], [])
    ctl("set", "a", "isolated=off")
    ctl("set", "b", "isolated=off")

    nobody = bytes.fromhex("525400ffffff")
    reaches(a, [b, c], [], to=nobody)
    ctl("set", "b", "flood=off")
    reaches(a, [c], [b], to=nobody)
    ctl("set", "b", "flood=on")

    reaches(b, [a, c], [])
    reaches(a, [b], [c], to=b.mac)
    ctl("set", "b", "mirror=c")
    reaches(a, [b, c], [], to=b.mac)
    ctl("set", "b", "mirror=")
    reaches(a, [b], [c], to=b.mac)

    # A static address leads packets astray, and cannot be moved by what is heard.
    ctl("address", "add", "52:54:00:00:00:0b", "1", "c")
    reaches(b, [a, c], [])
    reaches(a, [c], [b], to=b.mac)
    ctl("address", "del", "52:54:00:00:00:0b", "1")
    reaches(b, [a, c], [])
    reaches(a, [b], [c], to=b.mac)

    # Its own address is what it may have; no other is learnt while that is so.
    ctl("set", "a", "addresses=1")
    check("addresses=1" in rows("ports", "port")["a"]["options"], "a limit is shown")
    for limit in 1, 0:
        ctl("set", "a", f"addresses={limit}")
        frame = BROADCAST + bytes.fromhex("525400000001") + a.frame(BROADCAST, "a stranger")[12:]
        a.send(frame)
        check(b.receive() == frame and c.receive() == frame, "a stranger is heard")
        check(("52:54:00:00:00:01" in rows("addresses", "address")) == (not limit), f"addresses={limit}")
    stats = rows("stats", "port")["a"]
    check((stats["addresses"], stats["unlearnt"]) == (2, 1), f"one was not learnt: {stats}")

    ctl("set", "a", "packets=1/1")
    for _ in range(50):
        sends(a, to=b.mac)
    check(dropped("a", "limit") >= 40, f"a limit of one packet a second: {rows('stats', 'port')['a']}")
    ctl("set", "a", "packets=0")
    while b.receive(0):
        pass
    reaches(a, [b], [c], to=b.mac)

    ctl("group", "set", "tenant", "packets=1/1")
    for port in "a", "b":
        ctl("set", port, "group=tenant")
    group = rows("groups", "group")["tenant"]
    check((group["limits"], group["ports"]) == ("packets=1/1", "a b"), f"a group is shown: {group}")
    before = dropped("b", "limit")
    for _ in range(25):
        sends(a, to=b.mac)
        sends(b, to=a.mac)
    check(dropped("a", "limit") >= 60 and dropped("b", "limit") - before >= 20, f"both are held: {rows('stats', 'port')}")
    ctl_refused("group", "del", "tenant", names=["tenant", "2"])
    ctl("group", "set", "tenant", "packets=0")
    while a.receive(0) or b.receive(0):
        pass
    reaches(a, [b], [c], to=b.mac)
    for port in "a", "b":
        ctl("set", port, "group=")
    ctl("group", "del", "tenant")

    ctl("set", "a", "storm=1/1")
    for _ in range(50):
        sends(a)
    check(dropped("a", "storm") >= 40, f"a limit of one broadcast a second: {rows('stats', 'port')['a']}")
    while b.receive(0) or c.receive(0):
        pass
    reaches(a, [b], [c], to=b.mac)
    switch.stop()
