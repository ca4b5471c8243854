# SPDX-License-Identifier: MIT
"""What the switch's tests share: a switch, its control client, and guests with one network card."""
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import subprocess

from serving import BUILD, Server, check

VSWITCH = BUILD / "examples" / "vswitch"
CONTROL = "control.sock"


class Switch(Server):
    """A running switch with a control socket; it is ready when all ports are."""

    program, ready_when = VSWITCH, "ready, "

    def __init__(self, *args):
        super().__init__("--control", CONTROL, *args)


def ctl_run(*args):
    return subprocess.run([VSWITCH, "ctl", "--control", CONTROL, *args], capture_output=True, text=True, timeout=60)


def ctl(*args):
    """What a command that succeeds prints."""
    done = ctl_run(*args)
    check(done.returncode == 0, f"ctl {args}: status {done.returncode}: {done.stderr}")
    return done.stdout


def ctl_json(*args):
    return json.loads(ctl("--json", *args))


def ctl_refused(*args, names):
    """A command that is refused in a sentence that names these."""
    done = ctl_run(*args)
    check(done.returncode == 1, f"ctl {args}: status {done.returncode}, expected 1: {done.stdout} {done.stderr}")
    for name in names:
        check(name in done.stderr, f"ctl {args}: the sentence does not name '{name}': {done.stderr}")


def rows(command, key):
    """A command's table by one of its columns."""
    return {row[key]: row for row in ctl_json(command)}


GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_NUM, SET_ADDR, SET_BASE, SET_KICK, SET_CALL, SET_ENABLE = 8, 9, 10, 12, 13, 18
VERSION_1, PROTOCOL = 1 << 32, 1 << 30
HEADER = 12  # of a packet: struct virtio_net_hdr_mrg_rxbuf
SIZE = 64  # of a ring
BUFFER = 2048
QUEUE = 0x40000  # of the memory, each: descriptors, available ring, used ring, buffers


class Ring:
    """A split virtqueue of one-descriptor buffers: buffer i is descriptor i."""

    def __init__(self, guest, index, writable):
        self.guest, self.index, self.at = guest, index, index * QUEUE
        self.avail = self.used = 0
        self.kick, self.call = os.eventfd(0), os.eventfd(0, os.EFD_NONBLOCK)
        for i in range(SIZE):
            guest.memory[self.at + 16 * i:self.at + 16 * i + 16] = struct.pack(
                "<QIHH", self.buffer(i), BUFFER, 2 if writable else 0, 0)
        if writable:
            for i in range(SIZE):
                self.post(i)

    def buffer(self, i):
        return self.at + 0x8000 + i * BUFFER

    def start(self, base):
        say = self.guest.say
        say(SET_NUM, struct.pack("<II", self.index, SIZE))
        say(SET_BASE, struct.pack("<II", self.index, base))
        say(SET_ADDR, struct.pack("<IIQQQQ", self.index, 0, self.at, self.at + 0x2000, self.at + 0x1000, 0))
        say(SET_CALL, struct.pack("<Q", self.index), [self.call])
        say(SET_KICK, struct.pack("<Q", self.index), [self.kick])

    def post(self, i):
        memory, at = self.guest.memory, self.at + 0x1000
        memory[at + 4 + 2 * (self.avail % SIZE):at + 6 + 2 * (self.avail % SIZE)] = struct.pack("<H", i)
        self.avail = (self.avail + 1) & 0xffff
        memory[at + 2:at + 4] = struct.pack("<H", self.avail)
        os.eventfd_write(self.kick, 1)

    def take(self, seconds):
        """The next used buffer and its length; None if there is none for so long."""
        memory, at = self.guest.memory, self.at + 0x2000
        while struct.unpack("<H", memory[at + 2:at + 4])[0] == self.used:
            if not select.select([self.call], [], [], seconds)[0]:
                return None
            os.eventfd_read(self.call)
        entry = at + 4 + 8 * (self.used % SIZE)
        self.used = (self.used + 1) & 0xffff
        return struct.unpack("<II", memory[entry:entry + 8])

    def close(self):
        os.close(self.kick)
        os.close(self.call)


class Guest:
    """A virtual machine with one network card, reached by a vhost-user socket: it has one pair of queues."""

    def __init__(self, path, mac, connection=None, seals=0):
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, 2 * QUEUE)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
        self.memory = mmap.mmap(self.fd, 2 * QUEUE)
        self.rx, self.tx = Ring(self, 0, True), Ring(self, 1, False)
        self.come(path, connection)

    def come(self, path, connection=None, base=lambda ring: 0):
        """Connects, with its memory and its rings as they are; base says of a ring where it stands."""
        self.socket = connection or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        if not connection:
            self.socket.connect(path)
        self.offered = self.ask(GET_FEATURES)
        self.say(SET_OWNER)
        self.say(SET_FEATURES, struct.pack("<Q", VERSION_1))
        self.say(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, 2 * QUEUE, 0, 0), [self.fd])
        self.rx.start(base(self.rx))
        self.tx.start(base(self.tx))
        self.ask(GET_FEATURES)  # all that was said before has been dealt with

    def say(self, request, payload=b"", fds=()):
        socket.send_fds(self.socket, [struct.pack("<III", request, 1, len(payload)) + payload], fds)

    def ask(self, request):
        self.say(request)
        reply = self.socket.recv(20, socket.MSG_WAITALL)
        check(len(reply) == 20, f"an answer to message {request}")
        return struct.unpack("<12xQ", reply)[0]

    def post(self, frame):
        slot = self.tx.avail % SIZE
        at = self.tx.buffer(slot)
        self.memory[at:at + HEADER + len(frame)] = bytes(HEADER) + frame
        self.memory[self.tx.at + 16 * slot + 8:self.tx.at + 16 * slot + 12] = struct.pack("<I", HEADER + len(frame))
        self.tx.post(slot)

    def send(self, frame):
        self.post(frame)
        check(self.tx.take(30), "a packet that was sent is given back")

    def frame(self, to, text, vlan=None):
        """An Ethernet frame of a local experiment."""
        tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
        return (to + self.mac + tag + b"\x88\xb5" + text.encode()).ljust(60, b"\0")

    def receive(self, seconds=30):
        """The next frame, or None if none comes for so long."""
        used = self.rx.take(seconds)
        if not used:
            return None
        at = self.rx.buffer(used[0])
        frame = self.memory[at + HEADER:at + used[1]]
        self.rx.post(used[0])
        return frame

    def close(self):
        self.socket.close()
        self.rx.close()
        self.tx.close()
        self.memory.close()
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


BROADCAST = b"\xff" * 6
