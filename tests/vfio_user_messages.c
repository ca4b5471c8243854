/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* Every vfio-user message is checked in size, order, range and descriptors; right ones are answered right. */
#include "vfio_user_client.h"

#include "pci_stub.h"

#include <linux/pci_regs.h>

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define RW (VFU_DMA_READABLE | VFU_DMA_WRITEABLE)

struct both {
	struct client c;
	struct pci_stub s;
};

static void plug(struct both *b)
{
	VIO_OPTS(vio_vfio_user_opts, o);

	client_new(&b->c);
	stub_new(&b->s);
	client_attach(&b->c, &b->s.pci, &o);
}

static void serve(struct both *b)
{
	plug(b);
	client_greet(&b->c);
}

static void leave(struct both *b)
{
	client_free(&b->c);
	stub_free(&b->s);
}

static void version_is_agreed_on(void **state)
{
	struct vfu_version v = { 0, 7 };
	struct vfu_msg m;
	struct both b;

	(void)state;
	plug(&b);
	assert_int_equal(client_ask(&b.c, VFU_VERSION, &v, sizeof(v), NULL, 0, &m), 0);
	assert_int_equal(m.p.version.major, 0);
	assert_int_equal(m.p.version.minor, 0);
	assert_non_null(strstr(m.p.version.json, "\"max_msg_fds\":16"));
	assert_int_equal(m.h.size, sizeof(m.h) + sizeof(v) + strlen(m.p.version.json) + 1);
	assert_int_equal(client_ask(&b.c, VFU_VERSION, &v, sizeof(v), NULL, 0, NULL), -EPROTO);
	leave(&b);
}

static void first_message_is(unsigned command, const void *payload, uint32_t size)
{
	struct both b;

	plug(&b);
	client_send(&b.c, command, 0, payload, size, NULL, 0);
	client_expect_closed(&b.c);
	assert_int_equal(b.c.downs, 1);
	leave(&b);
}

static void a_client_that_begins_wrong_is_dropped(void **state)
{
	static const char unended[8] = { 0, 0, 0, 0, '{', '}', '{', '}' };
	static const char ended_early[8] = { 0, 0, 0, 0, '{', 0, '}', 0 };
	static const struct vfu_version major = { 1, 0 };
	static char longest[VFU_MAX_PAYLOAD];

	(void)state;
	first_message_is(VFU_DEVICE_RESET, NULL, 0);
	first_message_is(VFU_VERSION, &major, sizeof(major));
	first_message_is(VFU_VERSION, unended, sizeof(unended));
	first_message_is(VFU_VERSION, ended_early, sizeof(ended_early));
	memset(longest + 4, '{', sizeof(longest) - 4);
	first_message_is(VFU_VERSION, longest, sizeof(longest));
	first_message_is(0xffff, NULL, 0);
}

static void an_impossible_size_ends_the_connection(void **state)
{
	static const uint32_t sizes[] = { 0, 15, 16 + VFU_MAX_PAYLOAD + 1, UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); i++) {
		struct vfu_header h = { .id = 1, .command = VFU_DEVICE_GET_INFO, .size = sizes[i] };
		struct both b;

		serve(&b);
		client_push(&b.c, &h, sizeof(h), NULL, 0);
		client_expect_closed(&b.c);
		leave(&b);
	}
}

