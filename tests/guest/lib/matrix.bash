# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Two guests with four cards each: mergeable buffers or not, one pair of queues or two. Card N of one and card N of the
# other are a network of their own, VLAN 1N of the switch, and carry VLAN 2N with tags. The second guest has a newer kernel
# where that can be had. Sourced after talk.bash.
card_merge=(on off on off)
card_pairs=(1 1 2 2)

# matrix_boot PACKED: of all cards
matrix_boot() {
	local card end ports=()
	local -A nics
	for end in a b; do
		for card in "${!card_pairs[@]}"; do
			nic_pairs=${card_pairs[$card]}
			ports+=(--port "vhost-user:$work/$end$card,pairs=$nic_pairs,vlan=1$card,trunk=2$card")
			nics[$end]+=" $(nic_args "$end$card" "packed=$1" "mrg_rxbuf=${card_merge[$card]}")"
		done
	done
	switch_start "${ports[@]}"
	guest_cpus=2 guest_mb=384 guest_reboots=()
	for end in a b; do
		[ "$end" = a ] || image=$("$guest_lib/image" backports || echo "$image")
		guest_boot "$end" "${nics[$end]} -qmp unix:$work/qmp-$end,server=on,wait=off"
	done
	guests_ready a b
	note "kernels: $(do_in a "uname -r"), $(do_in b "uname -r")"
	for end in a b; do
		do_in "$end" "modprobe 8021q; socat -U $serving OPEN:/www/data &"
	done
}

# From here on both ends talk by this card.
card_use() { # CARD
	end_interface[a]=eth$1 end_interface[b]=eth$1 end_network=$1
}

# The card is what was asked for, or the test is of something else.
card_is() { # END CARD PACKED
	local not_packed='!' not_merged='!'
	[ "$3" = off ] || not_packed=
	[ "${card_merge[$2]}" = off ] || not_merged=
	do_in "$1" "$not_packed has_net_feature eth$2 \$VIRTIO_F_RING_PACKED || fail 'packed rings, against packed=$3'
		$not_merged has_net_feature eth$2 \$VIRTIO_NET_F_MRG_RXBUF || fail 'mergeable buffers, against ${card_merge[$2]}'
		ethtool -l eth$2 | tail -2 | grep -q 'Combined:.*${card_pairs[$2]}' || fail 'not ${card_pairs[$2]} pairs of queues'"
}

both() { # COMMAND...: on both guests, with $interface for the card in use
	local end
	for end in a b; do
		do_in "$end" "interface=${end_interface[a]}; $*"
	done
}

framed_both_ways() { # LEAST MOST
	fetch_framed a b "$@"
	fetch_framed b a "$@"
}

# Whole and cut by the sender, with jumbo frames, and in a VLAN within.
card_carries() {
	talk a b
	framed_both_ways "${whole[@]}"
	both "ethtool -K \$interface tso off gso off tx off gro off >/dev/null"
	framed_both_ways "${cut[@]}"
	both "ip link set \$interface mtu 9000"
	pings a b 8900
	pings b a 8900
	framed_both_ways 3000 9014
	both "ip link set \$interface mtu 1500; ethtool -K \$interface tx on gso on tso on gro on >/dev/null"
}

card_carries_vlan() { # CARD
	both "ip link add link \$interface name \$interface.2$1 type vlan id 2$1"
	end_interface[a]=eth$1.2$1 end_interface[b]=eth$1.2$1 end_network=2$1
	end_join a
	end_join b
	pings a b 1400
	fetch a b
	fetch b a v6
	both "ip link del \$interface"
	card_use "$1"
}

# Pairs come and go.
card_changes_pairs() { # CARD
	[ "${card_pairs[$1]}" = 2 ] || return 0
	both "ethtool -L \$interface combined 1"
	fetch a b
	both "ethtool -L \$interface combined 2"
	fetch b a
}

# link END CARD true|false: whether the cable is in, as QEMU shows it and the guest sees it.
link() {
	local carrier=1 set='{"execute": "set_link", "arguments": {"name": "net'$1$2'", "up": '$3'}}'
	[ "$3" = true ] || carrier=0
	echo '{"execute": "qmp_capabilities"}' "$set" | socat - "UNIX-CONNECT:$work/qmp-$1" >"$work/qmp.log"
	! grep '"error"' "$work/qmp.log" || fail "QEMU refuses to set the link of $1's card $2"
	do_in "$1" "wait_for 10 'carrier $carrier' grep -q $carrier /sys/class/net/eth$2/carrier"
}

silent() { # FROM TO
	! in_guest "$1" "ping -q -c 1 -W 1 $(end_address "$2") >/dev/null" || fail "$2 answers $1 over a link that is down"
}

# The cable is pulled at the guest's end, where it sees it, and at the switch's.
card_goes_down_and_up() { # CARD
	link a "$1" false
	silent b a
	link a "$1" true
	pings a b 56
	ctl link "b$1" down
	silent a b
	ctl link "b$1" up
	pings a b 56
}

guest_reboot() {
	base64 -w0 <<<"reboot -f" >&"${guest_in[$1]}"
	echo >&"${guest_in[$1]}"
	guests_ready "$1"
}

# matrix PACKED: all of this on all cards, then one guest boots again under the other's eyes.
matrix() {
	local card
	matrix_boot "$1"
	for card in "${!card_pairs[@]}"; do
		card_use "$card"
		card_is a "$card" "$1"
		card_is b "$card" "$1"
		end_join a
		end_join b
		card_carries
		card_carries_vlan "$card"
		card_changes_pairs "$card"
		card_goes_down_and_up "$card"
		note "packed=$1, mergeable ${card_merge[$card]}, ${card_pairs[$card]} pairs: ok"
	done
	guest_reboot b
	do_in b "socat -U $serving OPEN:/www/data &"
	for card in "${!card_pairs[@]}"; do
		card_use "$card"
		end_join b
		fetch a b
		fetch b a
	done
	note "reboot: ok"
	expect_no_complaints a b
	guest_off a b
	switch_stop
}
