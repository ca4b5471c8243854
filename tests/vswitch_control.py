#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ports are added, changed and removed while the switch runs, and no control client can disturb it."""
import os
import random
import socket
import stat
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check, front_end
from switching import CONTROL, Switch, ctl, ctl_json, ctl_refused, ctl_run, rows

MAC = "52:54:00:00:00:01"
REFUSED = [
    (["nonsense"], ["nonsense", "ports", "stats"]),
    (["add"], ["add PORT"]),
    (["add", "nowhere"], ["nowhere", "vhost-user"]),
    (["add", "vhost-user:"], ["path"]),
    (["add", "tape:x"], ["tape"]),
    (["add", "vhost-user:c.sock,vlan=0"], ["vlan=0", "1 to 4094"]),
    (["add", "vhost-user:c.sock,pairs=0"], ["pairs"]),
    (["add", "vhost-user:a.sock,name=a2"], ["a.sock", "listens"]),
    (["add", "vhost-user:/elsewhere/a.sock"], ["'a'", "already"]),
    (["add", "vhost-user:nowhere/c.sock"], ["nowhere/c.sock"]),
    (["add", "vhost-user:c.sock,mirror=c"], ["mirror"]),
    (["add", "vhost-user:c.sock,mirror=zzz"], ["zzz"]),
    (["remove"], ["remove NAME"]),
    (["remove", "zzz"], ["zzz"]),
    (["remove", "a", "b"], ["remove NAME"]),
    (["remove", "b"], ["mirror", "a"]),
    (["set", "a"], ["KEY=VALUE"]),
    (["set", "zzz", "vlan=1"], ["zzz"]),
    (["set", "a", "vlan"], ["vlan", "KEY=VALUE"]),
    (["set", "a", "vlan=12", "colour=red"], ["colour", "isolated"]),
    (["set", "a", "vlan=12", "mirror=a"], ["own mirror"]),
    (["set", "a", "trunk=1+"], ["trunk"]),
    (["set", "a", "trunk=9-1"], ["trunk"]),
    (["set", "a", "packets=fast"], ["packets=fast"]),
    (["set", "a", "packets=18446744073709551615G"], ["packets"]),
    (["set", "a", *["vlan=1"] * 40], ["KEY=VALUE"]),
    (["link", "a"], ["up|down"]),
    (["link", "a", "sideways"], ["sideways", "up or down"]),
    (["address", "add", MAC, "10"], ["address add MAC VLAN NAME"]),
    (["address", "add", MAC, "4095", "a"], ["4095"]),
    (["address", "add", "52:54:00:00:00", "1", "a"], ["52:54:00:00:00"]),
    (["address", "add", MAC + ":02", "1", "a"], [MAC + ":02"]),
    (["address", "add", MAC, "1", "zzz"], ["zzz"]),
    (["address", "rub", MAC, "1"], ["address del"]),
    (["set", "a", "group=zzz"], ["zzz"]),
    (["set", "a", "addresses=many"], ["addresses=many"]),
    (["group", "set", "g"], ["KEY=VALUE"]),
    (["group", "set", "g", "vlan=1"], ["vlan", "packets="]),
    (["group", "set", "g", "packets=fast"], ["packets=fast"]),
    (["group", "set", "a g", "packets=1"], ["packets"]),
    (["group", "del", "zzz"], ["zzz"]),
]


def dial():
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(CONTROL)  # which waits for a place in the backlog
    peer.settimeout(60)
    return peer


def ask(peer, line):
    """A reply's first line."""
    peer.sendall(line)
    return peer.makefile("rb").readline()


def ports_come_and_go():
    with front_end("a.sock"):
        check(rows("ports", "port")["a"]["state"] == "connected", "a has a front end")
    ctl("add", "vhost-user:c.sock,name=third,pairs=2,trunk=10+20-29,isolated=on,packets=1M/64K")
    front_end("c.sock").close()
    row = rows("ports", "port")["third"]
    check(row["vlan"] == "1 trunk=10+20-29", f"the trunk's VLANs: {row}")
    check(row["options"] == "isolated=on packets=1000000/64000", f"its options: {row}")
    peer = front_end("c.sock")
    ctl("remove", "third")
    check(peer.recv(1) == b"", "the front end of a port that was removed sees the end of the connection")
    check(not os.path.exists("c.sock"), "its socket is gone")
    check("third" not in rows("ports", "port"), "it is in no list")
    ctl("add", "vhost-user:c.sock")
    ctl("remove", "c")


