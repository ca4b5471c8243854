#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A tap is a port: packets pass between a guest and the host, on any thread, and it comes and goes under traffic."""
import fcntl
import os
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check, skip
from switching import BROADCAST, Guest, Switch, ctl, ctl_refused, rows

ETHERTYPE = 0x88b5
GETFLAGS, SETFLAGS, UP = 0x8913, 0x8914, 1


def in_a_network_of_our_own():
    """This script again, where it may make interfaces and nobody sees them."""
    if len(sys.argv) > 2:
        return
    command = ["unshare", "--net"]
    if os.geteuid():
        command += ["--user", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        skip("no network namespace may be made here")
    if not os.access("/dev/net/tun", os.W_OK):
        skip("no /dev/net/tun here")
    os.execvp(command[0], [*command, sys.executable, os.path.abspath(__file__), sys.argv[1], "inside"])


class Host:
    """The host's end of a tap."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self.socket.settimeout(30)
        request = bytearray(struct.pack("16sH22x", name.encode(), 0))
        fcntl.ioctl(self.socket, GETFLAGS, request)
        flags = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(self.socket, SETFLAGS, struct.pack("16sH22x", name.encode(), flags | UP))
        self.socket.bind((name, ETHERTYPE))
        self.mac = self.socket.getsockname()[4]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def meets(self, guest, text):
        hello = guest.frame(BROADCAST, text)
        guest.send(hello)
        check(self.socket.recv(2048) == hello, f"{text}: the host receives")
        reply = (guest.mac + self.mac + struct.pack(">H", ETHERTYPE) + text.encode()).ljust(60, b"\0")
        self.socket.send(reply)
        while True:
            frame = guest.receive()
            check(frame, f"{text}: the guest receives")
            if frame == reply:  # the kernel greets a new interface with packets of its own
                return


def interfaces():
    return [name for _, name in socket.if_nameindex()]


in_a_network_of_our_own()
for threads in ("1", "3"):
    with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "tap:vsw0,vlan=1", "--threads", threads) as switch, \
            Guest("a.sock", "52:54:00:00:00:0a") as a:
        check(rows("ports", "port")["vsw0"]["state"] == "attached", "the tap is a port")
        with Host("vsw0") as host:
            for i in range(5):
                host.meets(a, f"round {i}")
            heard = rows("addresses", "address")
            check(heard[":".join(f"{byte:02x}" for byte in host.mac)]["port"] == "vsw0", "the host was heard")
            ctl("link", "vsw0", "down")
            a.send(a.frame(BROADCAST, "nobody hears this"))
            ctl("link", "vsw0", "up")
            host.meets(a, "after the cable was out")
        ctl_refused("add", "tap:vsw0,name=again", names=["vsw0"])
        ctl("remove", "vsw0")
        check("vsw0" not in interfaces(), "a tap that was removed is gone")
        for i in range(5):
            ctl("add", f"tap:vsw{i}")
            with Host(f"vsw{i}") as host:
                host.meets(a, f"tap {i}")
                for n in range(50):  # under way while it is removed
                    a.send(a.frame(BROADCAST, f"{n}"))
                ctl("remove", f"vsw{i}")
            a.send(a.frame(BROADCAST, "to nobody"))
            check(interfaces() == ["lo"], "it is gone")
            while a.receive(0):
                pass
        switch.stop()