static void a_wrong_payload_size_is_an_error(void **state)
{
	static const uint8_t zeroes[64];
	struct both b;

	(void)state;
	serve(&b);
	assert_int_equal(client_ask(&b.c, VFU_DMA_MAP, zeroes, 31, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DMA_UNMAP, zeroes, 25, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_INFO, zeroes, 15, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_REGION_INFO, zeroes, 16, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_IRQ_INFO, zeroes, 0, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_SET_IRQS, zeroes, 19, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_REGION_READ, zeroes, 17, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE, zeroes, 15, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_RESET, zeroes, 1, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, 0, NULL, 0, NULL, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(client_ask(&b.c, VFU_DMA_READ, zeroes, 16, NULL, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(client_ask(&b.c, 0xffff, NULL, 0, NULL, 0, NULL), -EOPNOTSUPP);
	leave(&b);
}

static void replies_are_no_commands_and_silence_can_be_asked_for(void **state)
{
	struct vfu_device_info info = { .argsz = sizeof(info) };
	struct vfu_msg m;
	struct both b;

	(void)state;
	serve(&b);
	client_send(&b.c, VFU_DEVICE_RESET, VFU_TYPE_REPLY | VFU_FLAG_NO_REPLY, NULL, 0, NULL, 0);
	client_send(&b.c, VFU_DEVICE_RESET, 2 | VFU_FLAG_NO_REPLY, NULL, 0, NULL, 0);
	client_send(&b.c, VFU_DEVICE_RESET, VFU_FLAG_NO_REPLY, NULL, 0, NULL, 0);
	client_send(&b.c, 0xffff, VFU_FLAG_NO_REPLY, NULL, 0, NULL, 0);
	b.c.id = 0xfffe;
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0, &m), 0);
	assert_int_equal(b.s.resets, 1); /* the first reply is this one's, and all before it is done */
	leave(&b);
}

static void what_the_function_has_is_told(void **state)
{
	struct vfu_device_info info = { .argsz = sizeof(info) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq) };
	struct vfu_msg m;
	struct both b;

	(void)state;
	serve(&b);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0, &m), 0);
	assert_int_equal(m.p.info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(m.p.info.num_irqs, VFIO_PCI_NUM_IRQS);
	for (irq.index = 0; irq.index < VFIO_PCI_NUM_IRQS; irq.index++) {
		assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, &m),
				 0);
		assert_int_equal(m.p.irq.count, irq.index == MSIX ? STUB_VECTORS : 0);
	}
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, NULL),
			 -EINVAL);
	info.argsz = irq.argsz = 15;
	irq.index = 0;
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, NULL),
			 -EINVAL);
	leave(&b);
}

static int region_info(struct client *c, uint32_t index, uint32_t argsz, struct vfu_msg *m)
{
	struct vfio_region_info r = { .argsz = argsz, .index = index };

	return client_ask(c, VFU_DEVICE_GET_REGION_INFO, &r, sizeof(r), NULL, 0, m);
}

static void regions_are_told_and_mapped(void **state)
{
	const struct vfio_region_info_cap_sparse_mmap *cap;
	unsigned before;
	struct vfu_msg m;
	struct both b;

	(void)state;
	serve(&b);
	before = open_fds();
	assert_int_equal(region_info(&b.c, CONFIG, 32, &m), 0);
	assert_int_equal(m.p.region.size, 4096);
	assert_int_equal(m.nfds, 0);
	assert_int_equal(region_info(&b.c, VFIO_PCI_ROM_REGION_INDEX, 32, &m), 0);
	assert_int_equal(m.p.region.size | m.p.region.flags, 0);
	assert_int_equal(region_info(&b.c, 0, 32, &m), 0);
	assert_int_equal(m.h.size, sizeof(m.h) + 32); /* the capability does not fit ... */
	assert_int_equal(m.p.region.argsz, 64);
	vfu_close_fds(&m);
	assert_int_equal(region_info(&b.c, 0, 64, &m), 0);
	assert_int_equal(m.p.region.size, STUB_BAR);
	cap = (const void *)(m.p.bytes + m.p.region.cap_offset);
	assert_int_equal(m.p.region.cap_offset, 32); /* ... and now it does */
	assert_int_equal(cap->header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(cap->nr_areas, 1);
	assert_int_equal(cap->areas[0].offset, 0x1000);
	assert_int_equal(cap->areas[0].size, 0x1000);
	assert_int_equal(m.nfds, 1);
	vfu_close_fds(&m);
	assert_int_equal(region_info(&b.c, 0, 31, &m), -EINVAL);
	assert_int_equal(region_info(&b.c, VFIO_PCI_NUM_REGIONS, 64, &m), -EINVAL);
	assert_int_equal(region_info(&b.c, UINT32_MAX, 64, &m), -EINVAL);
	assert_int_equal(open_fds(), before);
	leave(&b);
}

static void regions_end_where_they_end(void **state)
{
	uint8_t big[VFU_MAX_DATA + 8] = { 0 };
	struct client *c;
	struct both b;

	(void)state;
	serve(&b);
	c = &b.c;
	assert_int_equal(client_read(c, 0, STUB_BAR - 4, big, 4), 0);
	assert_int_equal(client_read(c, 0, STUB_BAR - 3, big, 4), -EINVAL);
	assert_int_equal(client_read(c, 0, UINT64_MAX - 3, big, 4), -EINVAL);
	assert_int_equal(client_read(c, 0, UINT64_MAX - 1, big, 4), -EINVAL);
	assert_int_equal(client_read(c, 0, 0, big, 0), -EINVAL);
	assert_int_equal(client_read(c, 0, 0, big, VFU_MAX_DATA), 0);
	assert_int_equal(client_read(c, 0, 0, big, VFU_MAX_DATA + 1), -EINVAL);
	assert_int_equal(client_read(c, 0, 0, big, UINT32_MAX), -EINVAL);
	assert_int_equal(client_read(c, 1, 0, big, 4), -EINVAL); /* the upper half of BAR 0 */
	assert_int_equal(client_read(c, 6, 0, big, 4), -EINVAL);
	assert_int_equal(client_read(c, 9, 0, big, 4), -EINVAL);
	assert_int_equal(client_read(c, UINT32_MAX, 0, big, 4), -EINVAL);
	assert_int_equal(client_read(c, CONFIG, 0, big, 4096), 0);
	assert_int_equal(client_read(c, CONFIG, 4093, big, 4), -EINVAL);
	assert_int_equal(client_write(c, 0, STUB_BAR - 3, big, 4), -EINVAL);
	assert_int_equal(client_write(c, 0, UINT64_MAX - 3, big, 8), -EINVAL);
	assert_int_equal(client_write(c, CONFIG, 4095, big, 2), -EINVAL);
	assert_int_equal(client_write(c, 0, 0, big, 0), -EINVAL);
	assert_int_equal(b.s.writes, 0);
	leave(&b);
}

static void accesses_come_in_pieces_that_are_aligned(void **state)
{
	uint8_t in[23], out[23];
	struct both b;

	(void)state;
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + 1);
	serve(&b);
	assert_int_equal(client_write(&b.c, 0, 0x103, in, sizeof(in)), 0);
	assert_int_equal(client_read(&b.c, 0, 0x103, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(b.s.bar + 0x103, in, sizeof(in));
	assert_int_equal(b.s.writes, 5); /* 1, 4, 8, 8, 2 */
	leave(&b);
}

static void a_write_says_how_much_it_brings(void **state)
{
	const struct vfu_write_one w = { .count = 4 }; /* a vfu_region_rw with its data */
	struct both b;

	(void)state;
	serve(&b);
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE, &w, 16 + 8, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE, &w, 16 + 3, NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE, &w, 16 + 4, NULL, 0, NULL), 0);
	assert_int_equal(b.s.writes, 1);
	leave(&b);
}

