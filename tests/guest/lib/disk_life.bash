# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# disk_life QUEUES [PROPERTY...]: a guest partitions, formats and fills a new disk and reads it again.
disk_life() {
	local queues=$1
	shift
	rm -f "$work/a.raw"
	truncate -s 256M "$work/a.raw"
	server_start --socket "$work/a" --disk "file:$work/a.raw" --queues "$queues"
	guest_parts=(fio)
	guest_run "$(disk_args a "$queues" "$@")" < <(
		echo "queues=$queues properties='$*'"
		cat "$guest_lib/disk_life.guest"
	) || fail "the guest's script failed with $queues queues"
	server_stop
	note "$queues queues: ok"
}
