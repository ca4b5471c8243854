#!/bin/bash
# SPDX-License-Identifier: MIT
# One guest sends with all offloads, the other's card has none: the switch cuts and sums, and all arrives.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
none=(csum=off gso=off guest_csum=off guest_tso4=off guest_tso6=off guest_ecn=off guest_ufo=off
	host_tso4=off host_tso6=off host_ecn=off host_ufo=off)
guest_boot a "$(nic_args a)"
guest_boot b "$(nic_args b mrg_rxbuf=off "${none[@]}")"
guests_ready a b
do_in a "ethtool -k eth0 | grep -q '^tcp-segmentation-offload: on'" || fail "guest a may not send whole"
do_in b "! has_net_feature eth0 \$VIRTIO_NET_F_GUEST_CSUM && ! has_net_feature eth0 \$VIRTIO_NET_F_GUEST_TSO4" || fail "guest b's card has offloads"
do_in b "ethtool -K eth0 gro off"
end_up a
end_up b
talk a b
fetch_framed a b "${cut[@]}"
fetch a b v6
fetch b a
expect_no_complaints a b
guest_off a b
switch_stop