static void many_writes_in_one_are_all_done_or_none(void **state)
{
	struct {
		uint64_t n;
		struct vfu_write_one w[VFU_MAX_WRITES];
	} w = { .n = 3, .w = { { 0, 0, 4, { 1 } }, { 8, 0, 8, { 2 } }, { 16, 0, 1, { 3 } } } };
	struct vfu_msg m;
	struct both b;

	(void)state;
	serve(&b);
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE_MULTI, &w, 8 + 3 * 24, NULL, 0, &m), 0);
	assert_int_equal(m.p.multi.n, 3);
	assert_int_equal(m.h.size, sizeof(m.h) + 8);
	assert_int_equal(b.s.bar[0] + b.s.bar[8] + b.s.bar[16], 6);
	w.n = 4;
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE_MULTI, &w, 8 + 3 * 24, NULL, 0, NULL), -EINVAL);
	w.n = UINT64_MAX / 24 + 1;
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE_MULTI, &w, 8 + 3 * 24, NULL, 0, NULL), -EINVAL);
	w.n = 3;
	w.w[2].count = 9;
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE_MULTI, &w, 8 + 3 * 24, NULL, 0, NULL), -EINVAL);
	assert_int_equal(b.s.writes, 3);
	w.w[2].count = 8;
	for (w.n = 3; w.n < VFU_MAX_WRITES; w.n++)
		w.w[w.n] = w.w[1];
	assert_int_equal(client_ask(&b.c, VFU_REGION_WRITE_MULTI, &w, sizeof(w), NULL, 0, NULL), 0);
	assert_int_equal(b.s.writes, 3 + VFU_MAX_WRITES);
	leave(&b);
}

