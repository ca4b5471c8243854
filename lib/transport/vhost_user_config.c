/* SPDX-License-Identifier: MIT */
/* Config space, and the channel on which the front end is told that it changed. */
#include "transport/vhost_user_conn.h"

#include <sys/socket.h>

#define CONFIG_HEADER offsetof(struct vu_config, data)

/* Front ends ask for as much as their headers know: what the device does not have reads as zeroes. */
static int config_read(struct vio_vhost_user *t, struct vu_config *c)
{
	unsigned have = vio_dev_config_size(t->dev);

	if (c->size > VU_MAX_CONFIG || c->offset > VU_MAX_CONFIG - c->size)
		return vio__fail(EINVAL, "GET_CONFIG of %u bytes at %u, config space has %u", c->size,
				 c->offset, VU_MAX_CONFIG);
	memset(c->data, 0, sizeof(c->data));
	if (c->offset >= have)
		return 0;
	return vio_dev_config_read(t->dev, c->offset, c->data, VIO_MIN(c->size, have - c->offset));
}

/* An answer without payload says that it failed. */
int vus_get_config(struct vio_vhost_user *t, struct vu_msg *m)
{
	if (config_read(t, &m->p.config)) {
		vus_log(t, VIO_LOG_ERROR, "%s", vio_errmsg());
		m->h.size = 0;
	} else {
		m->h.size = (uint32_t)(CONFIG_HEADER + m->p.config.size);
	}
	return 0;
}

int vus_set_config(struct vio_vhost_user *t, struct vu_msg *m)
{
	const struct vu_config *c = &m->p.config;

	if (c->size != m->h.size - CONFIG_HEADER)
		return vio__fail(EINVAL, "SET_CONFIG of %u bytes brings %zu", c->size,
				 m->h.size - CONFIG_HEADER);
	return vio_dev_config_write(t->dev, c->offset, c->data, c->size);
}

int vus_backend_req(struct vio_vhost_user *t, struct vu_msg *m)
{
	vus_close_fd(&t->backend_req);
	t->backend_req = vus_take_fd(m);
	return 0;
}

/*
 * No reply is asked for, so none can be waited for in vain. A channel that is full
 * holds this same news already, unread.
 */
void vus_config_changed(void *ctx)
{
	struct vio_vhost_user *t = ctx;
	struct vu_header h = { VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, 0 };

	if (t->backend_req < 0 || !(t->protocol & VUS_BIT(VU_PROTOCOL_F_CONFIG)))
		return;
	if (send(t->backend_req, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(h))
		vus_log(t, VIO_LOG_INFO, "the front end does not hear of the config change: %s",
			strerror(errno));
}
