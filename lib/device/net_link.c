/* SPDX-License-Identifier: MIT */
/* What an embedder asks of a network device while it runs. */
#include "device/net.h"

static int net_of(const struct vio_dev *d)
{
	return d->type == vio_dev_net() ? 0
					: vio__fail(EINVAL, "%s: expected a network device", d->type->name);
}

int vio_net_set_link(struct vio_dev *d, bool up)
{
	struct net *n = d->priv;
	int rc = net_of(d);

	if (rc)
		return rc;
	n->link = up;
	vio_dev_refresh(d);
	return 0;
}

int vio_net_announce(struct vio_dev *d)
{
	struct dev *full = dev_full(d);
	struct net *n = d->priv;
	int rc = net_of(d);

	if (rc)
		return rc;
	if (!(d->acked & NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)))
		return vio__fail(EOPNOTSUPP, "net: the guest did not accept VIRTIO_NET_F_GUEST_ANNOUNCE");
	VIO_STORE(&n->announce, true);
	/* Its bit may be in what was last told, if the guest has done the last one meanwhile. */
	if (!vio_dev_refresh(d) && full->changed)
		full->changed(full->changed_ctx);
	return 0;
}

int vio_net_stats(const struct vio_dev *d, unsigned pair, struct vio_net_stats *out)
{
	struct vio_net_stats now = { .sz = sizeof(now) };
	const struct net *n = d->priv;
	const struct net_pair *p;
	int rc = net_of(d);

	if (rc)
		return rc;
	if (pair >= n->pairs)
		return vio__fail(ENOENT, "net: pair %u, there are %u", pair, n->pairs);
	p = &n->pair[pair];
	now.sent = VIO_LOAD(&p->send.packets);
	now.sent_bytes = VIO_LOAD(&p->send.bytes);
	now.received = VIO_LOAD(&p->recv.packets);
	now.received_bytes = VIO_LOAD(&p->recv.bytes);
	for (unsigned i = 0; i < VIO_NET_DROP_N; i++)
		now.dropped[i] = VIO_LOAD(&p->send.dropped[i]) + VIO_LOAD(&p->recv.dropped[i]);
	vio__out(out, &now, sizeof(now));
	return 0;
}
