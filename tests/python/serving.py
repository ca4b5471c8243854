# SPDX-License-Identifier: MIT
"""What the server's tests share: a scratch directory, a server in it, a front end's first words."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1]).resolve()
SERVER = BUILD / "examples" / "vhost-user-blk"
COPY = BUILD / "examples" / "copy"
MIB = 1 << 20


def skip(why):
    print(why)
    sys.exit(77)


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


class Scratch:
    """A temporary directory, the working directory as long as it lasts."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="virtio-offload-test.")
        os.chdir(self.path)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("failed: ended by SIGTERM"))
        return self

    def __exit__(self, *_):
        os.chdir("/")
        shutil.rmtree(self.path)


def image(name, size=MIB, fill=None):
    """An image whose content depends on its name, so that two are never taken for each other."""
    seed = name.encode() if fill is None else fill
    pathlib.Path(name).write_bytes((seed * (size // len(seed) + 1))[:size])


def key(name, size=64):
    pathlib.Path(name).write_bytes(bytes(range(size)))
    os.chmod(name, 0o600)


class Server:
    """A running server; on leaving, it must have been stopped."""

    program, ready_when = SERVER, "queues: "

    def __init__(self, *args, ready=1):
        self.process = subprocess.Popen([self.program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        for _ in range(ready):
            self.wait_for(self.ready_when)

    def wait_for(self, text):
        """The next line of stderr that has text."""
        for line in self.process.stderr:
            if text in line:
                return line
        self.process.wait()
        sys.exit(f"failed: the server ended with {self.process.returncode} before it said '{text}'")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Its stdout, after it has ended as it should."""
        self.send(number)
        out, err = self.process.communicate(timeout=60)
        check(self.process.returncode == 0, f"status {self.process.returncode} after signal {number}: {err}")
        return out


GET_FEATURES = 1


def greet(peer):
    """One message there and its answer back."""
    peer.settimeout(60)
    peer.sendall(struct.pack("<III", GET_FEATURES, 1, 0))
    reply = peer.recv(20, socket.MSG_WAITALL)
    check(len(reply) == 20 and struct.unpack("<I", reply[:4])[0] == GET_FEATURES, "an answer to GET_FEATURES")
    return peer


def front_end(path):
    """A connection that works."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(path)
    return greet(peer)


def copy(*args, status=0):
    done = subprocess.run([COPY, "--quiet", *args], capture_output=True, text=True, timeout=120)
    check(done.returncode == status, f"copy {args}: status {done.returncode}, expected {status}: {done.stderr}")
    return done.stderr
