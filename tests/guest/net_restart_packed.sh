#!/bin/bash
# SPDX-License-Identifier: MIT
# The same on packed rings. QEMU does not know where such a ring stands whose server died, and offers each new one the
# place where it was at first: the switch finds it in the ring. One guest has two pairs of queues, on two threads.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
. "$guest_lib/killed_under_traffic.bash"
net_harness "$1"
newer_qemu
talk_bytes=1000000
talk_begin
switch_start --threads 2 --port "vhost-user:$work/a,name=a,pairs=2" --port "vhost-user:$work/b,name=b,client=on"
guest_cpus=2 nic_pairs=2
guest_boot a "$(nic_args a packed=on)"
guest_cpus=1 nic_pairs=1 nic_socket=server=on
guest_boot b "$(nic_args b packed=on mrg_rxbuf=off)"
guests_ready a b
for guest in a b; do
	do_in $guest "has_net_feature eth0 \$VIRTIO_F_RING_PACKED || fail 'packed rings were not negotiated'"
	end_up $guest
done
killed_under_traffic 5
found=$(grep -c 'goes on at .*, where its ring stands' "$work/switch.log")
[ "$found" -ge 15 ] || fail "only $found queues were found elsewhere than QEMU had them: $(grep 'goes on' "$work/switch.log")"
talk a b
expect_no_complaints a b
guest_off a b
switch_stop