static void memory_is_mapped_and_seen(void **state)
{
	struct both b;

	(void)state;
	serve(&b);
	assert_int_equal(client_map(&b.c, 0x100000), 0);
	assert_int_equal(b.s.resumes, 0); /* not before it is used */
	client_put(&b.c, 0, 0, 1, 4);
	assert_true(b.s.running);
	b.c.mem[5] = 77;
	assert_int_equal(*(uint8_t *)vio_mem_ptr(b.s.mem, 0x100005, 1), 77);
	assert_int_equal(client_map_as(&b.c, 0x400000, 8192, 4096, RW, 1), 0);
	assert_true(b.s.running);
	b.c.mem[4096] = 78;
	assert_int_equal(*(uint8_t *)vio_mem_ptr(b.s.mem, 0x400000, 8192), 78);
	assert_int_equal(client_unmap_as(&b.c, 0x100000, CLIENT_MEM, 0), 0);
	assert_null(vio_mem_ptr(b.s.mem, 0x100005, 1));
	assert_non_null(vio_mem_ptr(b.s.mem, 0x400000, 8192));
	assert_int_equal(client_unmap_as(&b.c, 0, 0, VFU_UNMAP_ALL), 0);
	assert_int_equal(vio_mem_count(b.s.mem), 0);
	assert_int_equal(client_map(&b.c, 0x100000), 0);
	leave(&b);
}

static void impossible_memory_is_refused(void **state)
{
	struct client *c;
	struct both b;
	unsigned fds;

	(void)state;
	serve(&b);
	c = &b.c;
	fds = open_fds();
	assert_int_equal(client_map_as(c, 0, 0, 0, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0x800, 4096, 0, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4095, 0, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, 1, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, UINT64_MAX - 4095, 8192, 0, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, UINT64_MAX - 4095, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, CLIENT_MEM + 4096, 0, RW, 1), -EINVAL); /* beyond the file */
	assert_int_equal(client_map_as(c, 0, 4096, CLIENT_MEM, RW, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, 0, RW | VFU_DMA_BY_FILE_IO, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, 0, RW | VFU_DMA_BY_MMAP, 0), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, 0, RW | 1u << 31, 1), -EINVAL);
	assert_int_equal(client_map_as(c, 0, 4096, 0, RW, 2), -EINVAL);
	assert_int_equal(client_map_as(c, 0x100000, 8192, 0, RW, 1), 0);
	assert_int_equal(client_map_as(c, 0x100000, 8192, 0, RW, 1), -EEXIST);
	assert_int_equal(client_map_as(c, 0x101000, 8192, 0, RW, 1), -EEXIST);
	assert_int_equal(client_map_as(c, 0xff000, 8192, 0, RW, 1), -EEXIST);
	assert_int_equal(client_map_as(c, 0, 0x200000, 0, RW, 0), -EEXIST);
	assert_int_equal(client_unmap_as(c, 0x100000, 4096, 0), -ENOENT);
	assert_int_equal(client_unmap_as(c, 0x101000, 4096, 0), -ENOENT);
	assert_int_equal(client_unmap_as(c, 0x100000, 8192, 4), -EINVAL);
	assert_int_equal(client_unmap_as(c, 0x100000, 8192, VFU_UNMAP_ALL), -EINVAL);
	assert_int_equal(client_unmap_as(c, 0x100000, 8192, 0), 0);
	assert_int_equal(client_unmap_as(c, 0x100000, 8192, 0), -ENOENT);
	assert_int_equal(open_fds(), fds);
	leave(&b);
}

static void memory_that_is_not_shared_is_known_and_not_reached(void **state)
{
	struct both b;

	(void)state;
	serve(&b);
	client_put(&b.c, 0, 0, 1, 4);
	assert_int_equal(client_map_as(&b.c, 0x100000, 4096, 0, RW, 0), 0);
	assert_int_equal(client_map_as(&b.c, 0x200000, 4096, 0, VFU_DMA_READABLE, 1), 0);
	assert_int_equal(vio_mem_count(b.s.mem), 0);
	assert_int_equal(client_map_as(&b.c, 0x100000, 4096, 0, RW, 1), -EEXIST);
	assert_int_equal(client_unmap_as(&b.c, 0x100000, 4096, 0), 0);
	assert_int_equal(client_unmap_as(&b.c, 0x200000, 4096, 0), 0);
	leave(&b);
}

static void maps_are_counted(void **state)
{
	struct both b;

	(void)state;
	serve(&b);
	for (uint64_t i = 0; i < VFS_MAX_MAPS; i++)
		assert_int_equal(client_map_as(&b.c, i << 20, 4096, 0, i % 2 ? RW : VFU_DMA_READABLE, 1), 0);
	assert_int_equal(client_map_as(&b.c, 1ull << 40, 4096, 0, RW, 1), -ENOSPC);
	assert_int_equal(client_unmap_as(&b.c, 1u << 20, 4096, 0), 0);
	assert_int_equal(client_map_as(&b.c, 1ull << 40, 4096, 0, RW, 1), 0);
	leave(&b);
}

