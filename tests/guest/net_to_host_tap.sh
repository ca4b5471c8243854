#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest and the host's network stack talk through the switch and a tap, whole packets included.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
namespace_start
end_interface[host]=vio0
switch_start --port "vhost-user:$work/a,name=a" --port "tap:vio0,name=host"
guest_boot a "$(nic_args a)"
end_up host
guests_ready a
end_up a
talk a host
fetch_framed a host "${whole[@]}"
fetch_framed host a "${whole[@]}"

mtu a 9000
mtu host 9000
pings a host 8900
pings host a 8900
fetch a host
expect_no_complaints a
guest_off a
switch_stop
