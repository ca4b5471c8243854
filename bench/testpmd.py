# SPDX-License-Identifier: MIT
"""DPDK's test program: the guests of all switches that are measured, and what some of them are compared with."""

import re
import subprocess
import time

from servers import Missing

RING = 1024
MEMORY = 256  # MiB, without huge pages: what shares it needs none
# More than a poll takes at once, and fewer than a ring holds, so that nothing need be dropped.
BURSTS_UNDER_WAY = 8


class Testpmd:
    """A testpmd that forwards on one core and is told what to do line by line."""

    def __init__(self, bench, name, core, vdevs, *options, prefix=()):
        self.bench, self.ports, self.lines = bench, len(vdevs), []
        command = [*prefix, "stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", str(MEMORY), "--no-pci",
                   "--no-telemetry", "--file-prefix", name, "--force-max-simd-bitwidth=512",
                   "--lcores", f"0@{core},1@{core}"]
        for vdev in vdevs:
            command += ["--vdev", vdev]
        command += ["--", "-i", "--nb-cores=1", "--total-num-mbufs=16384", "--no-flush-rx", f"--rxd={RING}",
                    f"--txd={RING}", *options]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True, env=bench.dpdk_env())
        except FileNotFoundError as e:
            raise Missing(f"{e.filename} is not installed") from e
        bench.children.append(self)
        self.counters("RX-packets")

    def pid(self):
        return self.process.pid

    def tell(self, command, until, times=1):
        """What it prints from the command on, up to the so-manieth line that has `until`."""
        del self.lines[:-20]
        start = len(self.lines)
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        while times:
            line = self.process.stdout.readline()
            if not line:
                raise Missing("dpdk-testpmd ended: " + "".join(self.lines[-5:]).strip())
            self.lines.append(line)
            times -= until in line
        return "".join(self.lines[start:])

    def counters(self, name):
        """A counter of each port."""
        text = self.tell("show port stats all", "Tx-pps", self.ports)
        return [int(n) for n in re.findall(rf"\b{name}: *(\d+)", text)]

    def start(self, first=0):
        """Forwards, or sends that many bursts from each port beforehand."""
        self.tell(f"start tx_first {first}" if first else "start", "packets/burst=")

    def pause(self):
        self.tell("stop", "Done.")

    def stop(self):
        self.bench.children.remove(self)
        self.process.kill()  # asked to end, it would wait for its peers
        self.process.communicate()


def rate(effort, count):
    """What count() goes up by in a second."""
    time.sleep(effort.slice / 8)
    before, start = count(), time.monotonic()
    time.sleep(effort.slice)
    after, end = count(), time.monotonic()
    return (after - before) / (end - start)


class Circle:
    """Two ports of one testpmd on the first core: two guests, and packets that circulate between them."""

    def __init__(self, bench, name, core, sockets, options):
        macs = ["52:54:00:00:00:0a", "52:54:00:00:00:0b"]
        vdevs = [f"net_virtio_user{i},path={sockets[i]},mac={macs[i]},queue_size={RING},{options}" for i in (0, 1)]
        self.guests = Testpmd(bench, "guests-" + name, core, vdevs, *(f"--eth-peer={i},{macs[1 - i]}" for i in (0, 1)))
        self.started = False

    def begin(self):
        """What is sent to a port whose queues do not run yet is dropped: all of it only when the way is open."""
        for _ in range(100):
            self.guests.start(1)
            time.sleep(0.05)
            self.guests.pause()
            if all(self.guests.counters("RX-packets")):
                self.guests.start(BURSTS_UNDER_WAY)
                self.guests.pause()
                return
        raise RuntimeError("no packets come through from guest to guest")

    def rate(self, effort):
        """Packets a second that the guests receive."""
        if not self.started:
            self.begin()
            self.started = True
        self.guests.start()
        packets = rate(effort, lambda: sum(self.guests.counters("RX-packets")))
        self.guests.pause()
        return packets

    def stop(self):
        self.guests.stop()
