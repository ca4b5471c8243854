/* SPDX-License-Identifier: MIT */
/* A hostile front end of a network card, which has messages of its own; see vhost_user.c. */
#define FUZZ_DEVICE vio_dev_net(), b, "pairs=2,queue-size=64,mac=02:00:00:00:00:01,mtu=1500"
#define FUZZ_STACK "sink"
#define FUZZ_FIRST 112

#include "vhost_user.c"