def ports_change():
    ctl("set", "b", "vlan=20", "learn=off", "flood=off", "storm=1K")
    row = rows("ports", "port")["b"]
    check(row["vlan"] == "20" and row["options"] == "learn=off flood=off storm=1000", f"b as it was set: {row}")
    ctl("set", "b", "vlan=10", "learn=on", "flood=on", "storm=0")
    check(rows("ports", "port")["b"]["options"] == "", "and set back")
    ctl("link", "b", "down")
    check(rows("ports", "port")["b"]["state"] == "down", "b's cable is out")
    ctl("link", "b", "up")


def addresses_are_set():
    ctl("address", "add", MAC, "10", "a")
    row = rows("addresses", "address")[MAC]
    check(row["vlan"] == 10 and row["port"] == "a" and row["kind"] == "static", f"a static address: {row}")
    ctl("address", "del", MAC, "10")
    check(MAC not in rows("addresses", "address"), "it was taken back")


def bad_commands_change_nothing():
    before = ctl("ports")
    for words, names in REFUSED:
        ctl_refused(*words, names=names)
    check(ctl("ports") == before, "refused commands changed something")
    check(not os.path.exists("c.sock"), "a refused port leaves no socket")
    check(ctl_run("ports\nstats").returncode == 2, "a command is one line")


def hostile_clients():
    check(stat.S_IMODE(os.stat(CONTROL).st_mode) == 0o600, "only its owner may use the control socket")
    silent = [dial() for _ in range(8)]
    for peer in silent[:4]:
        peer.sendall(b"por")
    deaf = dial()  # asks for ever and reads nothing
    deaf.setblocking(False)
    try:
        while deaf.send(b"stats\n" * 1000):
            pass
    except BlockingIOError:
        pass
    with dial() as peer:
        check(ask(peer, b"x" * 5000).startswith(b"ERR a line has"), "an endless line is refused")
    for line in (b"\0\n", b"ports\r\n", b"po\xff\x01rts\n", b"\n", b" \n", b"json\n", b"json json ports\n"):
        with dial() as peer:
            check(ask(peer, line).startswith(b"ERR "), f"{line} is refused")
            check(ask(peer, b"ports\n").startswith(b"OK "), f"{line}: the next line is served")
    with dial() as peer:
        for byte in b"ports\n":
            peer.sendall(bytes([byte]))
        check(peer.recv(3) == b"OK ", "a line may come byte by byte")
    with dial() as peer:
        peer.sendall(b"ports\n" * 50)
        replies = peer.makefile("rb")
        for _ in range(50):
            length = int(replies.readline().split()[1])
            check(len(replies.read(length)) == length, "each of many lines in one write is answered")
    noise = random.Random(1)
    for _ in range(200):
        with dial() as peer:
            peer.sendall(bytes(noise.randrange(256) for _ in range(noise.randrange(300))))
    return silent, deaf


def too_many_clients(silent):
    """More than are served at a time: the others wait until the silent ones have been dropped."""
    crowd = [dial() for _ in range(10)]
    with dial() as peer:
        check(ask(peer, b"show\n").startswith(b"OK "), "who waited is served")
    for peer in silent:
        check(peer.recv(1) == b"", "who says nothing is dropped")
    for peer in silent + crowd:
        peer.close()


with Scratch(), Switch("--port", "vhost-user:a.sock,vlan=10,mirror=b", "--port", "vhost-user:b.sock,vlan=10",
                       "--threads", "2", "--control-timeout", "2") as switch:
    ports_come_and_go()
    ports_change()
    addresses_are_set()
    bad_commands_change_nothing()
    mute, unread = hostile_clients()
    too_many_clients(mute)
    # A client that goes while its port drains.
    ctl("add", "vhost-user:c.sock")
    with front_end("c.sock") as guest:
        with dial() as hasty:
            hasty.sendall(b"remove c\n")
        check(guest.recv(1) == b"", "the port is removed all the same")
    check(len(ctl_json("show")["ports"]) == 2, "and the switch lives")
    switch.stop()
    unread.close()
    check(not os.path.exists(CONTROL) and not os.path.exists("a.sock"), "no socket is left behind")
