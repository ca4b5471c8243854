#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests of QEMU 10 whose network cards have hash reports: every header has 20 bytes, both ways, in merged buffers and in
# others, on split rings and packed ones, and all they say arrives. QEMU keeps the rest, what is hashed and RSS, to itself.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
newer_qemu
talk_bytes=2000000
talk_begin
merge=(on off on) packed=(off off on)
ports=()
nic_pairs=2
for end in a b; do
	for card in "${!merge[@]}"; do
		ports+=(--port "vhost-user:$work/$end$card,pairs=2,vlan=1$card")
	done
done
switch_start "${ports[@]}"
guest_cpus=2
for end in a b; do
	nics=
	for card in "${!merge[@]}"; do
		nics+=" $(nic_args "$end$card" hash=on rss=on "mrg_rxbuf=${merge[$card]}" "packed=${packed[$card]}")"
	done
	guest_boot "$end" "$nics"
done
guests_ready a b
for end in a b; do
	do_in "$end" "socat -U $serving OPEN:/www/data &"
done
for card in "${!merge[@]}"; do
	for end in a b; do
		end_interface[$end]=eth$card
		do_in "$end" "has_net_feature eth$card 57 || fail 'no hash reports on card $card'"
		end_network=$card
		end_join "$end"
	done
	! in_guest a "has_net_feature eth$card 60" || note "this QEMU does not hide RSS"
	talk a b
	fetch_framed a b "${whole[@]}"
	fetch_framed b a "${whole[@]}"
	note "mergeable ${merge[$card]}, packed ${packed[$card]}: ok"
done
expect_no_complaints a b
guest_off a b
switch_stop
