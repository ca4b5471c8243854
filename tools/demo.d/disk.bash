# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The demo's disk: guest a keeps files on it, and the host looks at what became of them. Sourced by tools/demo.

# The files: this project's own sources and the system's headers, with their checksums.
gather_files() {
	mkdir "$work/files"
	cp -r include lib tests tools examples /usr/include/linux "$work/files/" 2>/dev/null || true
	(cd "$work/files" && find . -type f ! -name SUMS -exec sha256sum {} + >SUMS)
	files=$(grep -c . "$work/files/SUMS")
	say "$files files, $(du -sm "$work/files" | cut -f1) MiB, are to be kept on the disk"
}

# The key is owner-only, and 64 bytes: two AES-256 keys, as XTS wants.
disk_serve() {
	(umask 077 && head -c 64 /dev/urandom >"$work/key")
	truncate -s "$disk_size" "$work/disk.raw"
	stack="file:$work/disk.raw | crypt:keyfile=$work/key"
	server_start --socket "$work/disk" --disk "$stack" --queues "$queues" --stats
}

use_disk() {
	result[disk]=$(do_in a "cat /sys/block/vda/device/features")
	do_in a "partition /dev/vda; mkfs.ext4 -q /dev/vda1; modprobe ext4; mount /dev/vda1 /mnt"
	result[start]=$(do_in a "cat /sys/block/vda/vda1/start")
	say "guest a: partitioned, formatted, mounted; copying the files"
	do_in a "cp -r /files /mnt/files; sync"
	say "guest a: copied; measuring"
	disk_speed write 48,49 --rw=write --bs=1M --iodepth=8 --end_fsync=1
	disk_speed read 7,8 --rw=read --bs=1M --iodepth=8
	disk_speed randwrite 48,49 --rw=randwrite --bs=4k --iodepth=32 --runtime=4 --time_based
	disk_speed randread 7,8 --rw=randread --bs=4k --iodepth=32 --runtime=4 --time_based
	do_in a "rm /mnt/speed; umount /mnt; mount -o ro /dev/vda1 /mnt; check_tree /mnt/files; expect_clean_dmesg"
	say "guest a: unmounted, mounted again: all files are as they were"
}

disk_speed() { # NAME FIELDS FIO-ARG...: those of fio's terse output, in result[NAME]
	result[$1]=$(do_in a "fio --name=$1 --filename=/mnt/speed --size=48M --ioengine=libaio --direct=1 ${*:3} \
			--output-format=terse --eta=never >/tmp/terse || { cat /tmp/terse; fail fio; }
		grep '^3;' /tmp/terse | cut -d';' -f$2 | tr ';' ' '")
}

image_is_ciphertext() {
	say "looking for plain text in the image"
	spread=$(tools/looks-random "$work/disk.raw" 'SPDX-License-Identifier' 'virtio_blk_config' 'lost+found' '#include <linux/') ||
		fail "the image gives something away"
	say "none: $spread"
}

# Through the server again, over our own driver side of vhost-user, into an image that debugfs can read.
server_gives_files_back() {
	say "reading the disk back through the server"
	server_start --socket "$work/disk" --disk "$stack" --read-only
	truncate -s "$disk_size" "$work/plain.raw"
	"$build/examples/copy" "vhost_user:$work/disk" "file:$work/plain.raw" || fail "the disk cannot be read through the server"
	server_stop
	mkdir "$work/back"
	PATH=$PATH:/usr/sbin:/sbin debugfs -R "rdump /files $work/back" "$work/plain.raw?offset=$((result[start] * 512))" >"$work/debugfs.log" 2>&1
	(cd "$work/back/files" && sha256sum --quiet -c SUMS) || fail "files differ"
	[ "$(grep -c . "$work/back/files/SUMS")" = "$files" ] || fail "files are missing"
	cmp -s "$work/back/files/SUMS" "$work/files/SUMS" || fail "the list of checksums is another one"
	say "all $files files are there and whole"
}
