#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest's disk over vhost-user, encrypted here, stored by an NVMe/TCP target: neither the wire nor the target's file
holds a block as the guest wrote it, and the guest reads back what it wrote."""
import filecmp
import os
import re
import socket
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import BUILD, COPY, MIB, Scratch, Server, check, copy, key, skip

TARGET = BUILD / "examples" / "nvme-target"
NQN = "nqn.2014-08.org.example:cipher"
SIZE = 4 * MIB


class Target(Server):
    program = TARGET

    def __init__(self, *args):
        super().__init__("--listen", "127.0.0.1:0", "--nqn", NQN, *args, ready=0)
        self.port = int(re.search(r"port (\d+)", self.wait_for("port"))[1])


class Wire:
    """Passes connections on, and keeps all that goes through."""

    def __init__(self, port):
        self.to, self.seen = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.to))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                kept = bytearray()
                self.seen.append(kept)
                threading.Thread(target=self.carry, args=(source, sink, kept), daemon=True).start()

    @staticmethod
    def carry(source, sink, kept):
        try:
            while data := source.recv(1 << 18):
                kept += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def holds(self, what):
        """Whether it has carried one of these, or a part of one that is long enough to be no chance."""
        return any(piece[8:40] in kept for kept in self.seen for piece in what)

    def carried(self):
        return sum(map(len, self.seen))


def blocks():
    """Each different, and none like what a cipher makes."""
    return [f"block {i} of the guest's own words, ".encode() * 16 for i in range(SIZE // 512)]


def path(through):
    """Writes and reads the disk through the whole path; what was seen on the wire."""
    open("stored.raw", "wb").write(b"\0" * SIZE)
    open("back.raw", "wb").write(b"\0" * SIZE)
    with Target("--ns", "file:stored.raw") as target:
        wire = Wire(target.port)
        disk = f"nvme-tcp:127.0.0.1:{wire.port},nqn={NQN}{through}"
        with Server("--socket", "a", "--disk", disk) as server:
            copy("--verify", "file:plain.raw", "vhost_user:a")
            copy("vhost_user:a", "file:back.raw")
            server.stop()
        target.stop()
    check(filecmp.cmp("plain.raw", "back.raw", shallow=False), "the guest reads what it wrote")
    check(wire.carried() > 3 * SIZE, "the data went over the wire")
    return wire


helped = subprocess.run([COPY, "--help"], capture_output=True, text=True).stdout
if "nvme-tcp" not in helped or " crypt " not in helped or not TARGET.exists():
    skip("built without NVMe, or without the crypt filter")

with Scratch():
    plain = [block[:512].ljust(512) for block in blocks()]
    open("plain.raw", "wb").write(b"".join(plain))
    key("k")
    some = plain[::97]

    wire = path(" | crypt:keyfile=k")
    stored = open("stored.raw", "rb").read()
    check(not wire.holds(some), "no plain text on the wire")
    check(not any(block[8:40] in stored for block in some), "no plain text in the target's file")
    open("back.raw", "wb").write(b"\0" * SIZE)
    copy("file:stored.raw | crypt:keyfile=k", "file:back.raw")
    check(filecmp.cmp("plain.raw", "back.raw", shallow=False), "the target's file is the guest's disk, encrypted")

    # Without the filter the same search finds it, so it would have.
    wire = path("")
    check(wire.holds(some), "plain text is found where it is")
