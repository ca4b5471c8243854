# SPDX-License-Identifier: MIT
"""What lies between two guests: our switch, Open vSwitch's userspace datapath, and testpmd that only passes on."""

import os
import signal
import subprocess
import time

from servers import CLIENT_CORE, SERVER_CORE, Missing, Server
from testpmd import RING, Testpmd

OVS = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def freeze(device):
    """A device that polls must not run while the other one is measured on its core."""
    os.kill(device.pid(), signal.SIGSTOP)


def thaw(device):
    os.kill(device.pid(), signal.SIGCONT)


def sockets(bench, name):
    return [bench.path(f"{name}-{port}") for port in "ab"]


def our_switch(bench, name, *options):
    a, b = sockets(bench, name)
    return Server(bench, name, [bench.program("examples", "vswitch"), "--poll", *options, "--port",
                                f"vhost-user:{a},queue-size={RING}", "--port",
                                f"vhost-user:{b},queue-size={RING}"], b)


def testpmd_vhost(bench, name):
    """Passes on what comes from the one to the other, and looks at nothing."""
    device = Testpmd(bench, name, SERVER_CORE, [f"net_vhost{i},iface={s}" for i, s in enumerate(sockets(bench, name))])
    device.start()
    return device


def own_network():
    """In front of a command: it gets a network namespace, so that the host sees none of its interfaces."""
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


class OpenVSwitch:
    """A learning switch whose datapath polls on the server's core; the rest of it is on the client's."""

    def __init__(self, bench, name, addresses=8192, flows=200000):
        self.bench, self.name, self.processes, self.flows = bench, name, [], flows
        self.db, self.env = bench.path(name + ".db"), {**bench.dpdk_env(), **{
            f"OVS_{kind}DIR": bench.dir for kind in ("RUN", "LOG", "DB")}}
        bench.children.append(self)
        self.run("ovsdb-tool", "create", self.db, OVS_SCHEMA)
        self.daemon("ovsdb-server", self.db, f"--remote=punix:{self.db}.sock", name="db")
        config = {"dpdk-init": "true", "dpdk-lcore-mask": hex(1 << CLIENT_CORE), "pmd-cpu-mask": hex(1 << SERVER_CORE),
                  "dpdk-extra": '"--no-pci --no-huge --legacy-mem -m 2048 --iova-mode=va '
                                f'--file-prefix={name}"', "flow-limit": flows, "max-idle": 3600000}
        self.ask("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                 *(f"other_config:{k}={v}" for k, v in config.items()))
        self.switch = self.daemon(*own_network(), OVS, f"unix:{self.db}.sock", name="switch")
        changes = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                   f"other_config:mac-table-size={addresses}"]
        for socket in sockets(bench, name):
            port = os.path.basename(socket)
            changes += ["--", "add-port", "br0", port, "--", "set", "interface", port, "type=dpdkvhostuser"]
        self.ask(*changes)
        self.run("ovs-ofctl", "mod-port", "br0", "br0", "no-flood")  # nobody is there

    def run(self, *command):
        try:
            return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True, timeout=90).stdout
        except FileNotFoundError as e:
            raise Missing(f"{e.filename} is not installed") from e
        except subprocess.CalledProcessError as e:
            raise Missing(f"{command[0]}: {e.stderr.strip()}") from e

    def daemon(self, *command, name):
        """Returns when it can be controlled."""
        control, log = f"{self.db}.{name}.ctl", open(f"{self.db}.{name}.log", "wb")
        try:
            process = subprocess.Popen([*command, f"--unixctl={control}", "--verbose=syslog:off"], env=self.env,
                                       stdout=log, stderr=log)
        except FileNotFoundError as e:
            raise Missing(f"{e.filename} is not installed") from e
        self.processes.append(process)
        while not os.path.exists(control):
            if process.poll() is not None:
                with open(log.name, "rb") as f:
                    raise Missing(f"{command[-2]} ended: {f.read().decode().strip()[-500:]}")
            time.sleep(0.01)
        log.close()
        return process

    def ask(self, *command):
        """Changes the database; without --no-wait, returns when the switch has followed."""
        return self.run("ovs-vsctl", "--timeout=60", f"--db=unix:{self.db}.sock", *command)

    def control(self, *command):
        return self.run("ovs-appctl", "-t", self.db + ".switch.ctl", *command)

    def hold(self):
        """Lets it keep all flows from now on. It looks at each twice a second, and drops most if it can't in time."""
        self.control("upcall/set-flow-limit", str(self.flows))
        self.control("revalidator/pause")

    def pid(self):
        return self.switch.pid

    def stop(self):
        self.bench.children.remove(self)
        for process in reversed(self.processes):
            process.kill()  # it was frozen, perhaps
            process.wait()