static void interrupts_reach_their_eventfds(void **state)
{
	uint64_t n = 0;
	int e[3];
	struct both b;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		e[i] = eventfd(0, EFD_NONBLOCK);
	serve(&b);
	assert_int_equal(client_irqs(&b.c, MSIX, STUB_VECTORS - 3, 3, CLIENT_EVENTFDS, e, 3), 0);
	assert_true(b.s.running); /* a client that wants interrupts is ready for them */
	pci_interrupt(&b.s.pci, b.c.p, STUB_VECTORS - 2);
	while (read(e[1], &n, 8) != 8)
		client_pump(&b.c);
	assert_int_equal(n, 1);
	assert_int_equal(client_irqs(&b.c, MSIX, STUB_VECTORS - 3, 3,
				     VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, NULL, 0),
			 0);
	for (unsigned i = 0; i < 3; i++)
		while (read(e[i], &n, 8) != 8)
			client_pump(&b.c);
	for (unsigned i = 0; i < 3; i++)
		close(e[i]);
	leave(&b);
}

static void an_interrupt_without_an_eventfd_waits_for_one(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;
	struct both b;

	(void)state;
	serve(&b);
	client_put(&b.c, 0, 0, 1, 4);
	pci_interrupt(&b.s.pci, b.c.p, 4);
	assert_int_equal(client_irqs(&b.c, MSIX, 4, 1, CLIENT_EVENTFDS, &e, 1), 0);
	while (read(e, &n, 8) != 8)
		client_pump(&b.c);
	assert_int_equal(client_irqs(&b.c, MSIX, 4, 1, CLIENT_EVENTFDS, NULL, 0), 0);
	assert_int_equal(b.s.pci.irq[4], -1);
	close(e);
	leave(&b);
}

static void impossible_interrupts_are_refused(void **state)
{
	const uint32_t none = VFIO_IRQ_SET_DATA_NONE, act = VFIO_IRQ_SET_ACTION_TRIGGER;
	int e[17], pipes[2];
	struct client *c;
	unsigned fds;
	struct both b;

	(void)state;
	serve(&b);
	c = &b.c;
	for (unsigned i = 0; i < 17; i++)
		e[i] = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(pipe(pipes), 0);
	fds = open_fds();
	assert_int_equal(client_irqs(c, MSIX, STUB_VECTORS, 1, CLIENT_EVENTFDS, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, UINT32_MAX, 1, CLIENT_EVENTFDS, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 1, UINT32_MAX, CLIENT_EVENTFDS, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 2, CLIENT_EVENTFDS, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, CLIENT_EVENTFDS, e, 2), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 0, CLIENT_EVENTFDS, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, 0, 0, 1, CLIENT_EVENTFDS, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, 5, 0, 0, none | act, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, UINT32_MAX, 0, 0, none | act, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, none | act, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, none | CLIENT_EVENTFDS, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, VFIO_IRQ_SET_DATA_EVENTFD, e, 1), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, act, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, none | VFIO_IRQ_SET_ACTION_MASK, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, none | act | 64, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, VFIO_IRQ_SET_DATA_BOOL | act, NULL, 0), -EINVAL);
	assert_int_equal(client_irqs(c, MSIX, 0, 1, CLIENT_EVENTFDS, pipes, 1), -EINVAL); /* no eventfd */
	assert_int_equal(client_irqs(c, 0, 0, 0, none | act, NULL, 0), 0);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(client_irqs(c, MSIX, 0, 16, CLIENT_EVENTFDS, e, 16), 0);
	assert_int_equal(open_fds(), fds + 16);
	assert_int_equal(client_irqs(c, MSIX, 0, 0, none | act, NULL, 0), 0);
	assert_int_equal(open_fds(), fds);
	client_send(c, VFU_DEVICE_GET_INFO, 0, NULL, 0, e, 17); /* more than any message may have */
	client_expect_closed(c);
	assert_int_equal(open_fds(), fds - 1); /* the server's end of the socket */
	for (unsigned i = 0; i < 17; i++)
		close(e[i]);
	close(pipes[0]);
	close(pipes[1]);
	leave(&b);
}

static unsigned find_cap(struct client *c, unsigned id)
{
	unsigned at = (unsigned)client_get(c, CONFIG, PCI_CAPABILITY_LIST, 1);

	for (unsigned i = 0; at && i < 48; i++) {
		if (client_get(c, CONFIG, at, 1) == id)
			return at;
		at = (unsigned)client_get(c, CONFIG, at + 1, 1);
	}
	return 0;
}

