# SPDX-License-Identifier: MIT
"""The servers that are measured, ours and the peer's, and the one client for both."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

CLIENT_CORE, SERVER_CORE = 0, 1
QUEUE_SIZE = 1024  # enough for a queue depth of 128 in either ring


class Missing(Exception):
    """Something that a figure needs is not there; it is left out, with the reason."""


class Bench:
    """Where programs are, and a directory for sockets and images."""

    def __init__(self, build, work):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix="vio-bench.", dir=work)
        self.children = []

    def program(self, *path):
        full = os.path.join(self.build, *path)
        if not os.access(full, os.X_OK):
            raise Missing(f"{full} is not built")
        return full

    def path(self, name):
        return os.path.join(self.dir, name)

    def dpdk_env(self):
        """Has DPDK's programs keep their files here."""
        return {**os.environ, "RUNTIME_DIRECTORY": self.dir}

    def close(self):
        for child in list(self.children):
            child.stop()
        shutil.rmtree(self.dir)


class Server:
    """A server process on the server's core. `prefix` goes in front: strace and the like."""

    def __init__(self, bench, name, command, sock, prefix=(), env=None):
        self.bench, self.name, self.sock = bench, name, sock
        self.log = open(bench.path(name + ".log"), "wb")
        command = ["taskset", "-c", str(SERVER_CORE), *prefix, *command]
        try:
            self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                            env={**os.environ, **(env or {})})
        except FileNotFoundError as e:
            raise Missing(f"{e.filename} is not installed") from e
        bench.children.append(self)
        self.wait_for_socket()

    def wait_for_socket(self):
        for _ in range(1000):
            probe = socket.socket(socket.AF_UNIX)
            try:
                probe.connect(self.sock)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
            finally:
                probe.close()
        with open(self.log.name, "rb") as f:
            raise Missing(f"{self.name} does not start: {f.read().decode().strip()}")

    def pid(self):
        """The server's own pid: the child of strace where there is one."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            children = f.read().split()
        return int(children[0]) if children else self.process.pid

    def cpu_seconds(self):
        """What all its threads have run so far."""
        total, base = 0, f"/proc/{self.pid()}/task"
        for task in os.listdir(base):
            with open(f"{base}/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        return total / 1e9

    def stop(self):
        self.bench.children.remove(self)
        if self.process.poll() is None:
            pid = self.pid()
            os.kill(pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=3)
            except subprocess.TimeoutExpired:  # qemu-storage-daemon at times waits for its export for ever
                os.kill(pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


def ours(bench, name, disk, poll="adaptive", **kw):
    """Our example server."""
    sock = bench.path(name + ".sock")
    command = [bench.program("examples", "vhost-user-blk"), "--socket", sock, "--disk", disk,
               "--queue-size", str(QUEUE_SIZE), "--poll", poll]
    return Server(bench, name, command, sock, **kw)


def peer(bench, name, blockdev, poll=True, **kw):
    """qemu-storage-daemon, in an I/O thread that polls as adaptively as ours."""
    sock = bench.path(name + ".sock")
    poll_ns = 50000 if poll else 0
    command = ["qemu-storage-daemon", "--object", f"iothread,id=io0,poll-max-ns={poll_ns}",
               "--blockdev", blockdev + ",node-name=d0", "--export",
               f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path={sock},"
               "writable=on,num-queues=1,iothread=io0"]
    return Server(bench, name, command, sock, **kw)


def load(bench, server, **options):
    """Runs the client against a server; its JSON object. Options are load's, _ for -."""
    command = ["taskset", "-c", str(CLIENT_CORE), bench.program("bench", "load"), "--socket", server.sock]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"load against {server.name}: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)
