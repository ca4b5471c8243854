/* SPDX-License-Identifier: MIT */
/* What is no GSO frame of the kind it claims to be, or would become too many, is not cut. */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct frame f;

static int begin(uint8_t gso, uint16_t mss)
{
	struct packet_cut c;
	struct iovec iov = { f.b, f.len };
	const struct vio_req r = {
		.flags = gso,
		.niov = 1,
		.iov = &iov,
		.len = f.len,
		.offload = { .gso_size = mss },
	};

	return vio__packet_cut_begin(&c, &r);
}

static void make_rest(uint8_t protocol, unsigned payload)
{
	if (protocol == IPPROTO_TCP)
		frame_tcp(&f, 1, 2, 0x10, 0);
	else
		frame_udp(&f, 1, 2);
	frame_payload(&f, payload);
	frame_end(&f);
}

static void make_ipv4(uint8_t protocol, unsigned payload)
{
	frame_eth(&f);
	frame_ipv4(&f, "10.0.0.1", "10.0.0.2", protocol, 0);
	make_rest(protocol, payload);
}

static void make_ipv6(uint8_t protocol, unsigned payload)
{
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", protocol);
	make_rest(protocol, payload);
}

static void another_kind(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 3000);
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), 0);
	assert_int_equal(begin(VIO_PACKET_TSO6, 1000), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_USO4, 1000), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_TSO4 | VIO_PACKET_TSO6, 1000), -EINVAL);
	assert_int_equal(begin(0, 1000), -EINVAL);
	make_ipv4(IPPROTO_UDP, 3000);
	assert_int_equal(begin(VIO_PACKET_USO4, 1000), 0);
	assert_int_equal(begin(VIO_PACKET_USO6, 1000), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
	make_ipv6(IPPROTO_TCP, 3000);
	assert_int_equal(begin(VIO_PACKET_TSO6, 1000), 0);
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_USO6, 1000), -EINVAL);
	make_ipv6(IPPROTO_UDP, 3000);
	assert_int_equal(begin(VIO_PACKET_USO6, 1000), 0);
	assert_int_equal(begin(VIO_PACKET_USO4, 1000), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_TSO6, 1000), -EINVAL);
}

static void sizes_out_of_range(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 60000);
	assert_int_equal(begin(VIO_PACKET_TSO4, 0), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_TSO4, 7), -EINVAL); /* 8,572 frames for one */
	assert_int_equal(begin(VIO_PACKET_TSO4, 8), 0);
	assert_int_equal(begin(VIO_PACKET_TSO4, 65535), 0);
	frame_payload(&f, FRAME_ROOM - f.len); /* one byte more than IP can say */
	assert_int_equal(begin(VIO_PACKET_TSO4, 65535), -EINVAL);
	assert_int_equal(begin(VIO_PACKET_TSO4, 65495), 0);
}

static void headers_not_whole(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 0);
	for (unsigned whole = f.len; f.len > 0; f.len--)
		assert_int_equal(begin(VIO_PACKET_TSO4, 1000), f.len == whole ? 0 : -EINVAL);
}

static void fragments(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 3000);
	packet_put16(f.b + f.l3 + 6, 0x2000);
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
}

/* The inner packet is what the kind means, and is not looked for. */
static void tunnels(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 3000);
	memmove(f.b + f.l3 + 20, f.b + f.l3, f.len - f.l3);
	f.len += 20;
	f.b[f.l3 + 9] = 4;
	packet_put16(f.b + f.l3 + 2, (uint16_t)(f.len - f.l3));
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
	f.b[f.l3 + 9] = 47; /* GRE */
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
	f.b[f.l3 + 9] = IPPROTO_UDP;
	assert_int_equal(begin(VIO_PACKET_TSO4, 1000), -EINVAL);
}

/* The checksum needs the final destination, which such a routing header hides. */
static void routed(void **state)
{
	uint8_t *x;

	(void)state;
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_ROUTING);
	x = frame_add(&f, NULL, 24);
	x[0] = IPPROTO_TCP;
	x[1] = 2;
	x[2] = 4; /* segment routing */
	x[3] = 1;
	f.l4 = f.len;
	frame_tcp(&f, 1, 2, 0x10, 0);
	frame_payload(&f, 3000);
	frame_end(&f);
	x[3] = 0;
	assert_int_equal(begin(VIO_PACKET_TSO6, 1000), 0);
	x[3] = 1;
	assert_int_equal(begin(VIO_PACKET_TSO6, 1000), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_kind),
		cmocka_unit_test(sizes_out_of_range),
		cmocka_unit_test(headers_not_whole),
		cmocka_unit_test(fragments),
		cmocka_unit_test(tunnels),
		cmocka_unit_test(routed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
