# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The demo's closing table. Sourced by tools/demo.

ring_features=([28]=indirect_desc [29]=event_idx [32]=version_1 [33]=access_platform [34]=ring_packed [35]=in_order
	[36]=order_platform [40]=ring_reset)
disk_features=([1]=size_max [2]=seg_max [5]=ro [6]=blk_size [9]=flush [10]=topology [11]=config_wce [12]=mq [13]=discard
	[14]=write_zeroes [16]=secure_erase)
card_features=([0]=csum [1]=guest_csum [2]=ctrl_guest_offloads [3]=mtu [5]=mac [7]=guest_tso4 [8]=guest_tso6 [9]=guest_ecn
	[10]=guest_ufo [11]=host_tso4 [12]=host_tso6 [13]=host_ecn [14]=host_ufo [15]=mrg_rxbuf [16]=status [17]=ctrl_vq
	[18]=ctrl_rx [19]=ctrl_vlan [20]=ctrl_rx_extra [21]=guest_announce [22]=mq [23]=ctrl_mac_addr [52]=vq_notf_coal
	[53]=notf_coal [54]=guest_uso4 [55]=guest_uso6 [56]=host_uso [57]=hash_report [60]=rss)

feature_names() { # disk|card "0110...", the first is bit 0
	local -n names=${1}_features
	local bits=$2
	for ((bit = 0; bit < ${#bits}; bit++)); do
		[ "${bits:bit:1}" = 0 ] || printf '%s ' "${names[$bit]:-${ring_features[$bit]:-bit$bit}}"
	done
}

row() { # WHAT TEXT
	printf '  %-26s %s\n' "$1" "$(fold -s -w 80 <<<"$2" | sed '2,$s/^/                             /')"
}

disk_row() { # WHAT "KIB/S IOPS"
	read -r kib iops <<<"$2"
	row "$1" "$(awk "BEGIN { printf \"%8.1f MB/s %8.0f IOPS\", $kib * 1024 / 1e6, $iops }")"
}

fetch_row() { # FROM BY
	read -r mib speed <<<"${result[$1-$2]}"
	row "$2 fetches from $1" "$(awk "BEGIN { printf \"%8.1f MB/s %8.0f MiB, checksums equal\", $speed, $mib }")"
}

closing_table() {
	local from by
	echo
	row disk "$disk_size, AES-256-XTS, $(du -m "$work/disk.raw" | cut -f1) MiB in use"
	row files "$files, $(du -sm "$work/files" | cut -f1) MiB, written by guest a, verified by it, by guest b and by the host"
	row image "$spread"
	row guests "Linux $guest_kernel, $("${guest_qemu[@]}" --version | grep -o 'version [0-9.]*' | head -1 | sed 's/version/QEMU/'), $(guest_accel)"
	row "disk's features" "$(feature_names disk "${result[disk]}")"
	disk_row "sequential write, 1 MiB" "${result[write]}"
	disk_row "sequential read, 1 MiB" "${result[read]}"
	disk_row "random write, 4 KiB, qd 32" "${result[randwrite]}"
	disk_row "random read, 4 KiB, qd 32" "${result[randread]}"
	row "a's card, two pairs" "$(feature_names card "${result[card_a]}")"
	row "b's card, packed rings" "$(feature_names card "${result[card_b]}")"
	for from in "${ends[@]}"; do
		for by in "${ends[@]}"; do
			[ "$from" = "$by" ] || fetch_row "$from" "$by"
		done
	done
	row "packets dropped" "$early before all cards were up, $late while files were fetched (TCP sent those again)"
	echo "  (the guests' CPUs are emulated unless KVM works: these are their speeds, not the library's)"
	echo
	sed 's/^/  /' <<<"${result[packets]}"
	echo
	sed 's/^/  /' "$work/server.log"
	echo
	say "it held; $((SECONDS - begun_main)) s without installing and building"
}
