/* SPDX-License-Identifier: MIT */
/* A split ring: descriptors, indexes, and the order of what driver and server do. */
#include "queue_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return play_rings(data, size, false);
}
