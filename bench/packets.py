# SPDX-License-Identifier: MIT
"""The figures of what lies between two guests: on a core of its own, it polls, and guests feed it from the other."""

import json
import os
import re
import subprocess

from figures import figure, paired, result
from namespaces import veth
from servers import CLIENT_CORE, SERVER_CORE, Missing, Server
from switches import OpenVSwitch, freeze, our_switch, sockets, testpmd_vhost, thaw
from testpmd import RING, Circle, Testpmd, rate

# As a kernel's driver would have it.
SPLIT = "in_order=0,mrg_rxbuf=1"
PACKED = SPLIT + ",packed_vq=1"


def cycles_a_second():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"cpu MHz\s*: ([\d.]+)", f.read())
    if not found:
        raise Missing("/proc/cpuinfo does not say how fast the CPU is")
    return float(found[1]) * 1e6


def cycles(device, guests, effort):
    """Cycles of the device's core for each packet that the guests received."""
    def measure():
        thaw(device)
        packets = guests.rate(effort)
        freeze(device)
        return cycles_a_second() / packets
    return measure


def beside(name, bench, effort, ours, peer, make_guests):
    """The peer's cycles for a packet over ours, each with guests of its own."""
    measures = []
    for kind, make in ("peer", peer), ("ours", ours):
        device = make(bench, f"{kind}-{name}")
        measures.append((device, make_guests(f"{kind}-{name}", device)))
        freeze(device)
    (p, p_guests), (o, o_guests) = measures
    out = paired(name, cycles(p, p_guests, effort), cycles(o, o_guests, effort), effort)
    for child in p_guests, o_guests:
        child.stop()
    for device in p, o:
        thaw(device)
        device.stop()
    return {**out, "ours": out["peer"], "peer": out["ours"]}


class Sender:
    """A guest of one card that sends as fast as it is let; arrived() counts at the far end of a cable."""

    def __init__(self, bench, name, arrived):
        vdev = f"net_virtio_user0,path={sockets(bench, name)[0]},queue_size={RING},{SPLIT}"
        self.guest = Testpmd(bench, "guest-" + name, CLIENT_CORE, [vdev], "--forward-mode=txonly")
        self.arrived = arrived

    def rate(self, effort):
        self.guest.start()
        packets = rate(effort, self.arrived)
        self.guest.pause()
        return packets

    def stop(self):
        self.guest.stop()


def our_card(bench, name, namespace, interface):
    socket = sockets(bench, name)[0]
    return Server(bench, name, [bench.program("bench", "card"), socket, f"xsk:{interface}"], socket,
                  prefix=namespace.enter)


def testpmd_card(bench, name, namespace, interface):
    socket = sockets(bench, name)[0]
    device = Testpmd(bench, name, SERVER_CORE, [f"net_vhost0,iface={socket}", f"net_af_xdp0,iface={interface}"],
                     prefix=namespace.enter)
    device.start()
    return device


def our_cable(bench, name):
    a, b = sockets(bench, name)
    return Server(bench, name, [bench.program("bench", "cable"), a, b], b)


def circles(bench, options):
    return lambda name, _device: Circle(bench, name, CLIENT_CORE, sockets(bench, name), options)


def hop(name, floor, ring):
    figure(name, "x", floor=floor)(lambda bench, effort: beside(
        name, bench, effort, our_cable, testpmd_vhost, circles(bench, ring)))


hop("net.hop.split", 1, SPLIT)
hop("net.hop.packed", 1, PACKED)


@figure("switch.1flow", "x", floor=1.2)
def switch_1flow(bench, effort):
    return beside("switch.1flow", bench, effort, our_switch, OpenVSwitch, circles(bench, SPLIT))


