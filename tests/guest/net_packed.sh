#!/bin/bash
# SPDX-License-Identifier: MIT
# Two guests on packed rings, one with mergeable buffers and two pairs of queues, the other without: all they say arrives.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
switch_start --port "vhost-user:$work/a,name=a,pairs=2" --port "vhost-user:$work/b,name=b"
guest_cpus=2 nic_pairs=2
guest_boot a "$(nic_args a packed=on)"
guest_cpus=1 nic_pairs=1
guest_boot b "$(nic_args b packed=on mrg_rxbuf=off)"
guests_ready a b
for guest in a b; do
	do_in $guest "has_net_feature eth0 \$VIRTIO_F_RING_PACKED || fail 'packed rings were not negotiated'"
done
do_in a "has_net_feature eth0 \$VIRTIO_NET_F_MRG_RXBUF" || fail "mergeable buffers were not negotiated"
do_in b "! has_net_feature eth0 \$VIRTIO_NET_F_MRG_RXBUF" || fail "mergeable buffers were not asked for"
do_in a "ethtool -l eth0 | tail -2 | grep -q 'Combined:.*2'" || fail "there are not two pairs of queues"
end_up a
end_up b
talk a b
fetch_framed a b "${whole[@]}"
fetch_framed b a "${whole[@]}"
# Pairs come and go.
do_in a "ethtool -L eth0 combined 1"
fetch a b
fetch b a
do_in a "ethtool -L eth0 combined 2"
fetch b a
expect_no_complaints a b
guest_off a b
switch_stop
