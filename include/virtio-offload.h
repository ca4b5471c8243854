/* SPDX-License-Identifier: MIT */
/* Everything an offload card does for a virtual machine: all public headers at once. */
#ifndef VIRTIO_OFFLOAD_H
#define VIRTIO_OFFLOAD_H

#include <virtio-offload/backend.h>
#include <virtio-offload/base.h>
#include <virtio-offload/device.h>
#include <virtio-offload/loop.h>
#include <virtio-offload/mem.h>
#include <virtio-offload/net.h>
#include <virtio-offload/nvme.h>
#include <virtio-offload/nvme_manage.h>
#include <virtio-offload/nvme_pci.h>
#include <virtio-offload/nvme_tcp.h>
#include <virtio-offload/poll.h>
#include <virtio-offload/queue.h>
#include <virtio-offload/req.h>
#include <virtio-offload/switch.h>
#include <virtio-offload/throttle.h>
#include <virtio-offload/vfio_user.h>
#include <virtio-offload/vhost_user.h>

#endif
