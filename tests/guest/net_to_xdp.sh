#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest and the host's network stack talk through the switch and an AF_XDP socket on a veth pair: what the guest sends
# whole is cut and summed, for there are no offloads on that way.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
[ "$(id -u)" = 0 ] || skip "AF_XDP sockets need root"
talk_begin
namespace_start
end_interface[host]=vio1
in_namespace ip link add vio0 type veth peer name vio1 || skip "this kernel has no veth"
in_namespace ip link set vio0 promisc on mtu 3000 up
# The kernel would leave checksums to the card, which is not there, and send whole.
in_namespace ethtool -K vio1 tx off tso off gso off >/dev/null
switch_start --port "vhost-user:$work/a,name=a" --port "xsk:vio0,name=wire"
guest_boot a "$(nic_args a)"
end_up host
guests_ready a
end_up a
do_in a "ethtool -k eth0 | grep -q '^tcp-segmentation-offload: on'" || fail "the guest may not send whole"
do_in a "ethtool -K eth0 gro off"
talk a host
fetch_framed a host "${cut[@]}"
fetch_framed host a "${cut[@]}"

mtu a 3000
mtu host 3000
pings a host 2900
pings host a 2900
fetch a host
fetch host a v6
expect_no_complaints a
[ "$(switch_sum segmented)" -gt 0 ] && [ "$(switch_sum summed)" -gt 0 ] || fail "the switch has not cut and summed: $(ctl stats)"
guest_off a
switch_stop
