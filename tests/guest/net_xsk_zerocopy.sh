#!/bin/bash
# SPDX-License-Identifier: MIT
# The library inside a guest, on a network card whose driver has AF_XDP without a copy (igb): two queues of it share
# one umem and stand on the switch beside a tap, and what the guest fetches over the tap comes through whole.
. "$(dirname "$0")/lib/net.bash"
harness_begin "$1" vswitch
qemu=$("$guest_lib/qemu" 10) || skip "no QEMU that has igb"
read -r -a guest_qemu <<<"$qemu"
image=$("$guest_lib/image" next) || skip "no kernel whose igb has AF_XDP without a copy"
[ -s "$image/net.cpio" ] || skip "no ethtool or no socat for the guests: run tools/setup guest"
guest_parts=(net)
guest_program "$build/examples/vswitch"

# The guest reaches it at 10.0.2.2, by QEMU's own network.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
head -c 4M /dev/urandom >"$work/file"
socat -U "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" "OPEN:$work/file" &
child[file_server]=$!

guest_run "-netdev user,id=n0" "-device igb,netdev=n0,mac=52:54:00:00:00:01" < <(
	printf 'vswitch=%q port=%q sum=%q\n' "$build/examples/vswitch" "$port" "$(sha256sum <"$work/file")"
	cat <<'SCRIPT'
modprobe igb
modprobe tun
wait_for 20 eth0 test -e /sys/class/net/eth0
ethtool -L eth0 combined 2
ip link set eth0 promisc on up
wait_for 20 "the link" grep -q 1 /sys/class/net/eth0/carrier
$vswitch --control /tmp/control --port xsk:eth0,queues=2,mode=zerocopy,name=wire --port tap:t0,name=tap >/tmp/vswitch.log 2>&1 &
ports() { $vswitch ctl --control /tmp/control ports >/tmp/ports 2>&1 && test -e /sys/class/net/t0; }
wait_for 20 "the switch" ports
ip addr add 10.0.2.15/24 dev t0
ip link set t0 up
ping -A -q -c 20 -w 60 10.0.2.2 >/tmp/pings || fail "$(cat /tmp/pings /tmp/vswitch.log)"
for i in 1 2 3; do
	expect_eq "file $i" "$sum" "$(socat -u -T 20 TCP:10.0.2.2:$port - | sha256sum)"
done
for queue in 0 1; do
	ethtool -S eth0 | grep -q "rx_queue_${queue}_packets: [1-9]" || fail "nothing came by queue $queue"
done
kill %1
wait %1 || fail "the switch: $(cat /tmp/vswitch.log)"
! dmesg | grep -E 'BUG:|Oops|WARNING:' || fail "the guest's kernel complains"
SCRIPT
)