static void config_space_keeps_what_it_may(void **state)
{
	struct client *c;
	struct both b;
	unsigned msix;

	(void)state;
	serve(&b);
	c = &b.c;
	assert_int_equal(client_get(c, CONFIG, 0, 4), 0x56781234);
	client_put(c, CONFIG, 0, UINT32_MAX, 4);
	assert_int_equal(client_get(c, CONFIG, 0, 4), 0x56781234);
	client_put(c, CONFIG, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(client_get(c, CONFIG, PCI_COMMAND, 2), 0x546);
	client_put(c, CONFIG, PCI_BASE_ADDRESS_0, UINT64_MAX, 8);
	assert_int_equal(client_get(c, CONFIG, PCI_BASE_ADDRESS_0, 8), (~(uint64_t)(STUB_BAR - 1)) | 4);
	assert_true(find_cap(c, PCI_CAP_ID_PM));
	assert_true(find_cap(c, PCI_CAP_ID_EXP));
	assert_int_equal(client_get(c, CONFIG, 0x100, 2), PCI_EXT_CAP_ID_ERR);
	assert_true((msix = find_cap(c, PCI_CAP_ID_MSIX)));
	client_put(c, CONFIG, msix + PCI_MSIX_FLAGS, 0xffff, 2);
	assert_int_equal(client_get(c, CONFIG, msix + PCI_MSIX_FLAGS, 2), 0xc000 | (STUB_VECTORS - 1));
	assert_int_equal(client_get(c, CONFIG, msix + PCI_MSIX_TABLE, 4), 4);
	assert_int_equal(client_get(c, 4, PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1);
	client_put(c, 4, 0, 0xfee00000, 8);
	assert_int_equal(client_get(c, 4, 0, 8), 0xfee00000);
	client_put(c, 4, STUB_VECTORS * 16, 1, 8); /* behind the table */
	assert_int_equal(client_get(c, 4, STUB_VECTORS * 16, 8), 0);
	client_put(c, 4, 0x8000, 1, 8); /* pending bits are not the guest's */
	assert_int_equal(client_get(c, 4, 0x8000, 8), 0);
	leave(&b);
}

static void both_kinds_of_reset_reset(void **state)
{
	struct client *c;
	struct both b;
	unsigned exp;

	(void)state;
	serve(&b);
	c = &b.c;
	exp = find_cap(c, PCI_CAP_ID_EXP);
	client_put(c, 0, 64, 5, 4);
	client_put(c, CONFIG, PCI_COMMAND, 6, 2);
	client_put(c, CONFIG, exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_int_equal(b.s.resets, 1);
	assert_true(b.s.running);
	assert_int_equal(client_get(c, 0, 64, 4), 0);
	assert_int_equal(client_get(c, CONFIG, PCI_COMMAND, 2), 0);
	assert_int_equal(client_get(c, CONFIG, exp + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	client_put(c, 0, 64, 5, 4);
	assert_int_equal(client_ask(c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL), 0);
	assert_int_equal(b.s.resets, 2);
	assert_int_equal(client_get(c, 0, 64, 4), 0);
	leave(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_is_agreed_on),
		cmocka_unit_test(a_client_that_begins_wrong_is_dropped),
		cmocka_unit_test(an_impossible_size_ends_the_connection),
		cmocka_unit_test(a_wrong_payload_size_is_an_error),
		cmocka_unit_test(replies_are_no_commands_and_silence_can_be_asked_for),
		cmocka_unit_test(what_the_function_has_is_told),
		cmocka_unit_test(regions_are_told_and_mapped),
		cmocka_unit_test(regions_end_where_they_end),
		cmocka_unit_test(accesses_come_in_pieces_that_are_aligned),
		cmocka_unit_test(a_write_says_how_much_it_brings),
		cmocka_unit_test(many_writes_in_one_are_all_done_or_none),
		cmocka_unit_test(memory_is_mapped_and_seen),
		cmocka_unit_test(impossible_memory_is_refused),
		cmocka_unit_test(memory_that_is_not_shared_is_known_and_not_reached),
		cmocka_unit_test(maps_are_counted),
		cmocka_unit_test(interrupts_reach_their_eventfds),
		cmocka_unit_test(an_interrupt_without_an_eventfd_waits_for_one),
		cmocka_unit_test(impossible_interrupts_are_refused),
		cmocka_unit_test(config_space_keeps_what_it_may),
		cmocka_unit_test(both_kinds_of_reset_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
