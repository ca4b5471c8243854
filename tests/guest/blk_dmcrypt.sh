#!/bin/bash
# SPDX-License-Identifier: MIT
# Linux's dm-crypt reads what the crypt filter wrote and writes what it reads, with sectors of 512 and 4096 bytes.
. "$(dirname "$0")/lib/harness.bash"
harness "$1"

# Each image is served twice: as the filter shows it, and raw for the guest's own dm-crypt. The guest uses one at a time.
sectors=(512 4096)
args=() devices=()
head -c 64 /dev/urandom >"$work/key"
for sector in "${sectors[@]}"; do
	truncate -s 64M "$work/$sector.raw"
	args+=(--socket "$work/filter$sector" --disk "file:$work/$sector.raw,lock=off | crypt:keyfile=$work/key,sector=$sector")
	args+=(--socket "$work/plain$sector" --disk "file:$work/$sector.raw,lock=off")
	devices+=("$(disk_args "filter$sector" 1)" "$(disk_args "plain$sector" 1)")
done
server_start "${args[@]}"

guest_files=("$work/key")
guest_run "${devices[@]}" <<'SCRIPT' || fail "the guest's script failed"
modprobe ext4
modprobe dm-crypt
modprobe xts

forget_caches() {
	sync
	blockdev --flushbufs "$1"
	echo 3 >/proc/sys/vm/drop_caches
}

compare() { # SECTOR FILTERED RAW
	mkfs.ext4 -q "/dev/$2"
	mount "/dev/$2" /mnt
	make_tree /mnt/by-filter
	umount /mnt
	forget_caches "/dev/$2"

	cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file /key --sector-size "$1" \
		"/dev/$3" "dm$1" || fail "cryptsetup"
	mount "/dev/mapper/dm$1" /mnt || fail "dm-crypt finds no file system in what the filter wrote"
	check_tree /mnt/by-filter
	make_tree /mnt/by-dm-crypt
	umount /mnt
	cryptsetup close "dm$1"
	forget_caches "/dev/$3"

	mount "/dev/$2" /mnt
	check_tree /mnt/by-filter
	check_tree /mnt/by-dm-crypt
	umount /mnt
	e2fsck -fn "/dev/$2" >/tmp/fsck.log 2>&1 || { cat /tmp/fsck.log; fail "e2fsck"; }
}

compare 512 vda vdb
compare 4096 vdc vdd
expect_eq "sector of the 4096-byte disk" 4096 "$(cat /sys/block/vdc/queue/logical_block_size)"
expect_clean_dmesg
SCRIPT
server_stop
! grep -qa 'lost+found' "$work"/512.raw "$work"/4096.raw || fail "an image holds plain text"