class Flood:
    """bench/flood.c: two guests with as many addresses as are asked for."""

    def __init__(self, bench, name, addresses, flows, learnt):
        command = [bench.program("bench", "flood"), *sockets(bench, name), *map(str, addresses), str(flows)]
        self.bench, self.flows, self.learnt, self.settled = bench, flows, learnt, False
        self.process = subprocess.Popen(["taskset", "-c", str(CLIENT_CORE), *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        bench.children.append(self)
        self.hear()

    def hear(self):
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError("bench/flood ended")
        return answer

    def run(self, order):
        """Packets a second."""
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        answer = self.hear()
        return int(answer[0]) / float(answer[1])

    def settle(self):
        """All addresses are heard, and then all flows met."""
        self.run(f"flows {self.flows}")
        self.learnt()
        self.run(f"flows {2 * self.flows}")
        self.settled = True

    def rate(self, effort):
        if not self.settled:
            self.settle()
        self.run(f"seconds {effort.slice / 8}")
        return self.run(f"seconds {effort.slice}")

    def stop(self):
        self.bench.children.remove(self)
        self.process.kill()
        self.process.communicate()


def floods(bench, addresses, flows):
    return lambda name, device: Flood(bench, name, addresses, flows, getattr(device, "hold", lambda: None))


@figure("switch.10kflows", "x", floor=1.2)
def switch_10kflows(bench, effort):
    """A hundred guests there and fifty here: each of the one talks to each of the other."""
    return beside("switch.10kflows", bench, effort, lambda b, name: our_switch(b, name, "--max-flows", "16384"),
                  OpenVSwitch, floods(bench, (100, 50), 5000))


@figure("switch.1maddr", "x", floor=1.2)
def switch_1maddr(bench, effort):
    """Pairs, half of each here and there. Both keep a flow for each; Open vSwitch would not, left to itself."""
    pairs = effort.pairs_of_addresses
    return beside("switch.1maddr", bench, effort,
                  lambda b, name: our_switch(b, name, "--max-addresses", "1048576", "--max-flows", "1048576"),
                  lambda b, name: OpenVSwitch(b, name, addresses=1000000, flows=4 * pairs),
                  floods(bench, (pairs, pairs), pairs))


@figure("xsk.veth", "x", floor=1)
def xsk_veth(bench, effort):
    """A guest's packets out by AF_XDP; those that arrive count. The peer copies each one more often than we do."""
    names = {"ours-xsk.veth": "vioa", "peer-xsk.veth": "viob"}
    namespace = veth(bench, *names.values())
    out = beside("xsk.veth", bench, effort, lambda b, name: our_card(b, name, namespace, names[name]),
                 lambda b, name: testpmd_card(b, name, namespace, names[name]),
                 lambda name, _device: Sender(bench, name, lambda: namespace.received(names[name] + "-far")))
    namespace.stop()
    return out


@figure("xsk.copies", "copies/packet", most=0)
def xsk_copies(bench, effort):
    namespace = veth(bench, "vioa")
    card = our_card(bench, "copies", namespace, "vioa")
    guest = Sender(bench, "copies", lambda: namespace.received("vioa-far"))
    guest.rate(effort)
    card.stop()
    guest.stop()
    namespace.stop()
    with open(card.log.name) as f:
        count = json.loads(f.read().splitlines()[-1])
    if not count["sent"]:
        raise RuntimeError("no packet was sent")
    value = count["copies"] / count["sent"]
    return result("xsk.copies", value, ours=value)


class Guests:
    """bench/guests_talk.sh: two guests in QEMU that talk by our switch and by the kernel's."""

    def __init__(self, bench, seconds):
        command = [os.path.join(os.path.dirname(__file__), "guests_talk.sh"), bench.build, str(seconds)]
        self.bench = bench
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        bench.children.append(self)
        said = self.process.stdout.readline().strip()
        if said != "ready":
            raise Missing(said or "the guests do not come up")

    def cpu(self, kind):
        """CPU seconds for a gigabit."""
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        return said["cpu"] / (8 * said["bytes"])

    def stop(self):
        self.bench.children.remove(self)
        self.process.communicate()  # it ends when its input does


@figure("switch.cpu", "x", most=0.7)
def switch_cpu(bench, effort):
    guests = Guests(bench, effort.talk)
    out = paired("switch.cpu", lambda: guests.cpu("ours"), lambda: guests.cpu("peer"), effort)
    guests.stop()
    return out
